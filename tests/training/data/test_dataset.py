"""A prepared data set is checked while it is loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.data.preparing import fill, png, prepare
from unikat.bundle import digest_of
from unikat_training.data.dataset import Dataset
from unikat_training.errors import DatasetError


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """Three cats and two dogs at 16 pixels."""
    pictures = fill(tmp_path / "in", {f"{kind}/{i}.png": png(i) for i, kind in enumerate(["cat", "dog"] * 2 + ["cat"])})
    result = prepare(tmp_path / "out", "folder", pictures, "--size", "16", "--licence", "CC0-1.0")
    assert result.code == 0, result.printed
    return result.out


def test_what_was_prepared_is_what_is_loaded(prepared: Path) -> None:
    dataset = Dataset.load(prepared)

    assert (len(dataset), dataset.resolution, dataset.name) == (5, 16, "out")
    assert isinstance(dataset.images, np.memmap)
    assert dataset.attributes[0].categories == ("cat", "dog")
    assert dataset.attributes[0].counts == (3, 2)
    assert dataset.labels[:, 0].tolist() == [0, 0, 0, 1, 1]
    assert dataset.one_hots().tolist() == [[1, 0]] * 3 + [[0, 1]] * 2
    assert dataset.one_hots().dtype == np.float32
    assert dataset.sources[0].licence == "CC0-1.0"


def test_images_cannot_be_written_to(prepared: Path) -> None:
    with pytest.raises(ValueError, match="read-only"):
        Dataset.load(prepared).images[0] = 0


def _edit(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        document = json.loads((folder / "dataset.json").read_text())
        change(document)
        (folder / "dataset.json").write_text(json.dumps(document))

    return apply


def _other_images(images: np.ndarray[Any, Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        np.save(folder / "images.npy", images)
        _edit(lambda d: d["digests"].update({"images.npy": digest_of(folder / "images.npy")}))(folder)

    return apply


def _flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / "images.npy").read_bytes())
    content[-1] ^= 1
    (folder / "images.npy").write_bytes(content)


BREAKAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "no images": (lambda p: (p / "images.npy").unlink(), "images.npy: missing"),
    "no description": (lambda p: (p / "dataset.json").unlink(), "dataset.json: missing"),
    "not JSON": (lambda p: (p / "dataset.json").write_text("{"), "cannot be read as JSON"),
    "not an object": (lambda p: (p / "dataset.json").write_text("[]"), "expected an object"),
    "not UTF-8": (lambda p: (p / "dataset.json").write_bytes(b"\xff"), "cannot be read as JSON"),
    "changed images": (_flip_a_bit, "the file was changed or cut short"),
    "cut images": (lambda p: (p / "images.npy").write_bytes(b""), "the file was changed or cut short"),
    "other shape": (_other_images(np.zeros((5, 8, 8, 3), np.uint8)), "dataset.json says"),
    "other type": (_other_images(np.zeros((5, 16, 16, 3), np.float32)), "holds float32"),
    "newer": (_edit(lambda d: d.update(format=2)), "format 2 is newer"),
    "older": (_edit(lambda d: d.update(format=0)), "format 0 is unknown"),
    "format is a text": (_edit(lambda d: d.update(format="1")), "format: expected a whole number"),
    "a field is missing": (_edit(lambda d: d.pop("sources")), "sources: missing"),
    "label too large": (_edit(lambda d: d["labels"].__setitem__(1, [2])), r"labels\[1\] has category 2; .* 0 to 1"),
    "label negative": (_edit(lambda d: d["labels"].__setitem__(1, [-1])), r"labels\[1\] has category -1"),
    "label huge": (_edit(lambda d: d["labels"].__setitem__(1, [2**70])), "beyond 64 bits"),
    "label of two": (_edit(lambda d: d["labels"].__setitem__(1, [0, 0])), "expected 1 integers"),
    "label is true": (_edit(lambda d: d["labels"].__setitem__(1, [True])), "expected 1 integers"),
    "too few labels": (_edit(lambda d: d["labels"].pop()), "4 rows for 5 images"),
    "wrong counts": (_edit(lambda d: d["attributes"][0]["categories"][0].update(count=9)), "its labels say"),
    "category twice": (_edit(lambda d: d["attributes"][0]["categories"][0].update(name="dog")), "all different"),
    "attribute twice": (_edit(lambda d: d["attributes"].append(d["attributes"][0])), "attribute names must differ"),
    "too few items": (_edit(lambda d: d["items"].pop()), "items must be 5 names"),
    "odd digest": (_edit(lambda d: d["digests"].update({"images.npy": "md5:0"})), "expected sha256"),
}


@pytest.mark.parametrize("breakage", BREAKAGES)
def test_a_broken_data_set_is_refused_with_the_reason(prepared: Path, breakage: str) -> None:
    damage, message = BREAKAGES[breakage]
    damage(prepared)

    with pytest.raises(DatasetError, match=message):
        Dataset.load(prepared)


def test_a_folder_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="prepare"):
        Dataset.load(tmp_path / "nothing")
