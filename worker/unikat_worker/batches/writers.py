"""Threads that write what inference threads drew: a slow disk or network keeps none of those waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from unikat_worker.active import OfBatch


@dataclass(frozen=True, eq=False)
class Written:
    """What a writer did: a shard's files are there, or a batch's manifest; or why not."""

    item: OfBatch
    error: Exception | None


class Writers:
    """`count` threads, each with one item at a time."""

    def __init__(self, count: int, write: Callable[[OfBatch], None], report: Callable[[Written], None]) -> None:
        """`write` and `report` are called by the writers' threads."""
        self._write = write
        self._report = report
        self._work: SimpleQueue[OfBatch | None] = SimpleQueue()
        self._threads = [threading.Thread(target=self._run, name=f"writer-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, item: OfBatch) -> None:
        """Have an item written."""
        self._work.put(item)

    def stop(self) -> None:
        """End the threads when they are through; a destination that hangs is not waited for."""
        for _ in self._threads:
            self._work.put(None)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            try:
                self._write(item)
            except Exception as error:  # whatever a destination can provoke ends the item, not the thread
                self._report(Written(item, error))
            else:
                self._report(Written(item, None))
