"""A large batch in both layouts: images a second against the plain loop, memory, disk, and what reads it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow.parquet as pq

from benchmarks.batches.progress import follow, seconds
from benchmarks.limit import Shape, images_per_second
from benchmarks.memory import MemoryLog
from tests.end_to_end.shop import Shop, plan
from unikat.batches.verify import verify
from unikat.bundle import Bundle
from unikat.v1 import batches_pb2 as pb

SHAPES = (Shape(1, 2, 32), Shape(2, 1, 32))
LAYOUTS = {"files": pb.LAYOUT_FILES, "webdataset": pb.LAYOUT_WEBDATASET}

T = TypeVar("T")


def drawing_table(shop: Shop, bundle: Bundle, images: int, loop_seconds: float) -> list[str]:
    """Markdown: a column a layout. The loop is measured before and after each, since a machine's speed drifts."""
    columns = {}
    loop = best_loop(bundle, loop_seconds)
    for name in LAYOUTS:
        columns[name], loop = measure(shop, bundle, name, images, (loop, loop_seconds))
    lines = [f"| {images:,} images | " + " | ".join(columns) + " |", "| --- |" + " ---: |" * len(columns)]
    for row in next(iter(columns.values())):
        lines.append(f"| {row} | " + " | ".join(column[row] for column in columns.values()) + " |")
    return lines


def best_loop(bundle: Bundle, duration: float) -> float:
    """Images a second of the best plain loop."""
    return max(images_per_second(bundle, shape, duration) for shape in SHAPES)


def measure(
    shop: Shop, bundle: Bundle, layout: str, images: int, loop: tuple[float, float]
) -> tuple[dict[str, str], float]:
    """A batch's figures, and the plain loop after it. `loop`: images a second before it, and seconds to measure it."""
    before, loop_seconds = loop
    with MemoryLog(shop.stack) as memory:
        batch = shop.create(f"drawing-{layout}", plans=plan(images), layout=LAYOUTS[layout])
        ended = follow(shop.calls, batch, f"{images:,} images, {layout}")
        memory.read()
    assert ended.state == pb.Batch.STATE_SUCCEEDED, ended
    after = best_loop(bundle, loop_seconds)
    rate = images / seconds(ended)
    rows = {
        "images/s, from CreateBatch to the manifest": f"{rate:,.0f}",
        "plain loop before → after, images/s": f"{before:,.0f} → {after:,.0f}",
        "**share of the loop**": f"**{2 * rate / (before + after):.2f}**",
        "service, MiB resident: start → peak → end": memory.text("service"),
        "worker, MiB resident": memory.text("worker"),
        "Valkey, MiB used": memory.text("Valkey"),
    }
    folder = shop.open_folder / f"drawing-{layout}"
    rows |= what_is_there(folder, ended)
    shutil.rmtree(folder)
    return rows, after


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
