"""Threads that write what inference threads drew: a slow disk or network keeps none of those waiting.

Nothing ends a thread that waits for a mount whose server is gone. So each item has a thread of its own, and a thread
that has been silent for a moment holds no place that others could have.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from unikat_worker.active import ActiveShard, OfBatch

SILENT: Final = 2.0  # seconds without a step forward after which a writer takes no place from others
MOST_SILENT: Final = 64  # such writers of a worker; then it begins no more for batches that it has not written for


@dataclass(frozen=True, eq=False)
class Written:
    """What a writer did: a shard's files are there, or a batch's manifest; or why not."""

    item: OfBatch
    error: Exception | None


class Writers:
    """At most `count` items at a time, silent ones aside. All but the threads is called by one thread."""

    def __init__(self, count: int, write: Callable[[OfBatch], None], report: Callable[[Written], None]) -> None:
        """`write` and `report` are called by the writers' threads."""
        self._count = count
        self._write = write
        self._report = report
        self._waiting: list[OfBatch] = []
        self._running: list[OfBatch] = []
        self._proven: set[str] = set()  # batches whose destinations have worked here, and not failed since

    @property
    def busy(self) -> int:
        """Items that are being written or wait for that, those of batches with a silent writer aside."""
        silent = self.silent_batches
        return sum(item.batch not in silent for item in (*self._waiting, *self._running))

    @property
    def silent_batches(self) -> set[str]:
        """Batches of which no more is to be drawn for the time being."""
        return {item.batch for item in self.silent() if item.ending is None}

    def silent(self, seconds: float = SILENT) -> list[OfBatch]:
        """Items of which nothing was written for so long."""
        moment = time.monotonic()
        return [item for item in self._running if moment - item.touched_at > seconds]

    def refuses(self, batch: str) -> bool:
        """Whether so many writers are silent that no batch is begun that has not been written here before."""
        return batch not in self._proven and len(self.silent()) >= MOST_SILENT

    def submit(self, item: OfBatch) -> None:
        """Have an item written."""
        self._waiting.append(item)
        self.begin()

    def withdraw(self, batch: str) -> list[OfBatch]:
        """The items of a batch that were not begun, and now will not be."""
        items = [item for item in self._waiting if item.batch == batch]
        self._waiting = [item for item in self._waiting if item.batch != batch]
        return items

    def waits(self, item: OfBatch) -> bool:
        """Whether an item has had no thread yet."""
        return item in self._waiting

    def drop(self, item: OfBatch) -> None:
        """An item that was not begun will not be."""
        if item in self._waiting:
            self._waiting.remove(item)

    def begin(self) -> None:
        """Begin what there is a place for."""
        for item in list(self._waiting):
            if self._may_begin(item):
                self._waiting.remove(item)
                self._running.append(item)
                item.touch()
                threading.Thread(target=self._run, args=(item,), name=f"writer-{item.id}", daemon=True).start()

    def through(self, written: Written) -> None:
        """A writer has reported."""
        self._running.remove(written.item)
        if written.error is None and isinstance(written.item, ActiveShard):
            self._proven.add(written.item.batch)
        else:  # or it was the manifest, the last that is written of a batch
            self._proven.discard(written.item.batch)
        self.begin()

    def _may_begin(self, item: OfBatch) -> bool:
        """One item of a batch tries whether its destination works; where one is silent, no other is begun."""
        if len(self._running) - len(self.silent()) >= self._count or item.batch in self.silent_batches:
            return False
        same = any(other.batch == item.batch and other.ending is None for other in self._running)
        return item.batch in self._proven or not (same or self.refuses(item.batch))

    def _run(self, item: OfBatch) -> None:
        try:
            self._write(item)
        except Exception as error:  # whatever a destination can provoke ends the item, not the thread
            self._report(Written(item, error))
        else:
            self._report(Written(item, None))
