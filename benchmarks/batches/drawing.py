"""A large batch in both layouts: images a second against the plain loop, memory, disk, and what reads it."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow.parquet as pq

from benchmarks.batches.progress import follow, seconds
from benchmarks.limit import Limit, Shape, measure
from benchmarks.programs import MemoryLog, Reading
from tests.end_to_end.shop import Shop, plan
from unikat.batches.verify import verify
from unikat.bundle import Bundle
from unikat.v1 import batches_pb2 as pb

SHAPES = (Shape(1, 2, 32), Shape(2, 1, 32))
LAYOUTS = {"files": pb.LAYOUT_FILES, "webdataset": pb.LAYOUT_WEBDATASET}

T = TypeVar("T")


def best_loop(bundle: Bundle, duration: float) -> Limit:
    """The best plain loop, measured now, each shape for some seconds."""
    return max((measure(bundle.path, shape, duration) for shape in SHAPES), key=lambda loop: loop.images_per_second)


def drawing_table(shop: Shop, bundle: Bundle, images: int, loop_seconds: float) -> list[str]:
    """Markdown: a column a layout. The loop is measured before and after each, since a machine's speed drifts."""
    columns = {}
    loop = best_loop(bundle, loop_seconds)
    for name in LAYOUTS:
        before, drawn = loop, draw(shop, images, name)
        loop = best_loop(bundle, loop_seconds)
        columns[name] = compare(drawn, images, (before, loop)) | what_is_there(shop.open_folder / name, drawn.batch)
        shutil.rmtree(shop.open_folder / name)
    lines = [f"| {images:,} images | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for row in next(iter(columns.values())):
        lines.append(f"| {row} | " + " | ".join(column[row] for column in columns.values()) + " |")
    return lines


@dataclass(frozen=True)
class Drawn:
    """A batch that was drawn, CPU milliseconds an image by program, and memory meanwhile."""

    batch: pb.Batch
    cpu_ms: dict[str, float]
    memory: MemoryLog


def draw(shop: Shop, images: int, layout: str) -> Drawn:
    """Draw a batch into a folder that is named as its layout."""
    before = Reading.of(shop.stack)
    with MemoryLog(shop.stack) as memory:
        batch = shop.create(layout, plans=plan(images), layout=LAYOUTS[layout])
        ended = follow(shop.calls, batch, f"{images:,} images, {layout}")
        memory.read()
    assert ended.state == pb.Batch.STATE_SUCCEEDED, ended
    return Drawn(ended, Reading.of(shop.stack).cpu_ms(before, images), memory)


def compare(drawn: Drawn, images: int, loops: tuple[Limit, Limit]) -> dict[str, str]:
    """Rows of the table: a batch beside the loop before and after it."""
    rate, cpu = images / seconds(drawn.batch), drawn.cpu_ms
    loop_rate = statistics.mean(loop.images_per_second for loop in loops)
    loop_cpu = statistics.mean(loop.cpu_ms for loop in loops)
    return {
        "images/s, from CreateBatch to the manifest": f"{rate:,.0f}",
        "plain loop before → after, images/s": " → ".join(f"{loop.images_per_second:,.0f}" for loop in loops),
        "**share of the loop**": f"**{rate / loop_rate:.2f}**",
        "CPU ms an image: loop / worker / service / Valkey": (
            f"{loop_cpu:.2f} / {cpu['worker']:.2f} / {cpu['service']:.2f} / {cpu['Valkey']:.2f}"
        ),
        "service, MiB resident: start → peak → end": drawn.memory.text("service"),
        "worker, MiB resident": drawn.memory.text("worker"),
        "Valkey, MiB used": drawn.memory.text("Valkey"),
    }


def what_is_there(folder: Path, batch: pb.Batch) -> dict[str, str]:
    """Size, and the time that readers take. Raises AssertionError where something is missing."""
    sizes = [path.stat() for path in folder.rglob("*") if path.is_file()]
    report, verifying = timed(lambda: verify(batch.destination))
    assert report.is_complete, report
    assert report.extra_count == 0, report
    manifest = folder / "manifest.parquet"
    rows, reading = timed(lambda: pq.read_table(manifest).num_rows)
    asked = 'count(*), count(DISTINCT id), count(DISTINCT "index"), max("index")'
    found, asking = timed(lambda: duckdb.execute(f"SELECT {asked} FROM '{manifest}'").fetchone())
    total = batch.total_count
    assert rows == total
    assert found == (total, total, total, total - 1), found
    return {
        "files": f"{len(sizes):,}",
        "MB of content / on disk": f"{sum_of(s.st_size for s in sizes)} / {sum_of(512 * s.st_blocks for s in sizes)}",
        "manifest, MB": f"{manifest.stat().st_size / 1e6:.1f}",
        "verified (every byte against the manifest), s": f"{verifying:.1f}",
        "manifest read by pyarrow / counted by DuckDB, s": f"{reading:.2f} / {asking:.2f}",
    }


def sum_of(sizes: Iterable[int]) -> str:
    """A sum of bytes, in MB."""
    return f"{sum(sizes) / 1e6:,.0f}"


def timed(act: Callable[[], T]) -> tuple[T, float]:
    """What `act` returns, and its seconds."""
    began = time.perf_counter()
    result = act()
    return result, time.perf_counter() - began
