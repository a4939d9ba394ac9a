"""Lanes: threads that each draw and encode one batch at a time."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from unikat_worker.active import Batch
from unikat_worker.batches.active import ShardBatch
from unikat_worker.drawing import Drawing

AnyBatch: TypeAlias = Batch | ShardBatch


@dataclass(frozen=True, eq=False)
class Done:
    """A batch that a lane is through with: its images, or the error that ended it. A ShardBatch holds its own."""

    batch: AnyBatch
    drawings: list[Drawing]
    error: Exception | None
    seconds: float


class Lanes:
    """`count` threads. Drawing and encoding in the same lane keeps a batch's pixels in one core's cache.

    What is submitted is drawn at once. What lies on the deck is drawn when a lane would otherwise be idle, and can be
    withdrawn until then: so a lane need not wait for the loop while a large job is drawn, and nobody for that job.
    """

    def __init__(self, count: int, draw: Callable[[AnyBatch], list[Drawing]], report: Callable[[Done], None]) -> None:
        """`report` is called by the lane's thread."""
        self.count = count
        self._draw = draw
        self._report = report
        self._news = threading.Condition()
        self._work: deque[AnyBatch | None] = deque()
        self._deck: deque[ShardBatch] = deque()
        self._begun: dict[int, float] = {}
        self._busy = 0
        self._threads = [threading.Thread(target=self._run, name=f"lane-{i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    @property
    def idle(self) -> int:
        """Lanes without a batch."""
        with self._news:
            # A lane that went on with one from the deck counts twice until its report is taken in.
            return max(0, self.count - self._busy)

    @property
    def longest(self) -> float:
        """Seconds for which the oldest batch in a lane has been drawn."""
        begun = list(self._begun.values())
        return time.monotonic() - min(begun) if begun else 0.0

    def submit(self, batch: AnyBatch) -> None:
        """Hand a batch to an idle lane. Called by the worker's own thread, as all others here."""
        with self._news:
            self._busy += 1
            self._work.append(batch)
            self._news.notify()

    def release(self) -> None:
        """A report was taken in: its lane counts as idle again."""
        with self._news:
            self._busy -= 1

    @property
    def deck_room(self) -> int:
        """Batches that may be put on the deck: as many as can be finished before the next are put there."""
        with self._news:
            return self.count + max(0, self.count - self._busy) - len(self._deck)

    def put_on_deck(self, batch: ShardBatch) -> None:
        """To be drawn when there is nothing else."""
        with self._news:
            self._deck.append(batch)
            self._news.notify()

    def withdraw(self) -> list[ShardBatch]:
        """Clear the deck; returns what nobody has begun."""
        with self._news:
            withdrawn = list(self._deck)
            self._deck.clear()
            return withdrawn

    def stop(self) -> None:
        """End the threads; a batch in a lane is finished first."""
        with self._news:
            self._work.extend([None] * len(self._threads))
            self._news.notify_all()
        for thread in self._threads:
            thread.join()

    def _next(self) -> AnyBatch | None:
        with self._news:
            self._news.wait_for(lambda: self._work or self._deck)
            if self._work:
                return self._work.popleft()
            self._busy += 1
            return self._deck.popleft()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            begun = time.monotonic()
            self._begun[id(batch)] = begun
            try:
                done = Done(batch, self._draw(batch), None, time.monotonic() - begun)
            except Exception as error:  # whatever a job can provoke must not end the lane; it ends the job
                done = Done(batch, [], error, time.monotonic() - begun)
            finally:
                del self._begun[id(batch)]
            self._report(done)
