"""Who may call the Studio over HTTP: pages of other sites, tokens, and how many streams an address has."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from pathlib import Path
from typing import cast

from tests.end_to_end.stack import Stack, running_stack
from tests.gallery.http_calls import SIX, ask, gallery_before, parts_in, post, status_of
from tests.gallery.site import Site, events_in
from tests.support.callers import make_token
from tests.support.tiny_model import write_tiny_bundle
from unikat.queue.tokens import revoke


def test_pages_of_other_sites_call_it_only_where_they_are_named(tmp_path: Path, site: Site) -> None:
    art, evil = "https://art.example", "https://evil.example"
    for origin, fetch in ((evil, "cross-site"), (evil, ""), (art, "cross-site")):
        response, content = post(site, "/v1/draw", SIX, Origin=origin, Sec_Fetch_Site=fetch)
        assert (response.status, json.loads(content)["code"]) == (403, 7)
    assert post(site, "/v1/draw", SIX | {"count": 1}, Origin=site.address)[0].status == 200
    assert ask(site.port, "GET", "/v1/models", headers={"Sec-Fetch-Site": "cross-site"})[0].status == 403
    assert ask(site.port, "GET", "/v1/models", headers={"Host": "evil.example"})[0].status == 403
    with gallery_before(site.stack, tmp_path, UNIKAT_GALLERY_CORS_ORIGINS=f"{art}, https://b.example/") as port:
        asked = {
            "Origin": art,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization",
        }
        response, _ = ask(port, "OPTIONS", "/v1/draw", headers=asked)
        assert (response.status, response.getheader("access-control-allow-origin")) == (200, art)
        response, _ = ask(port, "POST", "/v1/draw", SIX | {"count": 1}, {"Origin": art, "Sec-Fetch-Site": "cross-site"})
        assert (response.status, response.getheader("access-control-allow-origin")) == (200, art)
        assert "Unikat-Id" in (response.getheader("access-control-expose-headers") or "")
        response, _ = ask(port, "POST", "/v1/draw", {"model": "x"}, {"Origin": art})
        assert (response.status, response.getheader("access-control-allow-origin")) == (404, art)
        assert ask(port, "POST", "/v1/draw", SIX, {"Origin": evil})[0].status == 403
        assert ask(port, "GET", "/api/models", headers={"Origin": art})[0].status == 403


def test_a_caller_shows_its_own_token_or_is_the_gallery(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models")
    write_tiny_bundle(tmp_path / "models", "slow", size=32, work=5000)
    with running_stack(tmp_path / "models", UNIKAT_CALLER_IMAGES_PER_MINUTE="3") as stack:
        own, gallery = (make_token(stack.redis, name, "generate") for name in ("own", "gallery"))
        batch = make_token(stack.redis, "batch-only", "batch")
        with gallery_before(stack, tmp_path, UNIKAT_TOKEN=gallery) as port:
            two, shown = {"model": "tiny", "count": 2}, {"Authorization": f"Bearer {own}"}
            assert ask(port, "POST", "/v1/generate", two, shown)[0].status == 200
            response, content = ask(port, "POST", "/v1/generate", two, shown)  # its quota is spent
            assert response.status == 429, content
            assert int(response.getheader("retry-after") or 0) >= 1
            assert ask(port, "POST", "/v1/generate", two)[0].status == 200  # and the gallery's is not
            refused = ask(port, "POST", "/v1/draw", {"model": "tiny"}, {"Authorization": f"bearer {batch}"})
            assert refused[0].status == 403
            wrong = ask(port, "POST", "/v1/draw", {"model": "tiny"}, {"Authorization": f"Bearer {own[:-1]}"})
            assert wrong[0].status == 401
            for name, accept in (("first", "text/event-stream"), ("second", "multipart/mixed")):
                assert ended_by_revoking(stack, port, name, accept) == (16, "UNAUTHENTICATED")


def ended_by_revoking(stack: Stack, port: int, name: str, accept: str) -> tuple[int, str]:
    """Code and reason with which a stream ends, as the last of it, whose caller's token is revoked meanwhile."""
    shown = {"Authorization": f"Bearer {make_token(stack.redis, name, 'generate')}", "Accept": accept}
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/v1/generate", json.dumps({"model": "slow", "count": 3000}), shown)
    response = connection.getresponse()
    content = response.read1()
    revoke(stack.redis, name)
    content += response.read()
    connection.close()
    if accept == "multipart/mixed":
        last = parts_in(response, content)[-1]
        assert (last.get_content_type(), last["unikat-event"]) == ("application/json", "error")
        said = json.loads(cast(bytes, last.get_payload(decode=True)))
    else:
        event, _, said = events_in(content)[-1]
        assert event == "error"
    return said["code"], said["details"][0]["reason"]


def test_an_address_has_as_many_streams_as_a_visitor(site: Site) -> None:
    slow, open_ones = {"model": "slow", "seed": 1, "count": 200}, []
    for _ in range(4):
        connection = HTTPConnection("127.0.0.1", site.port, timeout=60)
        connection.request("POST", "/v1/generate", json.dumps(slow))
        response = connection.getresponse()
        response.read1(100)
        open_ones.append((connection, response))
    status, _, message = status_of(*post(site, "/v1/generate", slow))
    assert (status, "4 calls" in message) == (429, True)
    for connection, response in open_ones:
        response.close()
        connection.close()
    site.stop()
    site.start()
