"""A bar on standard error that follows a batch."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from tests.support.batch_calls import BatchCalls
from unikat.v1.batches_pb2 import Batch

_EVERY_S = 0.25  # rarely enough not to be measured
_STUCK_S = 600.0


def bar() -> Progress:
    """The bar."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, TimeRemainingColumn(), console=Console(file=sys.stderr))


def follow(calls: BatchCalls, batch: Batch, text: str, until: Callable[[Batch], bool] | None = None) -> Batch:
    """The batch, once `until` holds of it, by default its end. Raises TimeoutError where nothing moves any more."""
    moved, drawn = time.monotonic(), -1
    with bar() as progress:
        task = progress.add_task(text, total=batch.total_count)
        while True:
            batch = calls.get(batch.id)
            progress.update(task, completed=batch.drawn_count)
            if until(batch) if until else batch.HasField("end_time"):
                return batch
            if batch.drawn_count != drawn:
                moved, drawn = time.monotonic(), batch.drawn_count
            if time.monotonic() - moved > _STUCK_S:
                raise TimeoutError(f"no image in {_STUCK_S:.0f} s:\n{batch}")
            time.sleep(_EVERY_S)


def seconds(batch: Batch) -> float:
    """From its creation to its end, manifest and contact sheet included."""
    return batch.end_time.ToMicroseconds() / 1e6 - batch.create_time.ToMicroseconds() / 1e6
