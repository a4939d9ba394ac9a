"""Pictures from anywhere, whole and damaged, against a real registry."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.provenance.registering import Owner, Registering, drawing, registering
from tests.support.content import FIRST, Signing
from tests.support.processes import ROOT
from unikat import Artwork, Studio
from unikat.certificate import Certificate
from unikat.content_credentials.signing import sidecar
from unikat.errors import InvalidRequest
from unikat.metadata import png_info
from unikat.registry import Registry
from unikat.v1 import provenance_pb2 as pb

OWNER = Owner("Anna")
WHERE = {"style": "lorelei"}


@dataclass(frozen=True)
class Claimed:
    """A registry with ten claimed portraits, of which `artwork` is one, and `unclaimed` is none."""

    registry: Registering
    client: Registry
    artwork: Artwork
    unclaimed: Artwork


@pytest.fixture(scope="module")
def claimed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Claimed]:
    folder = tmp_path_factory.mktemp("verification")
    with drawing(ROOT / "models") as stack, registering(stack, folder) as registry, registry.client() as client:
        for index in range(10):
            recipe = pb.ArtworkRecipe(model="portraits", seed=7, index=index)
            recipe.conditions.add(attribute="style", category="lorelei")
            request = pb.ClaimArtworkRequest(recipe=recipe, creator="Anna", owner_key=OWNER.public)
            client.claim(request)
        with Studio(stack.target) as studio:
            artworks = [studio.draw("portraits", WHERE, seed=7, index=index) for index in (4, 99)]
        yield Claimed(registry, client, *artworks)
        assert registry.program is not None
        assert "Traceback" not in registry.program.output


def saved(image: Image.Image, kind: str = "PNG", **options: int) -> bytes:
    """An image file without metadata."""
    file = BytesIO()
    Image.fromarray(np.asarray(image.convert("RGB"))).save(file, kind, **options)
    return file.getvalue()


def test_a_work_is_known_by_every_pixel(claimed: Claimed) -> None:
    found = claimed.client.verify(claimed.artwork.data)
    assert found.verdict == pb.VERDICT_WORK, found.summary
    assert found.certificate.work.digest == found.stated_digest == claimed.artwork.digest
    Certificate.parse(found.certificate.document).verify(claimed.registry.key.verifier)
    assert (found.redraw.same_file, found.redraw.reason) == (True, "")
    assert (found.mark.found, found.mark.key) == (True, "open")
    assert found.mark.payload == claimed.artwork.digest[:4]
    assert found.mark.chance < 1e-6
    assert found.credentials.state == "none"
    assert found.neighbours[0].work == found.certificate.work
    assert (found.neighbours[0].hash_distance, found.neighbours[0].colour_distance) == (0, 0)
    assert [each.near_copy for each in found.neighbours] == [True, False, False, False, False]


def test_credentials_of_strangers_take_no_memory_of_the_registry(claimed: Claimed, tmp_path: Path) -> None:
    signer = Signing.make(tmp_path).signer()
    beside = sidecar(claimed.artwork.data, "image/png", FIRST, signer)
    found = claimed.client.verify(claimed.artwork.data, credentials=beside)
    assert (found.credentials.state, found.credentials.trusted) == ("valid", False)
    # CBOR's text of 10 bytes becomes one whose length follows: c2pa takes 1.7 GB for it.
    bomb = beside.replace(b"jbackground", b"zbackground")
    assert claimed.client.verify(claimed.artwork.data, credentials=bomb).credentials.state == "invalid"
    assert claimed.registry.program is not None
    status = Path(f"/proc/{claimed.registry.program.process.pid}/status").read_text()
    assert int(status.partition("VmHWM:")[2].split()[0]) < 700_000  # kB, the most that it ever had


def test_the_same_pixels_in_another_file_are_the_work(claimed: Claimed) -> None:
    found = claimed.client.verify(saved(claimed.artwork.image()))
    assert found.verdict == pb.VERDICT_WORK
    assert (found.redraw.same_file, found.redraw.same_pixels) == (False, True)
    assert "written anew" in found.redraw.reason


DAMAGE: dict[str, Callable[[Image.Image], bytes]] = {
    "JPEG 75": lambda image: saved(image, "JPEG", quality=75),
    "WebP 90": lambda image: saved(image, "WEBP", quality=90),
    "twice the size": lambda image: saved(image.resize((128, 128))),
    "mirrored": lambda image: saved(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "a pixel": lambda image: saved(with_a_pixel(image)),
}


def with_a_pixel(image: Image.Image) -> Image.Image:
    changed = image.convert("RGB")
    changed.putpixel((30, 30), (0, 255, 0))
    return changed


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_stripped_and_damaged_picture_is_found_by_its_watermark(claimed: Claimed, damage: str) -> None:
    found = claimed.client.verify(DAMAGE[damage](claimed.artwork.image()))
    assert found.verdict == pb.VERDICT_CHANGED_WORK, found.summary
    assert found.certificate.work.digest == claimed.artwork.digest
    assert found.stated_digest == b""
    assert not found.redraw.same_pixels
    assert found.redraw.max_difference > 0
    assert found.redraw.reason


def test_a_part_of_a_picture_whose_mark_is_gone_is_found_by_what_it_looks_like(claimed: Claimed) -> None:
    part = claimed.artwork.image().crop((4, 2, 60, 61)).resize((40, 40), Image.Resampling.LANCZOS)
    found = claimed.client.verify(saved(part.quantize(16).convert("RGB")), redraw=False)
    assert found.verdict == pb.VERDICT_RESEMBLES_WORK, found.summary
    assert not found.mark.found
    assert found.certificate.work.digest == found.neighbours[0].work.digest == claimed.artwork.digest
    assert found.neighbours[1].hash_distance > 1.5 * found.neighbours[0].hash_distance
    assert found.neighbours[1].colour_distance > 1.5 * found.neighbours[0].colour_distance
    assert not found.HasField("redraw")


def test_what_nobody_claimed_is_drawn_again(claimed: Claimed) -> None:
    found = claimed.client.verify(claimed.unclaimed.data)
    assert (found.verdict, found.redraw.same_file) == (pb.VERDICT_UNCLAIMED, True), found.summary
    assert not found.HasField("certificate")
    bare = claimed.client.verify(saved(claimed.unclaimed.image()))
    assert (bare.verdict, bare.HasField("redraw")) == (pb.VERDICT_UNCLAIMED, False)


def test_metadata_of_one_work_in_the_file_of_another_are_a_contradiction(claimed: Claimed) -> None:
    with Image.open(BytesIO(claimed.unclaimed.data)) as other:
        stolen = other.info["XML:com.adobe.xmp"]
    file = BytesIO()
    claimed.artwork.image().save(file, "PNG", pnginfo=png_info(stolen.encode()))
    found = claimed.client.verify(file.getvalue())
    assert found.verdict == pb.VERDICT_CONTRADICTION, found.summary


@pytest.mark.parametrize("seed", ["-1", "18446744073709551616"])
def test_a_recipe_that_nothing_can_be_drawn_from_says_nothing(claimed: Claimed, seed: str) -> None:
    with Image.open(BytesIO(claimed.unclaimed.data)) as image:
        packet = image.info["XML:com.adobe.xmp"].replace('"seed": "7"', f'"seed": "{seed}"')
    file = BytesIO()
    claimed.unclaimed.image().save(file, "PNG", pnginfo=png_info(packet.encode()))
    found = claimed.client.verify(file.getvalue())
    assert (found.verdict, found.HasField("redraw"), found.stated_digest) == (pb.VERDICT_UNCLAIMED, False, b"")


def test_a_picture_of_more_pixels_than_are_looked_at_is_refused_with_the_limit(claimed: Claimed) -> None:
    with pytest.raises(InvalidRequest, match="2048 x 2049 pixels; at most 4,194,304") as refused:
        claimed.client.verify(saved(Image.new("1", (2048, 2049))))
    assert list(refused.value.fields) == ["picture"]
    with pytest.raises(InvalidRequest, match=r"8193 x 64 pixels; .* and 8,192 a side"):
        claimed.client.verify(saved(Image.new("1", (8193, 64))))


def test_another_picture_is_nothing_and_no_picture_is_an_error(claimed: Claimed) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (96, 80, 3), np.uint8)
    found = claimed.client.verify(saved(Image.fromarray(noise)))
    assert (found.verdict, found.HasField("certificate")) == (pb.VERDICT_NOTHING, False), found.summary
    assert not any(each.near_copy for each in found.neighbours)
    for rubbish in (b"", b"no picture", claimed.artwork.data[:200]):
        with pytest.raises(InvalidRequest) as refused:
            claimed.client.verify(rubbish)
        assert list(refused.value.fields) == ["picture"]
