"""Marks on their whole way: drawn by a worker, delivered by a service, read by `unikat verify`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.end_to_end.shop import plan
from tests.end_to_end.stack import Stack, running_stack
from tests.support.batch_calls import BatchCalls
from tests.support.processes import free_port, spawn
from tests.support.tiny_model import write_tiny_bundle
from unikat import Artwork, Studio
from unikat.batches.verify import pick
from unikat.cli import app
from unikat.cli.problems import Problem
from unikat.errors import JobFailed
from unikat.examination import Verdict
from unikat.identity import artwork_digest
from unikat.key_file import add_key
from unikat.metadata import of_several, read_statement
from unikat.v1 import batches_pb2 as pb


@dataclass(frozen=True)
class Serving:
    """A stack that marks, and where it writes."""

    stack: Stack
    folder: Path

    def draw(self, **more: object) -> Artwork:
        """An image of the 64 px model."""
        with Studio(self.stack.target) as studio:
            return studio.draw("tiny", {"style": "ink"}, seed=7, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("marks")
    write_tiny_bundle(folder / "models", size=64)
    (folder / "open").mkdir()
    with running_stack(folder / "models", UNIKAT_DESTINATIONS=f"file://{folder / 'open'}") as stack:
        yield Serving(stack, folder)


def verified(*arguments: object) -> tuple[int, dict[str, object]]:
    """Exit code and what `unikat verify --json` says of a picture."""
    done = CliRunner().invoke(app, ["verify", "--json", *map(str, arguments)])
    return done.exit_code, json.loads(done.output)


@pytest.mark.parametrize("format", ["png", "webp", "jpeg"])
def test_an_image_says_which_artwork_it_is_in_its_file_and_in_its_pixels(
    serving: Serving, tmp_path: Path, format: str
) -> None:
    artwork = serving.draw(format=format)
    weights = {name: {category: 1.0} for name, category in artwork.conditions.items() if isinstance(category, str)}
    assert artwork.digest == artwork_digest(artwork.model_digest, weights, 7, 0, artwork.truncation)
    assert artwork.renderer.mark == "open"
    file = tmp_path / f"image.{format}"
    artwork.save(file)
    code, facts = verified(file)
    assert (code, facts["verdict"]) == (0, Verdict.BOTH)
    assert facts["artwork"] == artwork.digest.hex()
    assert str(facts["mark_of"]) == artwork.digest[:4].hex()
    assert facts["conditions"] == artwork.conditions
    assert (facts["model"], facts["seed"], facts["index"]) == ("tiny@1", "7", 0)


def test_a_response_says_the_digest_of_the_pixels_before_the_mark(serving: Serving) -> None:
    marked = serving.draw()
    target = f"127.0.0.1:{free_port()}"
    env = serving.stack.env | {"UNIKAT_LISTEN": target, "UNIKAT_MARK": "none"}
    with spawn("unikat_service", env=env, ready="service ready"), Studio(target) as studio:
        bare = studio.draw("tiny", {"style": "ink"}, seed=7)
    assert marked.pixels_digest == bare.pixels_digest == hashlib.sha256(bare.array().tobytes()).digest()
    assert not np.array_equal(marked.array(), bare.array())


def test_a_file_without_metadata_is_known_by_its_pixels(serving: Serving, tmp_path: Path) -> None:
    artwork = serving.draw()
    for name in ("bare.png", "again.jpg"):  # Pillow's JPEG of quality 75
        Image.fromarray(artwork.array()).save(tmp_path / name)
        code, facts = verified(tmp_path / name)
        assert (code, facts["verdict"], facts["mark_of"]) == (0, Verdict.MARK, artwork.digest[:4].hex()), name


def test_metadata_of_one_image_on_the_pixels_of_another_are_a_contradiction(serving: Serving, tmp_path: Path) -> None:
    one, other = serving.draw(), serving.draw(index=1)
    text = next(chunk for chunk in chunks(one.data) if b"XML:com.adobe.xmp" in chunk)
    swapped = b"".join(text if b"XML:com.adobe.xmp" in chunk else chunk for chunk in chunks(other.data))
    (tmp_path / "swapped.png").write_bytes(swapped)
    code, facts = verified(tmp_path / "swapped.png")
    assert (code, facts["verdict"]) == (1, Verdict.CONTRADICTION)


def test_a_batch_has_the_same_bytes_and_says_which_marks_it_has(serving: Serving) -> None:
    destination = str(serving.folder / "open" / "batch")
    with BatchCalls(serving.stack.target) as calls:
        request = pb.CreateBatchRequest(
            model="tiny", seed=7, request_id="marks", destination=destination, plans=plan(40), shard_size=16
        )
        calls.finish(calls.create(request).id)
    for picked in pick(destination, 10, 1):
        with Studio(serving.stack.target) as studio:
            where = {name: dict(of) for name, of in picked.weights.items()}
            again = studio.draw("tiny", where, index=picked.index, seed=7, truncation=picked.truncation)
        assert again.data == picked.data
        assert picked.renderer.mark == "open"


def test_a_sheet_says_that_it_was_generated(tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), "white").save(tmp_path / "sheet.png", pnginfo=of_several())
    code, facts = verified(tmp_path / "sheet.png")
    assert (code, facts["verdict"], facts["drawn_by"]) == (0, Verdict.METADATA, "Unikat")


def test_a_picture_that_is_not_ours_says_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    code, facts = verified(tmp_path / "noise.png")
    assert (code, facts["verdict"]) == (1, Verdict.NOTHING)
    assert facts.keys() == {"file", "verdict"}


def test_a_damaged_picture_is_told_of(serving: Serving, tmp_path: Path) -> None:
    parts = chunks(serving.draw().data)
    parts[3] = parts[3][:4] + b"\0\1\2\3" + parts[3][8:]
    for name, data in (("chunk.png", b"".join(parts)), ("text.png", b"no picture")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(Problem, match=rf"{name}: not a picture that can be read"):
            app(["verify", str(tmp_path / name)])


def test_none_is_an_image_as_it_was_drawn(serving: Serving) -> None:
    marked = serving.draw()
    stack = Stack(serving.stack.valkey, serving.folder / "models", UNIKAT_MARK="none")
    try:
        stack.start_service()
        with Studio(stack.target) as studio:
            plain = studio.draw("tiny", {"style": "ink"}, seed=7)
    finally:
        stack.close()
    assert plain.renderer.mark == ""
    assert read_statement(plain.data) is None
    assert (plain.id, plain.digest) == (marked.id, marked.digest)
    difference = np.abs(plain.array().astype(int) - marked.array())
    assert 0 < difference.max() <= 14


def test_a_key_of_ones_own_is_found_by_who_has_it_and_a_worker_without_it_says_so(
    serving: Serving, tmp_path: Path
) -> None:
    keys = tmp_path / "marks"
    add_key(keys, "shop")
    stack = Stack(serving.stack.valkey, serving.folder / "models", UNIKAT_MARK="shop", UNIKAT_RETRIES="1")
    try:
        stack.start_service()
        with Studio(stack.target) as studio, pytest.raises(JobFailed, match="UnknownMarkKey"):
            studio.draw("tiny", {"style": "ink"}, seed=7)
        assert "no key 'shop' of watermarks here (there is open)" in serving.stack.workers[0].output
        for worker in list(serving.stack.workers):
            serving.stack.kill(worker)
        serving.stack.env["UNIKAT_MARK_KEYS"] = str(keys)
        serving.stack.start_worker().wait_for_line("worker ready")
        with Studio(stack.target) as studio:
            studio.draw("tiny", {"style": "ink"}, seed=8).save(tmp_path / "shop.png")
    finally:
        stack.close()
    bare = tmp_path / "bare.png"
    Image.open(BytesIO((tmp_path / "shop.png").read_bytes())).convert("RGB").save(bare)
    assert verified(bare)[1]["verdict"] == Verdict.NOTHING
    code, facts = verified(bare, "--mark-keys", keys)
    assert (code, facts["verdict"], facts["mark"]) == (0, Verdict.MARK, "shop")


def chunks(png: bytes) -> list[bytes]:
    """A PNG's signature and its chunks."""
    found, at = [png[:8]], 8
    while at < len(png):
        end = at + 12 + int.from_bytes(png[at : at + 4], "big")
        found.append(png[at:end])
        at = end
    return found
