"""Fashion-MNIST from its IDX files."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat_training.data.build import Picture, Recipe
from unikat_training.data.dataset import Attribute, Source
from unikat_training.errors import DatasetError

Split = Literal["train", "test"]
DEBIAN_FOLDER: Final = Path("/usr/share/datasets/fashion-mnist")
PREFIXES: Final = {"train": "train", "test": "t10k"}
CATEGORIES: Final = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SOURCE: Final = Source(
    "fashion-mnist",
    "https://github.com/zalandoresearch/fashion-mnist",
    "MIT",
    "Fashion-MNIST by Zalando SE (Han Xiao, Kashif Rasul, Roland Vollgraf)",
)
SIDE = 28  # pixels of an original
PADDED = 32  # a power of two, as generators like; the border is black like the background
MAX_BYTES = 1 << 30  # of an unpacked file; the largest is 47 MB


def fashion_recipe(size: int, split: Split) -> Recipe:
    """What the data set is, apart from its pictures."""
    category = Attribute("category", "kind of garment", CATEGORIES)
    return Recipe(f"fashion-mnist-{split}-{size}", size, (category,), (SOURCE,))


def read_split(folder: Path, split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Images (N, 28, 28) and categories (N,). Raises DatasetError when a file is missing or unfit."""
    images = read_idx(_find(folder, f"{PREFIXES[split]}-images-idx3-ubyte"), 3)
    categories = read_idx(_find(folder, f"{PREFIXES[split]}-labels-idx1-ubyte"), 1)
    if len(images) != len(categories):
        raise DatasetError(f"{folder}: {len(images)} images but {len(categories)} labels of {split}")
    if images.shape[1:] != (SIDE, SIDE):
        raise DatasetError(f"{folder}: images are {images.shape[1]} x {images.shape[2]}; expected {SIDE} x {SIDE}")
    if len(categories) and categories.max() >= len(CATEGORIES):
        raise DatasetError(f"{folder}: a label is {categories.max()}; expected 0 to {len(CATEGORIES) - 1}")
    return images, categories


def fashion_pictures(
    images: npt.NDArray[np.uint8], categories: npt.NDArray[np.uint8], size: int, split: Split
) -> Iterator[Picture]:
    """The images as RGB of `size`: 28 as they are, else padded to 32 and, if that is not the size, resized."""
    for index, (image, category) in enumerate(zip(images, categories, strict=True)):
        grey = image if size == SIDE else np.pad(image, (PADDED - SIDE) // 2)
        if len(grey) != size:
            grey = np.asarray(Image.fromarray(grey).resize((size, size), Image.Resampling.LANCZOS), dtype=np.uint8)
        pixels = np.repeat(grey[:, :, None], 3, axis=2)
        fingerprint = hashlib.sha256(image.tobytes()).digest()
        yield Picture(f"{split}-{index:05d}", (CATEGORIES[category],), pixels, fingerprint)


def read_idx(file: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """The bytes of an IDX file (gzipped or not) as an array of so many dimensions. Raises DatasetError."""
    content = _unpacked(file)
    start = 4 + 4 * dimensions
    # Two zero bytes, the type (8: unsigned byte), the number of dimensions, then big-endian sizes.
    if len(content) < start or content[:4] != bytes((0, 0, 8, dimensions)):
        raise DatasetError(f"{file}: not an IDX file of bytes in {dimensions} dimensions")
    shape = tuple(int(n) for n in np.frombuffer(content, dtype=">u4", count=dimensions, offset=4))
    expected = start + int(np.prod(shape, dtype=object))  # object: sizes of a broken file must not wrap around
    if len(content) != expected:
        raise DatasetError(f"{file}: {len(content)} bytes; its header says {expected}: cut short, or not whole")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    # Some downloads spell the dot of the original MNIST: train-images.idx3-ubyte.
    spellings = (name, name.replace("-idx", ".idx"))
    for file in (folder / f"{spelling}{suffix}" for spelling in spellings for suffix in (".gz", "")):
        if file.is_file():
            return file
    raise DatasetError(
        f"--source {folder}: no {name}.gz; install it (`apt-get install dataset-fashion-mnist`), or download the four "
        "files of github.com/zalandoresearch/fashion-mnist into a folder and name that"
    )


def _unpacked(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            packed = opened.read(2) == b"\x1f\x8b"
        with gzip.open(file) if packed else file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{file}: cannot be read: {error}") from error
    if len(content) > MAX_BYTES:
        raise DatasetError(f"{file}: unpacks to more than {MAX_BYTES} bytes")
    return content
