"""Batches for tests: small images that follow from their index, and all that a worker does with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from unikat.artwork import Renderer
from unikat.batches.destination import normalise
from unikat.batches.shards import DrawnImage, write_shard
from unikat.batches.spec import BatchSpec, Cell, grid_cells
from unikat.batches.storage import Storage
from unikat.identity import artwork_digest, short_id
from unikat.request import FORMATS
from unikat.v1.batches_pb2 import LAYOUT_FILES, LAYOUT_WEBDATASET

RENDERER = Renderer("CPUExecutionProvider", "onnxruntime 1.24", "a processor")
CELLS = grid_cells({"style": ["noto", "fluent"], "category": ["face", "heart"]}, {}, 5)
BLEND = Cell({"style": {"noto": 0.7, "fluent": 0.3}, "category": {"face": 1.0}}, 3)
_PILLOW_NAMES: dict[int, str] = {FORMATS["png"]: "PNG", FORMATS["webp"]: "WEBP", FORMATS["jpeg"]: "JPEG"}
LAYOUTS = (LAYOUT_FILES, LAYOUT_WEBDATASET)


def spec_of(
    destination: str | Path,
    layout: int = LAYOUT_FILES,
    cells: tuple[Cell, ...] = CELLS,
    image_format: str = "png",
    seed: int = 2**64 - 1,
) -> BatchSpec:
    """A batch in shards of 8, to a folder or a URL."""
    url = normalise(str(destination))
    number = FORMATS[image_format]
    return BatchSpec("emoji@1", "d" * 64, seed, 0.7, number, layout, cells, url, shard_size=8)


def storage_of(spec: BatchSpec) -> Storage:
    """The batch's storage, where just its own destination is open."""
    return Storage.open(spec.destination, [spec.destination])


def images_of(spec: BatchSpec, shard: int) -> list[DrawnImage]:
    """What drawing a shard gives."""
    job = spec.shard_job("b", shard)
    name = _PILLOW_NAMES[job.image_format]
    images = []
    for index, (cell, _) in enumerate(job.places, job.first):
        weights = cell.weights
        identity = short_id(artwork_digest(job.digest, weights, job.seed, index, job.truncation))
        images.append(DrawnImage(index, identity, weights, image_file(index, name)))
    return images


def image_file(index: int, name: str = "PNG") -> bytes:
    """An image of 16 x 16 pixels that no other index has."""
    digest = hashlib.sha256(str(index).encode()).digest()
    pixels = np.frombuffer(digest * 24, dtype=np.uint8).reshape(16, 16, 3)
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, name)
    return buffer.getvalue()


def write(spec: BatchSpec, shards: Iterable[int] | None = None) -> Storage:
    """Write shards, by default all, as a worker does."""
    storage = storage_of(spec)
    for shard in range(spec.shard_count) if shards is None else shards:
        write_shard(storage, spec.shard_job("b", shard), images_of(spec, shard), RENDERER)
    return storage


def content_of(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
