"""Claims of artworks against a real registry, service and worker."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.provenance.registering import ORIGIN, Owner, Registering, drawing, registering
from tests.support.refusing_models import TRUNCATION, write_copier, write_memoriser
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.canonical_json import canonical
from unikat.certificate import Certificate, CertificateError, marked_digest
from unikat.cli.certificate_page import draw_page
from unikat.errors import InvalidRequest, NotFound, WrongState
from unikat.pictures import read_pixels
from unikat.recipes.messages import recipe_message
from unikat.registry import Registry, standing
from unikat.transparency import SigningKey
from unikat.v1 import provenance_pb2 as pb

ANNA, BELA = Owner("Anna"), Owner("Bela")
SEED, COPIED = 7, 4  # what the model "copier" draws there is one of its training pictures


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registering]:
    folder = tmp_path_factory.mktemp("claims")
    write_tiny_bundle(folder / "models", size=64)
    write_copier(folder / "models", [COPIED], SEED)
    write_memoriser(folder / "models")
    with drawing(folder / "models") as stack, registering(stack, folder) as running:
        yield running
        assert running.program is not None
        assert "Traceback" not in running.program.output


@pytest.fixture
def client(registry: Registering) -> Iterator[Registry]:
    with registry.client() as connected:
        yield connected


def test_a_claim_gives_a_certificate_that_holds(registry: Registering, client: Registry) -> None:
    made = client.claim(ANNA.claim(1))
    certificate = Certificate.parse(made.document)
    certificate.verify(registry.key.verifier)
    assert certificate.key == registry.key.verifier
    entry = certificate.claim.entry
    with Studio(registry.stack.target) as studio:
        drawn = studio.draw("tiny", {"style": "ink"}, seed=1)
    assert (certificate.artwork, entry["file"]) == (drawn.digest, hashlib.sha256(drawn.data).hexdigest())
    marked, unmarked = (bytes.fromhex(entry["pixels"][name]) for name in ("marked", "unmarked"))
    assert (marked, unmarked) == (marked_digest(drawn.array()), drawn.pixels_digest)
    assert certificate.shows(drawn.array())
    assert made.image == drawn.data
    assert certificate.claim.details == {"title": "Sea 1", "creator": "Anna", "owner": "Anna"}
    assert certificate.owner == ("Anna", ANNA.public)
    assert entry["recipe"]["conditions"].keys() == {"style", "subject"}  # what was left open is said
    assert "Yes" in certificate.said["model"]["sale"]
    assert certificate.said["link"] == f"https://art.example/verify/{drawn.digest.hex()}"
    assert client.certificate(drawn.id).work == client.certificate(drawn.digest.hex()).work == made.work


def test_a_recipe_is_claimed_and_drawn_again(registry: Registering, client: Registry) -> None:
    with Studio(registry.stack.target) as studio:
        drawn = studio.draw("tiny", {"style": "ink", "subject": "sea"}, recipe="901:0*0.6,902:0*0.8")
        plain = studio.draw("tiny", {"style": "ink", "subject": "sea"}, recipe="903:4")
    claim = ANNA.claim(0, picture=drawn.data)
    claim.recipe.conditions.add(attribute="subject", category="sea")
    claim.recipe.recipe.CopyFrom(recipe_message(drawn.recipe.mix))
    made = client.claim(claim)
    entry = Certificate.parse(made.document).claim.entry
    assert entry["artwork"] == drawn.digest.hex()
    assert (entry["recipe"]["recipe"], entry["recipe"]["seed"]) == ("901:0*0.6,902:0*0.8", "0")
    assert draw_page(Certificate.parse(made.document), made.image).startswith(b"%PDF")
    redrawn = client.redraw(drawn.id)
    assert (redrawn.same_file, redrawn.same_drawing) == (True, True)
    claim.recipe.recipe.CopyFrom(recipe_message(plain.recipe.mix))
    claim.picture = plain.data
    of_a_place = Certificate.parse(client.claim(claim).document).claim.entry["recipe"]
    assert (of_a_place["seed"], of_a_place["index"], "recipe" in of_a_place) == ("903", 4, False)
    claim.recipe.recipe.points[0].weight = 0
    with pytest.raises(InvalidRequest, match="cancel") as refused:
        client.claim(claim)
    assert list(refused.value.fields) == ["recipe.recipe.points"]


def test_what_is_claimed_is_refused_with_what_stands_against_it(client: Registry) -> None:
    first = client.claim(ANNA.claim(2))
    again = client.claim(ANNA.claim(2))  # an answer that was lost
    assert again.work == first.work
    for other in (BELA.claim(2), ANNA.claim(2, owner="Somebody")):
        with pytest.raises(InvalidRequest, match="claimed already") as refused:
            client.claim(other)
        assert refused.value.reason == "ALREADY_CLAIMED"
        assert standing(refused.value) == first.work


def test_a_near_copy_is_refused(client: Registry) -> None:
    first = client.claim(ANNA.claim(3))
    twin = BELA.claim(3)
    twin.recipe.truncation = 0.8001  # another artwork, which nobody could tell from the first
    with pytest.raises(InvalidRequest, match="near copy") as refused:
        client.claim(twin)
    assert refused.value.reason == "NEAR_WORK"
    assert standing(refused.value) == first.work
    other = BELA.claim(3)
    other.recipe.index = 1
    assert client.claim(other).work.entry > first.work.entry


def test_a_copy_of_a_training_picture_is_refused(client: Registry) -> None:
    request = ANNA.claim(SEED)
    request.recipe.CopyFrom(pb.ArtworkRecipe(model="copier@1", seed=SEED, index=COPIED, truncation=TRUNCATION))
    with pytest.raises(WrongState, match="near copy of a picture that copier@1 was trained on; attempt 1") as refused:
        client.claim(request)
    assert refused.value.reason == "NEAR_COPY"
    request.recipe.attempt = 1
    entry = Certificate.parse(client.claim(request).document).claim.entry
    assert (entry["recipe"]["index"], entry["recipe"]["attempt"]) == (COPIED, 1)
    request.recipe.index, request.recipe.attempt = COPIED + 1, 0
    assert client.claim(request).work
    request.recipe.CopyFrom(pb.ArtworkRecipe(model="memory", seed=1))
    with pytest.raises(WrongState, match="all attempts are too near to a training picture") as refused:
        client.claim(request)
    assert refused.value.reason == "NEAR_COPY"


def test_two_who_claim_at_once_get_one_certificate(client: Registry) -> None:
    def claim(owner: Owner) -> pb.Certificate | InvalidRequest:
        try:
            return client.claim(owner.claim(4))
        except InvalidRequest as refused:
            return refused

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(claim, [ANNA, BELA] * 4))
    works = {answer.work.digest: answer.work.owner for answer in answers if isinstance(answer, pb.Certificate)}
    assert len(works) == 1
    assert [answer.reason for answer in answers if isinstance(answer, InvalidRequest)] == ["ALREADY_CLAIMED"] * 4


def test_the_picture_that_is_claimed_has_to_be_the_one_of_the_recipe(registry: Registering, client: Registry) -> None:
    with Studio(registry.stack.target) as studio:
        right = studio.draw("tiny", {"style": "ink"}, seed=5)
        webp = studio.draw("tiny", {"style": "ink"}, seed=5, format="webp")
    damaged = right.array()
    damaged[10, 10] ^= 255
    wrong = BytesIO()
    Image.fromarray(damaged).save(wrong, "PNG")
    for picture in (wrong.getvalue(), client.claim(BELA.claim(55)).image):
        with pytest.raises(WrongState, match="of its pixels differ") as refused:
            client.claim(ANNA.claim(5, picture=picture))
        assert refused.value.reason == "OTHER_PICTURE"
    assert client.claim(ANNA.claim(5, picture=webp.data)).work.digest == right.digest


def test_what_is_wrong_is_named_before_anything_is_drawn(client: Registry) -> None:
    with pytest.raises(InvalidRequest) as refused:
        client.claim(pb.ClaimArtworkRequest(title="\n", owner_key=b"short"))
    assert refused.value.fields.keys() == {"creator", "title", "owner_key", "recipe.model"}
    unknown = ANNA.claim(6)
    unknown.recipe.conditions[0].category = "inc"
    with pytest.raises(InvalidRequest) as refused:
        client.claim(unknown)
    assert list(refused.value.fields) == ["recipe.conditions[0].category"]
    other_model = ANNA.claim(6)
    other_model.recipe.model_digest = "sha256:" + "0" * 64
    with pytest.raises(WrongState, match="digest"):
        client.claim(other_model)
    for id, error in (("xyz", InvalidRequest), ("0" * 16, NotFound)):
        with pytest.raises(error):
            client.certificate(id)


def test_a_work_is_handed_on_by_its_owner_only(registry: Registering, client: Registry) -> None:
    carl = Owner("Carl")
    work = client.claim(ANNA.claim(7)).work
    with pytest.raises(WrongState, match="not the present owner's") as refused:
        client.transfer(BELA.transfer(work, carl))
    assert refused.value.reason == "NOT_THE_OWNER"
    first = ANNA.transfer(work, BELA)
    handed = client.transfer(first)
    assert client.transfer(first).work == handed.work  # an answer that was lost
    with pytest.raises(WrongState):
        client.transfer(ANNA.transfer(work, carl, number=2))
    made = client.transfer(BELA.transfer(work, carl, number=2))
    assert (made.work.owner, made.work.owner_key, made.work.transfers) == ("Carl", carl.public, 2)
    certificate = Certificate.parse(made.document)
    certificate.verify(registry.key.verifier)
    assert certificate.owner == ("Carl", carl.public)
    assert [each.entry["number"] for each in certificate.transfers] == [1, 2]
    assert [each.digest for each in client.works(owner_key=carl.public)] == [work.digest]


def test_works_are_listed_newest_first_by_pages(registry: Registering, client: Registry) -> None:
    for seed in range(20, 23):
        client.claim(ANNA.claim(seed))
    every = list(client.works())
    assert [work.entry for work in every] == sorted((work.entry for work in every), reverse=True)
    request = pb.ListArtworksRequest(page_size=2)
    paged: list[pb.Work] = []
    while True:
        page = client._link.provenance.ListArtworks(request)
        paged += page.works
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert paged == every
    with pytest.raises(InvalidRequest, match="page_token"):
        client._ask(client._link.provenance.ListArtworks, pb.ListArtworksRequest(page_token="x"), 5)


def test_a_redraw_is_the_same_file(client: Registry) -> None:
    found = client.redraw(client.claim(ANNA.claim(8)).work.id)
    assert (found.same_file, found.same_drawing, found.same_pixels, found.reason) == (True, True, True, "")


def test_every_byte_of_a_certificate_that_changes_is_found(registry: Registering, client: Registry) -> None:
    work = client.claim(ANNA.claim(9)).work
    document = client.transfer(ANNA.transfer(work, BELA)).document
    key = registry.key.verifier
    for place in range(len(document)):
        damaged = document[:place] + bytes([document[place] ^ 1]) + document[place + 1 :]
        with pytest.raises(CertificateError):
            Certificate.parse(damaged).verify(key)


def paths(value: object, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of all that is in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, each in inner:
        yield (*before, name)
        yield from paths(each, (*before, name))


@pytest.mark.parametrize("instead", [None, [], {}, 7, "zz"], ids=repr)
def test_a_certificate_that_lacks_a_part_is_none_whoever_signed_it(
    registry: Registering, client: Registry, instead: object
) -> None:
    """Anybody can sign what is no certificate by a key of their own, which it names."""
    work = client.claim(ANNA.claim(13)).work
    made = client.transfer(ANNA.transfer(work, BELA))
    document, image = json.loads(made.document), made.image
    for *path, last in paths(document):
        said = json.loads(json.dumps(document))
        place = said
        for name in path:
            place = place[name]
        place[last] = instead
        del said["signature"]
        signature = registry.key.sign(f"{canonical(said)}\n").rstrip("\n")
        with suppress(CertificateError):  # and nothing else is raised
            found = Certificate.parse(canonical(said | {"signature": signature}).encode())
            found.verify(registry.key.verifier)
            draw_page(found, image)


def test_a_signed_certificate_with_one_part_changed_says_which(registry: Registering, client: Registry) -> None:
    """Even the registry cannot put into a certificate what is not in its log."""
    work = client.claim(ANNA.claim(10)).work
    document = client.transfer(ANNA.transfer(work, BELA)).document

    def signed(*change: object) -> Certificate:
        said = json.loads(document)
        del said["signature"]
        *path, last, value = change
        place = said
        for name in path:
            place = place[name]
        place[last] = value
        signature = registry.key.sign(f"{canonical(said)}\n").rstrip("\n")
        return Certificate.parse(canonical(said | {"signature": signature}).encode())

    for change, complaint in (
        (("claim", "entry", "file", "0" * 64), "the claim: the entry and the proof's hashes do not lead"),
        (("claim", "details", "title", "Other"), "the claim: its names are not those that were entered"),
        (("claim", "proof", "hashes", []), "the claim: the proof has too few hashes"),
        (("transfers", 0, "entry", "to", ANNA.public.hex()), "transfer 1: the entry and the proof's hashes"),
        (("key", str(SigningKey("x", bytes(32)).verifier)), None),
    ):
        certificate = signed(*change)
        if complaint is None:
            certificate.verify(registry.key.verifier)
            assert certificate.key != registry.key.verifier
            continue
        with pytest.raises(CertificateError, match=complaint):
            certificate.verify(registry.key.verifier)
    with pytest.raises(CertificateError, match="the signature"):
        signed("issued", "never").verify(SigningKey(ORIGIN, bytes(32)).verifier)


def test_a_checkpoint_of_another_log_is_told(registry: Registering, client: Registry) -> None:
    certificate = Certificate.parse(client.claim(ANNA.claim(11)).document)
    key = registry.key.verifier
    checkpoint = (registry.folder / "log" / "checkpoint").read_text()
    certificate.verify_checkpoint(checkpoint, key)
    client.claim(ANNA.claim(12))
    with pytest.raises(CertificateError, match="same size"):
        certificate.verify_checkpoint((registry.folder / "log" / "checkpoint").read_text(), key)
    with pytest.raises(CertificateError, match="the checkpoint:"):
        certificate.verify_checkpoint(checkpoint.replace(ORIGIN, "other.example/log"), key)


def test_every_pixel_that_changes_is_found(client: Registry) -> None:
    made = client.claim(ANNA.claim(13))
    certificate, pixels = Certificate.parse(made.document), read_pixels(made.image).copy()
    assert certificate.shows(pixels)
    for place in np.ndindex(*pixels.shape):
        pixels[place] ^= 1
        assert not certificate.shows(pixels)
        pixels[place] ^= 1
