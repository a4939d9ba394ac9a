"""Lanes: threads that each draw and encode one batch at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from worker.active import Batch
from worker.drawing import Drawing


@dataclass(frozen=True, eq=False)
class Done:
    """A batch that a lane is through with: its images, or the error that ended it."""

    batch: Batch
    drawings: list[Drawing]
    error: Exception | None
    seconds: float


class Lanes:
    """`count` threads. Drawing and encoding in the same lane keeps a batch's pixels in one core's cache."""

    def __init__(self, count: int, draw: Callable[[Batch], list[Drawing]], report: Callable[[Done], None]) -> None:
        """`report` is called by the lane's thread."""
        self.count = count
        self._draw = draw
        self._report = report
        self._work: SimpleQueue[Batch | None] = SimpleQueue()
        self._begun: dict[int, float] = {}
        self._busy = 0
        self._threads = [threading.Thread(target=self._run, name=f"lane-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> int:
        """Lanes without a batch."""
        return self.count - self._busy

    @property
    def longest(self) -> float:
        """Seconds for which the oldest batch in a lane has been drawn."""
        begun = list(self._begun.values())
        return time.monotonic() - min(begun) if begun else 0.0

    def submit(self, batch: Batch) -> None:
        """Hand a batch to an idle lane. Called by the worker's own thread, as `release`."""
        self._busy += 1
        self._work.put(batch)

    def release(self) -> None:
        """A report was taken in: its lane counts as idle again."""
        self._busy -= 1

    def stop(self) -> None:
        """End the threads; a batch in a lane is finished first."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (batch := self._work.get()) is not None:
            begun = time.monotonic()
            self._begun[id(batch)] = begun
            try:
                done = Done(batch, self._draw(batch), None, time.monotonic() - begun)
            except Exception as error:  # whatever a job can provoke must not end the lane; it ends the job
                done = Done(batch, [], error, time.monotonic() - begun)
            finally:
                del self._begun[id(batch)]
            self._report(done)
