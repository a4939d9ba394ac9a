"""Fashion-MNIST's IDX files, as they are installed or downloaded."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.preparing import prepare

COUNT = 12
IMAGES = np.random.default_rng(0).integers(0, 256, (COUNT, 28, 28), dtype=np.uint8)
LABELS = np.arange(COUNT, dtype=np.uint8) % 10


def idx(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "idx"
    folder.mkdir()
    for prefix in ("train", "t10k"):
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(IMAGES)))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS)))
    return folder


def test_the_garments_are_padded_to_32_with_their_names(tmp_path: Path, source: Path) -> None:
    dataset = prepare(tmp_path / "out", "fashion-mnist", "--source", source).dataset

    assert dataset.images.shape == (COUNT, 32, 32, 3)
    assert (dataset.images[:, 2:30, 2:30] == IMAGES[..., None]).all()
    assert not dataset.images[:, :2].any()
    assert dataset.attributes[0].categories[9] == "ankle boot"
    assert dataset.labels[:, 0].tolist() == LABELS.tolist()
    assert dataset.sources[0].licence == "MIT"


@pytest.mark.parametrize("size", [16, 28, 64])
def test_other_sizes_are_made(tmp_path: Path, source: Path, size: int) -> None:
    dataset = prepare(tmp_path / "out", "fashion-mnist", "--source", source, "--size", str(size)).dataset
    assert dataset.resolution == size
    assert size != 28 or (dataset.images[..., 0] == IMAGES).all()


def test_unpacked_downloads_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "t10k-images.idx3-ubyte").write_bytes(idx(IMAGES))
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(LABELS))

    dataset = prepare(tmp_path / "out", "fashion-mnist", "--source", tmp_path, "--split", "test").dataset
    assert dataset.items[0] == "test-00000"


def test_missing_files_say_what_to_install(tmp_path: Path) -> None:
    message = prepare(tmp_path / "out", "fashion-mnist", "--source", tmp_path).message
    assert "apt-get install dataset-fashion-mnist" in message


def _gz(change: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    return lambda packed: gzip.compress(change(gzip.decompress(packed)))


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda b: b"", "not an IDX file"),
    "other type": (_gz(lambda b: b[:2] + b"\x0d" + b[3:]), "not an IDX file"),
    "cut archive": (lambda b: b[:-40], "cannot be read"),
    "spoilt archive": (lambda b: b[:200] + b"\0" * 50 + b[250:], "cannot be read"),
    "cut array": (_gz(lambda b: b[:-1]), "cut short"),
    "too long": (_gz(lambda b: b + b"\0"), "not whole"),
    "huge size": (_gz(lambda b: b[:4] + b"\xff" * 12 + b[16:]), "its header says"),
    "fewer images": (lambda b: gzip.compress(idx(IMAGES[:3])), "3 images but 12 labels"),
    "other sides": (lambda b: gzip.compress(idx(IMAGES[:, :20])), "expected 28 x 28"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_with_the_reason(tmp_path: Path, source: Path, damage: str) -> None:
    change, said = DAMAGES[damage]
    file = source / "train-images-idx3-ubyte.gz"
    file.write_bytes(change(file.read_bytes()))

    message = prepare(tmp_path / "out", "fashion-mnist", "--source", source).message
    assert said in message


def test_a_label_beyond_the_ten_is_refused(tmp_path: Path, source: Path) -> None:
    (source / "train-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(LABELS + 1)))
    assert "expected 0 to 9" in prepare(tmp_path / "out", "fashion-mnist", "--source", source).message
