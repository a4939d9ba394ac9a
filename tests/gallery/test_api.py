"""The gallery as programs see it: streams, images, favourites and albums, uploads, and what is refused."""

from __future__ import annotations

import json
import zipfile
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image

from deploy import healthcheck
from tests.gallery.site import VERIFICATIONS, Site, Visitor
from unikat.cli.batch.plan import parse_plan

WALL = "/api/wall?model=tiny&seed=7&count=6&c.style=ink:0.5,oil:0.5"


@pytest.fixture(scope="module")
def visitor(site: Site) -> Visitor:
    return Visitor(site).enter()


@pytest.fixture(scope="module")
def works(visitor: Visitor) -> list[dict[str, str]]:
    return [data for name, _, data in visitor.events(WALL) if name == "work"]


def test_a_wall_that_was_cut_off_goes_on_after_the_last_work(visitor: Visitor, works: list[dict[str, str]]) -> None:
    rest = visitor.events(WALL, {"Last-Event-ID": "3"})
    assert [name for name, _, _ in rest] == ["accepted", "work", "work", "finished"]
    assert [(id, data) for name, id, data in rest if name == "work"] == [("4", works[4]), ("5", works[5])]
    assert [name for name, _, _ in visitor.events(WALL, {"Last-Event-ID": "5"})] == ["finished"]


def test_what_is_wrong_is_an_event_that_names_the_control(visitor: Visitor) -> None:
    ((name, _, said),) = visitor.events("/api/wall?model=tiny&seed=7&c.style=inc")
    assert name == "problem"
    assert 'did you mean "ink"' in said["fields"]["c.style"]
    ((_, _, said),) = visitor.events("/api/wall?model=tiny&seed=7&count=1000")
    assert list(said["fields"]) == ["count"]


def test_an_image_has_an_address_that_never_changes(visitor: Visitor, works: list[dict[str, str]]) -> None:
    response, data = visitor.ask("GET", works[0]["image"])
    assert "immutable" in (response.getheader("cache-control") or "")
    with Image.open(BytesIO(data)) as image:
        assert image.size == (16, 16)
    other = works[0]["image"].replace(works[0]["id"], "0" * 16)
    response, said = visitor.ask("GET", other)
    assert (response.status, list(json.loads(said)["fields"])) == (404, ["id"])


def test_an_image_is_drawn_again_where_it_is_not_kept_any_more(
    site: Site, visitor: Visitor, works: list[dict[str, str]]
) -> None:
    _, before = visitor.ask("GET", works[1]["image"])
    site.stop()
    site.start()
    assert visitor.ask("GET", works[1]["image"])[1] == before


def test_a_work_is_the_same_from_its_link(visitor: Visitor, works: list[dict[str, str]]) -> None:
    work = visitor.json("GET", f"/api/work?{works[2]['link']}")
    assert (work["id"], work["link"], work["model"]) == (works[2]["id"], works[2]["link"], "tiny@1")
    assert work["digest"].startswith(work["id"])
    response, data = visitor.ask("GET", f"/download?{works[2]['link']}&format=webp&credentials=none")
    assert response.getheader("content-disposition") == f'attachment; filename="tiny-1-{work["id"]}.webp"'
    assert data[8:12] == b"WEBP"
    response, said = visitor.ask("GET", f"/download?{works[2]['link']}&format=png&credentials=embedded")
    assert (response.status, "no key" in json.loads(said)["message"]) == (409, True), said
    assert b"<svg" in visitor.ask("GET", f"/code.svg?{works[2]['link']}")[1]


def test_a_mix_is_a_work_with_a_link_like_any_other(visitor: Visitor) -> None:
    mixed = visitor.json("GET", "/api/work?model=tiny&recipe=7:3*0.8,9:0*0.6&c.style=ink&c.subject=sea")
    assert mixed["link"].startswith("model=tiny@1&recipe=7:3*0.8,9:0*0.6&c.style=ink")
    assert visitor.json("GET", f"/api/work?{mixed['link']}")["id"] == mixed["id"]
    found = visitor.json("POST", "/api/verify", visitor.ask("GET", mixed["image"])[1])
    assert found["link"]
    assert visitor.json("GET", f"/api/work?{found['link']}")["id"] == mixed["id"]
    response, said = visitor.ask("GET", "/api/work?model=tiny&recipe=seven")
    assert (response.status, list(json.loads(said)["fields"])) == (400, ["recipe"])


def test_other_sites_and_other_names_are_refused(site: Site, visitor: Visitor, works: list[dict[str, str]]) -> None:
    stranger = Visitor(site, visitor.cookie)
    refused = [
        ("GET", "/", {"Host": f"evil.example:{site.port}"}),
        ("POST", "/api/favourites", {"Origin": "https://evil.example"}),
        ("GET", "/api/models", {"Origin": "https://evil.example"}),
        ("GET", works[0]["image"], {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
    ]
    for method, path, headers in refused:
        response, _ = stranger.ask(method, path, works[0] if method == "POST" else None, headers)
        assert response.status == 403, (method, path, headers)
    response, _ = stranger.ask("GET", "/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert response.status == 200
    assert "script-src 'self'" in (response.getheader("content-security-policy") or "")


def test_favourites_are_a_visitors_own(site: Site, visitor: Visitor, works: list[dict[str, str]]) -> None:
    for work in (works[0], works[1], works[0]):
        visitor.json("POST", "/api/favourites", {"id": work["id"], "link": work["link"]})
    kept = visitor.json("GET", "/api/favourites")["works"]
    assert [work["id"] for work in kept] == [works[1]["id"], works[0]["id"]]
    assert Visitor(site).enter().json("GET", "/api/favourites") == {"works": []}
    visitor.json("DELETE", f"/api/favourites/{works[1]['id']}")
    assert len(visitor.json("GET", "/api/favourites")["works"]) == 1
    for wrong in (
        {"id": "x", "link": works[0]["link"]},
        {"id": works[0]["id"], "link": "model=tiny"},
        [1],
        b"{",
        b" " * 2**20,
    ):
        response, _ = visitor.ask("POST", "/api/favourites", wrong)
        assert response.status == 400
    response, _ = Visitor(site).ask("POST", "/api/favourites", {"id": works[0]["id"], "link": works[0]["link"]})
    assert response.status == 409


def test_a_strange_cookie_of_another_program_hides_no_visitor(site: Site, visitor: Visitor) -> None:
    strange = Visitor(site, f'theme={{"a": "b,c"}}; {visitor.cookie}')
    assert strange.json("GET", "/api/favourites") == visitor.json("GET", "/api/favourites")
    response, _ = strange.ask("GET", "/")
    assert response.getheader("set-cookie") is None


def test_an_address_that_no_qr_code_holds_is_refused(visitor: Visitor, works: list[dict[str, str]]) -> None:
    response, _ = visitor.ask("GET", f"/code.svg?{works[0]['link']}")
    assert response.status == 200
    response, _ = visitor.ask("GET", f"/code.svg?model=tiny&seed=7&c.style={'x' * 3000}")
    assert response.status == 400


def test_an_album_is_seen_by_who_has_its_address_and_changed_by_who_made_it(
    site: Site, visitor: Visitor, works: list[dict[str, str]]
) -> None:
    album = visitor.json("POST", "/api/albums", {"title": "Sea"})
    path = f"/api/albums/{album['id']}"
    for work in works[:3]:
        visitor.json("POST", f"{path}/works", {"id": work["id"], "link": work["link"]})
    other = Visitor(site).enter()
    assert [work["id"] for work in other.json("GET", path)["works"]] == [work["id"] for work in works[:3]]
    for method, where, body in (
        ("PATCH", path, {"title": "Mine"}),
        ("DELETE", path, None),
        ("POST", f"{path}/works", works[4]),
    ):
        assert other.ask(method, where, body)[0].status == 409
    visitor.json("DELETE", f"{path}/works/{works[0]['id']}")
    assert visitor.json("PATCH", path, {"title": "Lake"})["title"] == "Lake"
    (shown,) = visitor.json("GET", "/api/albums")["albums"]
    assert (shown["title"], shown["count"]) == ("Lake", 2)
    assert visitor.ask("POST", "/api/albums", {"title": "two\nlines"})[0].status == 400
    visitor.json("DELETE", path)
    assert visitor.ask("GET", path)[0].status == 404


def test_an_album_is_exported_as_sheet_atlas_and_plan(visitor: Visitor, works: list[dict[str, str]]) -> None:
    album = visitor.json("POST", "/api/albums", {"title": "Sea"})["id"]
    for work in works[:3]:
        visitor.json("POST", f"/api/albums/{album}/works", {"id": work["id"], "link": work["link"]})
    with Image.open(BytesIO(visitor.ask("GET", f"/export/{album}/sheet.png")[1])) as sheet:
        assert min(sheet.size) > 100
    with zipfile.ZipFile(BytesIO(visitor.ask("GET", f"/export/{album}/sprites.zip")[1])) as atlas:
        assert set(json.loads(atlas.read("atlas.json"))["frames"]) == {work["id"] for work in works[:3]}
    script = visitor.ask("GET", f"/export/{album}/plan.sh")[1].decode()
    plan = script.partition("<<'PLAN'\n")[2].partition("PLAN\n")[0]
    lines = parse_plan(Path("plan.jsonl"), plan.encode(), None)
    assert [(line.plan.count, set(line.plan.where or {})) for line in lines] == [(16, {"style", "subject"})] * 3
    assert visitor.ask("GET", f"/export/{album}/other.exe")[0].status == 404
    visitor.json("DELETE", f"/api/albums/{album}")


def test_a_picture_is_verified_and_what_is_none_is_refused(visitor: Visitor, works: list[dict[str, str]]) -> None:
    _, data = visitor.ask("GET", works[0]["image"])
    found = visitor.json("POST", "/api/verify", data)
    assert found["link"].startswith("model=tiny@1&seed=7&index=0")
    assert ["Id", works[0]["id"]] in found["facts"]
    assert visitor.json("GET", f"/api/work?{found['link']}")["id"] == works[0]["id"]
    for wrong in (b"no picture", b"\0" * (2**24 + 1)):
        response, said = visitor.ask("POST", "/api/verify", wrong)
        assert (response.status, list(json.loads(said)["fields"])) == (400, ["picture"])


def test_a_visitor_has_so_many_pictures_verified_an_hour(site: Site) -> None:
    visitor = Visitor(site).enter()
    for _ in range(VERIFICATIONS):
        assert visitor.ask("POST", "/api/verify", b"no picture")[0].status == 400
    response, said = visitor.ask("POST", "/api/verify", b"no picture")
    assert (response.status, f"At most {VERIFICATIONS} pictures an hour" in json.loads(said)["message"]) == (429, True)
    assert Visitor(site).enter().ask("POST", "/api/verify", b"no picture")[0].status == 400


def test_one_visitor_draws_a_few_walls_at_once(site: Site, visitor: Visitor, works: list[dict[str, str]]) -> None:
    album = visitor.json("POST", "/api/albums", {"title": "Sea"})["id"]
    visitor.json("POST", f"/api/albums/{album}/works", {"id": works[0]["id"], "link": works[0]["link"]})
    walk = "&".join(f"w={quote(work['link'])}" for work in works[:2])
    slow = "/api/wall?model=slow&seed=1&count=200"
    open_ones = []
    for _ in range(4):
        connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
        connection.request("GET", slow, headers={"Cookie": visitor.cookie})
        response = connection.getresponse()
        response.readline()
        open_ones.append((connection, response))
    ((name, _, said),) = visitor.events(slow)
    assert (name, "4 walls" in said["message"]) == ("problem", True)
    film, sheet = f"/film.webp?{walk}&frames=2", f"/export/{album}/sheet.png"
    for method, path in (("GET", film), ("GET", sheet), ("POST", "/api/taste?model=tiny")):
        response, content = visitor.ask(method, path)
        assert (response.status, json.loads(content)["reason"]) == (429, "TOO_MANY_CALLS")
    for connection, response in open_ones:
        response.close()
        connection.close()
    site.stop()
    site.start()


def test_the_health_check_of_its_container_finds_it_well(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIKAT_GALLERY_LISTEN", f"127.0.0.1:{site.port}")
    monkeypatch.setenv("UNIKAT_GALLERY_URL", site.address)
    assert healthcheck.check_gallery() is None
    monkeypatch.setenv("UNIKAT_GALLERY_URL", "https://other.example")
    assert healthcheck.check_gallery() == f"port {site.port}: HTTP status 403"
