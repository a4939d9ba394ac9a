"""Creating a very large batch: how long it takes, and what calls notice of it."""

from __future__ import annotations

import statistics
import time

from benchmarks.batches.latency import HEADER, row
from benchmarks.batches.progress import bar
from benchmarks.caller import Call, calling
from tests.end_to_end.shop import Shop, plan


def creation_table(shop: Shop, images: int, calls: int, most_rounds: int) -> list[str]:
    """Markdown: rounds of create and cancel until enough calls fell into a creation."""
    windows: list[tuple[float, float]] = []
    with calling(shop.stack.target, shop.model) as caller, bar() as progress:
        alone = caller.measure(calls)
        task = progress.add_task(f"calls while {images:,} images are queued", total=calls)
        during: list[Call] = []
        while len(during) < calls and len(windows) < most_rounds:
            began = time.time()
            batch = shop.create(f"created-{len(windows)}", plans=plan(images))
            windows.append((began, time.time()))
            shop.calls.cancel(batch.id)
            shop.calls.wait(batch.id, lambda found: found.HasField("end_time"))
            caller.measure(1)  # what began in the window has ended
            during = [c for c in caller.calls() if any(c.began < end and c.ended > start for start, end in windows)]
            progress.update(task, completed=len(during))
    took = [end - start for start, end in windows]
    return [
        f"CreateBatch for {images:,} images ({batch.shard_count:,} shards) takes {statistics.median(took):.2f} s "
        f"(median of {len(took)}; longest {max(took):.2f} s).",
        "",
        *HEADER,
        row("alone", alone),
        row(f"while {images:,} images are queued", during),
    ]
