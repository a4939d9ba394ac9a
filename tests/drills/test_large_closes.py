"""Large batches are closed again and again by the same threads: the memory that this takes is taken once."""

from __future__ import annotations

import io
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import psutil
from PIL import Image

from unikat.artwork import Renderer
from unikat.batches.layout import DrawnImage
from unikat.batches.shards import close_batch, write_shard
from unikat.batches.spec import BatchSpec, Cell
from unikat.batches.storage import Storage
from unikat.v1.batches_pb2 import LAYOUT_WEBDATASET
from unikat.v1.studio_pb2 import ImageFormat

THREADS: Final = 3  # of a worker that write, by default: each keeps memory of its own
SHARD: Final = 4096
MIB: Final = 2**20


def test_what_closes_of_large_batches_take_is_level(tmp_path: Path, is_long: bool) -> None:
    spec = batch(tmp_path, 70_000 if is_long else 8_192)  # more than a group of rows, or less
    rounds = 12 if is_long else 3
    storage = Storage.open(spec.destination, (f"file://{tmp_path}",))
    for shard in range(spec.shard_count):
        write_shard(storage, spec.shard_job("b" * 16, shard), drawn(spec, shard), RENDERER, begun=shard > 0)
    threads = [ThreadPoolExecutor(1) for _ in range(THREADS)]
    levels = []
    for _ in range(rounds):
        for thread in threads:
            thread.submit(close_batch, storage, spec, range(spec.shard_count), keep_parts=True).result()
        levels.append(psutil.Process().memory_info().rss / MIB)
    print(f"{spec.total:,} rows, MiB after each round of {THREADS} closes: {', '.join(f'{at:.0f}' for at in levels)}")
    for thread in threads:
        thread.shutdown()
    assert levels[-1] < max(levels[:2]) + 32  # one close of 70,000 rows takes more than that


def batch(folder: Path, images: int) -> BatchSpec:
    """Images with a condition."""
    return BatchSpec(
        model="tiny@1", digest="sha256:" + "0" * 64, seed=1, truncation=0.8,
        image_format=ImageFormat.IMAGE_FORMAT_PNG, layout=LAYOUT_WEBDATASET, shard_size=SHARD,
        cells=(Cell({"style": {"ink": 1.0}}, images),), destination=f"file://{folder}/large",
    )  # fmt: skip


def drawn(spec: BatchSpec, shard: int) -> list[DrawnImage]:
    """What a shard holds: images alike."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "PNG")
    weights = {"style": {"ink": 1.0}}
    return [DrawnImage(index, str(uuid.uuid4()), weights, buffer.getvalue()) for index in spec.shard_range(shard)]


RENDERER: Final = Renderer(provider="CPUExecutionProvider", runtime="onnxruntime", processor="any")
