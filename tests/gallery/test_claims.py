"""Claims and certificates by the gallery, and pictures that the registry verifies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPResponse
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.gallery.site import CLAIMS, Site, Visitor
from tests.provenance.registering import ORIGIN, Registering
from unikat.certificate import Certificate
from unikat.owner_key import public_of
from unikat_gallery.context import REGISTRY_CALLS

ANNA, BELA = public_of(b"a" * 32).hex(), public_of(b"b" * 32).hex()
INK = "&c.style=ink&c.subject=sea"


@pytest.fixture
def visitor(claiming_site: Site) -> Visitor:
    return Visitor(claiming_site).enter()


@pytest.fixture(scope="module")
def seeds() -> Iterator[int]:
    """Each test claims works of its own."""
    return iter(range(100, 200))


def drawn(visitor: Visitor, seed: int, more: str = "") -> dict[str, Any]:
    work: dict[str, Any] = visitor.json("GET", f"/api/work?model=tiny&seed={seed}&index=0{INK}{more}")
    return work


def claim(visitor: Visitor, work: dict[str, Any], **more: object) -> tuple[HTTPResponse, Any]:
    asked = {"link": work["link"], "model_digest": work["model_digest"], "title": "Sea", "creator": "Anna"}
    response, content = visitor.ask("POST", "/api/claims", asked | {"owner_key": ANNA} | more)
    return response, json.loads(content)


def claimed(visitor: Visitor, work: dict[str, Any], **more: object) -> dict[str, Any]:
    response, said = claim(visitor, work, **more)
    assert response.status == 201, said
    made: dict[str, Any] = said["work"]
    return made


def test_a_work_is_claimed_and_its_certificate_holds(
    visitor: Visitor, registry: Registering, seeds: Iterator[int]
) -> None:
    work = drawn(visitor, next(seeds))
    assert work["registry"] is True
    assert visitor.json("GET", f"/api/certificates/{work['digest']}") == {"work": None}
    made = claimed(visitor, work, owner="Bela")
    assert (made["digest"], made["title"], made["creator"], made["owner"]) == (work["digest"], "Sea", "Anna", "Bela")
    assert (made["owner_key"], made["log"], made["link"]) == (ANNA, ORIGIN, work["link"])
    for id in (work["id"], work["digest"]):
        assert visitor.json("GET", f"/api/certificates/{id}") == {"work": made}
    response, document = visitor.ask("GET", made["file"])
    assert response.getheader("content-disposition") == f'attachment; filename="{work["id"]}.json"'
    found = Certificate.parse(document)
    found.verify(registry.key.verifier)
    assert (found.artwork.hex(), found.owner) == (work["digest"], ("Bela", bytes.fromhex(ANNA)))
    assert claimed(visitor, work, owner="Bela")["entry"] == made["entry"], "who was cut off sends it again"
    assert visitor.ask("GET", f"/claimed/{work['digest']}")[0].status == 200


def test_a_mix_is_claimed_like_any_other_work(visitor: Visitor, seeds: Iterator[int]) -> None:
    seed, other = next(seeds), next(seeds)
    blend = "c.style=ink:0.3,oil:0.7&c.subject=sea&truncation=0.7"
    work = visitor.json("GET", f"/api/work?model=tiny&recipe={seed}:3*0.8,{other}:0*0.6&{blend}")
    made = claimed(visitor, work)
    assert (made["digest"], made["link"]) == (work["digest"], work["link"])


def test_what_stands_against_a_claim_is_shown(visitor: Visitor, claiming_site: Site, seeds: Iterator[int]) -> None:
    seed = next(seeds)
    made = claimed(visitor, drawn(visitor, seed))
    other = Visitor(claiming_site).enter()
    response, said = claim(other, drawn(other, seed), creator="Bela", owner_key=BELA)
    assert (response.status, said["reason"], said["standing"]) == (409, "ALREADY_CLAIMED", made)
    twin = drawn(other, seed, "&truncation=0.8001")  # another artwork, which nobody could tell from the first
    response, said = claim(other, twin, creator="Bela", owner_key=BELA)
    assert (response.status, said["reason"], said["standing"]) == (409, "NEAR_WORK", made)
    assert "near copy" in said["message"]


def test_what_is_wrong_with_a_claim_is_said_at_its_field(visitor: Visitor, seeds: Iterator[int]) -> None:
    work = drawn(visitor, next(seeds))
    for more, field in (
        ({"creator": ""}, "creator"),
        ({"title": "two\nlines"}, "title"),
        ({"owner": "x" * 201}, "owner"),
        ({"owner_key": "seven"}, "owner_key"),
        ({"owner_key": ANNA[:-2]}, "owner_key"),
        ({"title": 7}, "title"),
        ({"link": "seed=7"}, "model"),
        ({"link": work["link"].replace("tiny@1", "tiny@9")}, "recipe.model"),
    ):
        response, said = claim(visitor, work, **more)
        assert (response.status in (400, 404), list(said["fields"])) == (True, [field]), (more, said)
    response, said = claim(visitor, work, model_digest="sha256:" + "0" * 64)
    assert (response.status, said["reason"]) == (409, "OTHER_MODEL")
    assert visitor.json("GET", f"/api/certificates/{work['digest']}") == {"work": None}


def test_nobody_claims_for_a_visitor_and_a_visitor_claims_so_many_an_hour(
    visitor: Visitor, claiming_site: Site, seeds: Iterator[int]
) -> None:
    work = drawn(visitor, next(seeds))
    stranger = Visitor(claiming_site)  # without the cookie
    assert claim(stranger, work)[0].status == 409
    other = Visitor(claiming_site, visitor.cookie, {"Origin": "https://evil.example"})
    assert claim(other, work)[0].status == 403
    for _ in range(CLAIMS):
        assert claimed(visitor, work)
    response, said = claim(visitor, work)
    assert (response.status, f"At most {CLAIMS} works an hour" in said["message"]) == (429, True)
    assert 500 < said["retry_after"] <= 600
    assert claimed(Visitor(claiming_site).enter(), work), "another visitor has hours of their own"


def test_a_picture_is_verified_by_the_registry(visitor: Visitor, seeds: Iterator[int]) -> None:
    work = drawn(visitor, next(seeds))
    _, data = visitor.ask("GET", work["image"])
    found = visitor.json("POST", "/api/verify", data)
    assert "nobody has claimed it here" in found["verdict"]
    assert (found["link"], found["work"]) == (work["link"], None)
    assert ["Drawn again", "every byte is the same"] in found["facts"]
    made = claimed(visitor, work)
    found = visitor.json("POST", "/api/verify", data)
    assert "every pixel is the same" in found["verdict"]
    assert (found["link"], found["work"]) == (work["link"], made)
    assert (found["neighbours"][0]["digest"], found["neighbours"][0]["near_copy"]) == (work["digest"], True)
    assert [name for name, _ in found["facts"]] == ["Says of itself", "Watermark", "Credentials", "Drawn again"]
    with Image.open(BytesIO(data)) as image:
        changed = image.convert("RGB")
        changed.putpixel((3, 3), (0, 0, 0))
        changed.save(damaged := BytesIO(), "PNG")
    found = visitor.json("POST", "/api/verify", damaged.getvalue())
    assert "carries no mark of it" in found["verdict"] or "by its watermark" in found["verdict"]
    assert found["work"]["digest"] == work["digest"]
    for wrong in (b"no picture", b"\0" * 16_000_001):
        response, said = visitor.ask("POST", "/api/verify", wrong)
        assert (response.status, list(json.loads(said)["fields"])) == (400, ["picture"])


def test_certificates_are_shown_while_as_many_pictures_are_verified_as_can_be(
    visitor: Visitor, seeds: Iterator[int]
) -> None:
    work = drawn(visitor, next(seeds))
    noise = np.random.default_rng(1).integers(0, 256, (384, 384, 3), np.uint8)
    Image.fromarray(noise).save(file := BytesIO(), "PNG")
    asked = 0
    with ThreadPoolExecutor(REGISTRY_CALLS) as pool:
        verified = [pool.submit(visitor.json, "POST", "/api/verify", file.getvalue()) for _ in range(REGISTRY_CALLS)]
        while not any(each.done() for each in verified):
            assert visitor.json("GET", f"/api/certificates/{work['digest']}") == {"work": None}
            asked += 1
    assert asked > 10, "the first picture was verified before certificates were shown"
    assert all("Nothing says" in each.result()["verdict"] for each in verified)


def test_works_are_shown_while_the_registry_does_not_answer(
    visitor: Visitor, registry: Registering, seeds: Iterator[int]
) -> None:
    work = drawn(visitor, next(seeds))
    registry.kill()
    try:
        assert drawn(visitor, 7)["registry"] is True
        response, said = visitor.ask("GET", f"/api/certificates/{work['digest']}")
        assert (response.status, json.loads(said)["message"][:28]) == (503, "The registry does not answer")
        assert claim(visitor, work)[0].status == 503
    finally:
        registry.start()
    assert claimed(visitor, work)


def test_a_gallery_may_show_certificates_and_let_nobody_claim(
    visitor: Visitor, claiming_site: Site, seeds: Iterator[int]
) -> None:
    work = drawn(visitor, next(seeds))
    assert work["claims"] is True
    made = claimed(visitor, work)
    claiming_site.env["UNIKAT_VISITOR_CLAIMS"] = "0"
    claiming_site.stop()
    claiming_site.start()
    try:
        assert drawn(visitor, 7)["claims"] is False
        response, said = claim(visitor, drawn(visitor, next(seeds)))
        assert (response.status, "claim no works" in said["message"]) == (409, True)
        assert visitor.json("GET", f"/api/certificates/{work['id']}") == {"work": made}
    finally:
        claiming_site.env["UNIKAT_VISITOR_CLAIMS"] = str(CLAIMS)
        claiming_site.stop()
        claiming_site.start()


def test_without_a_registry_nothing_can_be_claimed(site: Site) -> None:
    visitor = Visitor(site).enter()
    work = drawn(visitor, 7)
    assert work["registry"] is False
    response, said = claim(visitor, work)
    assert (response.status, "none runs here" in said["message"]) == (409, True)
    assert visitor.ask("GET", f"/api/certificates/{work['digest']}")[0].status == 409
