"""The Studio over HTTP, as programs call it: the bytes of any client, streams that go on, and refusals by name."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from starlette.requests import Request
from starlette.routing import Route

from tests.end_to_end.stack import running_stack
from tests.gallery.http_calls import SIX, ask, gallery_before, parts_in, post, status_of
from tests.gallery.site import Site, events_in
from tests.service.stock_client import infer, stock
from tests.support.tiny_model import write_tiny_bundle
from unikat.aio import AsyncStudio
from unikat.artwork import Artwork
from unikat.v1.studio_pb2 import GenerateRequest
from unikat_gallery.v1.document import document
from unikat_gallery.v1.operations import OPERATIONS, PREFIX, mount
from unikat_gallery.v1.requests import message_of


def drawn(target: str, model: str, where: Any = None, **options: Any) -> list[Artwork]:  # noqa: ANN401
    """The same by the client of Python."""

    async def draw() -> list[Artwork]:
        async with AsyncStudio(target) as studio:
            return [artwork async for artwork in studio.generate(model, where, **options)]

    return asyncio.run(draw())


@pytest.fixture(scope="module")
def six(site: Site) -> list[Artwork]:
    return drawn(site.stack.target, "tiny@1", {"style": "ink"}, seed=7, count=6)


def test_images_are_parts_of_one_answer(site: Site, six: list[Artwork]) -> None:
    response, content = post(site, "/v1/generate", SIX)
    assert (response.status, response.getheader("unikat-model")) == (200, "tiny@1")
    assert response.getheader("unikat-seed") == "7"
    parts = parts_in(response, content)
    assert [part.get_payload(decode=True) for part in parts] == [artwork.data for artwork in six]
    heads = [
        (part.get_content_type(), part["unikat-index"], part["unikat-id"], part["unikat-digest"]) for part in parts
    ]
    assert heads == [("image/png", str(each.index), each.id, each.digest.hex()) for each in six]
    assert parts[0].get_filename() == f"tiny-1-{six[0].id}.png"


def test_images_are_events_as_they_are_drawn(site: Site, six: list[Artwork]) -> None:
    response, content = post(site, "/v1/generate", SIX | {"format": "IMAGE_FORMAT_PNG"}, "text/event-stream")
    assert (response.getheader("content-type") or "").startswith("text/event-stream")
    (_, _, accepted), *works, (last, _, finished) = events_in(content)
    assert (accepted["model"], accepted["seed"], last, finished["count"]) == ("tiny@1", "7", "finished", 6)
    assert [(name, id, data["id"]) for name, id, data in works] == [("artwork", str(a.index), a.id) for a in six]
    assert [base64.b64decode(data["image"]) for _, _, data in works] == [artwork.data for artwork in six]
    schemas = document()["components"]["schemas"]
    for name, data in (("Accepted", accepted), ("Artwork", works[0][2])):
        Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}).validate(
            data
        )


def test_a_stream_that_was_cut_goes_on_after_the_last_event(site: Site, six: list[Artwork]) -> None:
    slow = {"model": "slow", "seed": 5, "count": 60}
    connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
    connection.request("POST", "/v1/generate", json.dumps(slow), {"Accept": "text/event-stream"})
    response = connection.getresponse()
    begun = b""
    while begun.count(b"event: artwork") < 3:
        begun += response.read1()
    response.close()
    connection.close()
    before = [event for event in events_in(begun[: begun.rindex(b"\n\n")]) if event[0] == "artwork"]
    assert len(before) < 60, "it was not cut"
    _, rest = post(site, "/v1/generate", slow, "text/event-stream", Last_Event_ID=before[-1][1])
    after = [event for event in events_in(rest) if event[0] == "artwork"]
    expected = drawn(site.stack.target, "slow", seed=5, count=60)
    assert [base64.b64decode(data["image"]) for _, _, data in before + after] == [artwork.data for artwork in expected]
    named = SIX | {"request_id": "cut"}  # the job goes on, and not a new one
    (_, _, first), *_ = events_in(post(site, "/v1/generate", named, "text/event-stream")[1])
    (_, _, again), *works, _ = events_in(post(site, "/v1/generate", named, "text/event-stream", Last_Event_ID="3")[1])
    assert first["jobId"] == again["jobId"]
    assert [(id, data["id"]) for _, id, data in works] == [("4", six[4].id), ("5", six[5].id)]
    _, nothing = post(site, "/v1/generate", SIX, "text/event-stream", Last_Event_ID="5")
    assert [name for name, _, _ in events_in(nothing)] == ["finished"]
    points = [{"point": {"seed": 7}, "weight": 1}]
    varied: dict[str, Any] = SIX | {"recipe": {"points": points, "mutation": {"radius": 0.5}}}
    del varied["seed"]  # the service would pick another one for the mutation
    for wrong, field in ((SIX, "6"), (SIX, "-1"), ({"model": "tiny", "count": 3}, "1"), (varied, "3")):
        found = status_of(*post(site, "/v1/generate", wrong, "text/event-stream", Last_Event_ID=field))
        assert found[:2] == (400, ["last-event-id"])
    varied["recipe"]["mutation"]["seed"] = 5
    every, left = (
        events_in(post(site, "/v1/generate", varied, "text/event-stream", **of)[1])
        for of in ({}, {"Last_Event_ID": "3"})
    )
    assert [data["id"] for name, _, data in left if name == "artwork"] == [data["id"] for _, _, data in every[5:7]]


def test_a_service_that_is_killed_meanwhile_is_a_pause(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models", "slow", size=32, work=5000)
    with running_stack(tmp_path / "models") as stack, gallery_before(stack, tmp_path) as port:
        connection = HTTPConnection("127.0.0.1", port, timeout=60)
        wish = {"model": "slow", "seed": 5, "count": 60}
        connection.request("POST", "/v1/generate", json.dumps(wish), {"Accept": "text/event-stream"})
        response = connection.getresponse()
        content = b""
        while b"event: artwork" not in content:
            content += response.read1()
        assert stack.service is not None
        stack.service.kill()
        stack.start_service()
        content += response.read()
        found = events_in(content)
        assert [id for name, id, _ in found if name == "artwork"] == [str(index) for index in range(60)]
        assert [name for name, _, _ in found if name != "artwork"] == ["accepted", "finished"]
        connection.close()


def test_one_image_is_its_file(site: Site, six: list[Artwork]) -> None:
    one = SIX | {"count": 1, "firstIndex": 2}
    for path, accept in (("/v1/draw", ""), ("/v1/draw", "image/png"), ("/v1/generate", "image/*"), ("/v1/draw", "*/*")):
        response, content = post(site, path, one, accept)
        assert (response.status, content) == (200, six[2].data), (path, accept, content)
        assert (response.getheader("content-type"), response.getheader("unikat-id")) == ("image/png", six[2].id)
    response, content = post(site, "/v1/draw", one, "text/html, image/webp;q=0.9, image/png;q=0.1")
    assert (response.getheader("content-type"), content[8:12]) == ("image/webp", b"WEBP")
    response, content = post(site, "/v1/draw", one, "application/json")
    said = json.loads(content)
    assert (base64.b64decode(said["image"]), said["index"], said["accepted"]["seed"]) == (six[2].data, 2, "7")
    assert status_of(*post(site, "/v1/generate", SIX, "image/png"))[:2] == (400, ["count"])
    context = f"00-{7:032x}-{7:016x}-00"
    _, content = post(site, "/v1/draw", one, "application/json", traceparent=context)
    job = json.loads(content)["accepted"]["jobId"]
    assert context in str(site.stack.redis.hget(f"rq:job:{job}", "unikat")), "the job is of the caller's trace"
    found = status_of(*post(site, "/v1/draw", one | {"format": "IMAGE_FORMAT_JPEG"}, "image/png"))
    assert found[:2] == (400, ["format"])


def test_models_are_listed_and_read(site: Site) -> None:
    _, content = ask(site.port, "GET", "/v1/models?pageSize=1")
    page = json.loads(content)
    assert [model["name"] for model in page["models"]] == ["slow"]
    _, content = ask(site.port, "GET", f"/v1/models?pageToken={page['nextPageToken']}")
    assert [model["name"] for model in json.loads(content)["models"]] == ["tiny"]
    _, content = ask(site.port, "GET", "/v1/models/tiny@1")
    assert [attribute["name"] for attribute in json.loads(content)["attributes"]] == ["style", "subject"]
    assert status_of(*ask(site.port, "GET", "/v1/models/tinny"))[:2] == (404, ["name"])
    assert status_of(*ask(site.port, "GET", "/v1/models?pageSize=x"))[:2] == (400, ["pageSize"])


@pytest.mark.parametrize(
    ("body", "status", "field", "says"),
    [
        (b"", 400, "body", "JSON object"),
        (b"{", 400, "body", "JSON object"),
        (b"[]", 400, "body", "JSON object"),
        (b"\xff\xfe", 400, "body", "JSON object"),
        (b"[" * 500_000, 400, "body", "JSON object"),
        (b" " * (2**20 + 1), 400, "body", "at most 1048576 bytes"),
        (b'{"model": "\\ud800"}', 400, "body", "Unicode"),
        ({"model": "tiny", "sead": 7}, 400, "sead", 'did you mean "seed"'),
        ({"model": "tiny", "conditions": [{"atribute": "ink"}]}, 400, "conditions[0].atribute", 'mean "attribute"'),
        ({"model": "tiny", "count": "many"}, 400, "count", "count"),
        ({"model": "tiny", "count": -1}, 400, "count", "count"),
        ({"model": "tiny", "seed": 2**64}, 400, "seed", "seed"),
        ({"model": "tiny", "format": "gif"}, 400, "format", "IMAGE_FORMAT_WEBP"),
        ({"model": "tiny", "conditions": "ink"}, 400, "conditions", "[]"),
        ({"model": "tiny", "conditions": {"style": "ink"}}, 400, "conditions", "[]"),
        ({"model": "tiny", "conditions": [{}] * 64 + [7]}, 400, "conditions", "at most 64, not 65"),
        ({"model": "tiny", "walk": {"keyframes": [{"points": [{}] * 65}]}}, 400, "walk.keyframes[0].points", "65"),
        ({"model": "tiny", "recipe": {"points": [{"vector": {"values": [0] * 65_536 + ["x"]}}]}}, 400,
         "recipe.points[0].vector.values", "at most 65536, not 65537"),
        ({"model": "tiny", "recipe": 7}, 400, "recipe", "recipe"),
        ({"model": "tiny", "count": 0}, 400, "count", "1 to 4096"),
        ({"model": "tiny", "afterIndex": 0}, 400, "after_index", "needs the request_id"),
        ({"model": "tinny"}, 404, "model", 'did you mean "tiny'),
        ({"model": "tiny", "conditions": [{"attribute": "style", "category": "inc"}]}, 400,
         "conditions[0].category", 'did you mean "ink"'),
    ],
)  # fmt: skip
def test_nonsense_is_refused_by_name(site: Site, body: object, status: int, field: str, says: str) -> None:
    found_status, fields, message = status_of(*post(site, "/v1/generate", body))
    assert (found_status, fields) == (status, [field]), message
    assert says in message
    assert site.stack.queued() == 0


def test_others_are_served_while_a_body_is_read() -> None:
    body = json.dumps(
        {"recipe": {"points": [{"vector": {"values": [0] * 65_536}}] * 5}}, separators=(",", ":")
    ).encode()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def turns() -> int:
        """Of the event loop, until the message is there."""
        reading = asyncio.ensure_future(message_of(Request({"type": "http"}, receive), GenerateRequest))
        for turn in itertools.count():
            if (await asyncio.wait([reading], timeout=0.001))[0]:
                assert len(reading.result()[0].recipe.points) == 5
                return turn
        raise AssertionError

    assert asyncio.run(turns()) > 20


def test_what_is_no_answer_or_no_address_is_refused(site: Site) -> None:
    assert status_of(*post(site, "/v1/generate", SIX, "application/pdf"))[:2] == (400, ["accept"])
    assert status_of(*post(site, "/v1/generate", SIX, "image/png;q=0"))[:2] == (400, ["accept"])
    for method, path in (("POST", "/v1/generated"), ("GET", "/v1/generate"), ("DELETE", "/v1/models/tiny")):
        status, _, message = status_of(*ask(site.port, method, path))
        assert (status, "POST /v1/generate" in message) == (404, True)
    for wrong in ("Basic YTpi", "Bearer", "Bearer ", "unikat", "Bearer a b"):
        response, content = post(site, "/v1/draw", {"model": "tiny"}, Authorization=wrong)
        assert (response.status, response.getheader("www-authenticate")) == (401, "Bearer"), (wrong, content)


def test_what_is_drawn_and_not_delivered_has_its_place(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models")
    with (
        running_stack(tmp_path / "models", UNIKAT_DENY="tiny.style=ink") as stack,
        gallery_before(stack, tmp_path) as port,
    ):
        wish = {"model": "tiny", "seed": 7, "count": 12}
        _, content = ask(port, "POST", "/v1/generate", wish, {"Accept": "text/event-stream"})
        _, *found, _ = events_in(content)
        refused = [int(id) for name, id, _ in found if name == "refused"]
        assert 0 < len(refused) < 12
        assert [id for _, id, _ in found] == [str(index) for index in range(12)]
        parts = parts_in(*ask(port, "POST", "/v1/generate", wish))
        assert [int(part["unikat-index"]) for part in parts if part["unikat-event"] == "refused"] == refused
        status, _, message = status_of(*ask(port, "POST", "/v1/draw", wish | {"count": 1, "firstIndex": refused[0]}))
        assert (status, "not delivered" in message) == (400, True)
        one = {"index": ["UINT32", [1], [refused[0]]], "seed": ["UINT64", [1], [7]]}
        (result,) = stock(stack.target, infer("tiny", inputs=one))  # and by the Open Inference Protocol
        assert result["code"] == "StatusCode.FAILED_PRECONDITION"


def test_the_document_has_the_routes_and_the_page_shows_them(site: Site) -> None:
    _, content = ask(site.port, "GET", "/openapi.json")
    said = json.loads(content)
    assert said["openapi"] == "3.1.0"
    described = {(method.upper(), path) for path, of in said["paths"].items() for method in of}
    routes = [route for route in mount(frozenset()).routes if isinstance(route, Route) and route.path != "/{path:path}"]
    served = {(method, PREFIX + route.path) for route in routes for method in route.methods or () if method != "HEAD"}
    assert described == served == {(each.method, PREFIX + each.path) for each in OPERATIONS}
    schemas = said["components"]["schemas"]
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    fields = schemas["GenerateRequest"]["properties"]
    assert fields.keys() >= {"model", "conditions", "firstIndex", "recipe"}
    assert all(
        of["description"] for name in ("GenerateRequest", "Artwork") for of in schemas[name]["properties"].values()
    )
    validator = Draft202012Validator({"$ref": "#/components/schemas/GenerateRequest", "components": said["components"]})
    validator.validate(SIX)
    assert not validator.is_valid(SIX | {"sead": 7})
    response, page = ask(site.port, "GET", "/api")
    assert "script-src 'self'" in (response.getheader("content-security-policy") or "")
    for each in OPERATIONS:
        assert f"{each.method} {PREFIX}{each.path}" in page.decode()
    assert f"curl {site.address}/v1/draw" in page.decode()
    assert b'href="/api"' in ask(site.port, "GET", "/")[1]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_draws_a_file(site: Site, six: list[Artwork], tmp_path: Path) -> None:
    wish, out = json.dumps(SIX | {"count": 1}), tmp_path / "one.png"
    command = ["curl", "-sS", "--fail-with-body", "-o", str(out), f"{site.address}/v1/draw", "-d", wish]
    subprocess.run(command, check=True, timeout=60)
    assert out.read_bytes() == six[0].data
    events = ["-N", "-H", "Accept: text/event-stream", f"{site.address}/v1/generate"]
    command = ["curl", "-sS", *events, "-d", json.dumps(SIX)]
    found = subprocess.run(command, check=True, timeout=60, capture_output=True).stdout
    assert [name for name, _, _ in events_in(found)] == ["accepted", *["artwork"] * 6, "finished"]
