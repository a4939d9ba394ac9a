"""Items whose destination does not work: kept, tried again with growing pauses, and kept few."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from unikat_worker.active import ActiveShard, OfBatch

FIRST_PAUSE: Final = 1.0  # seconds; every further one is twice as long
LONGEST_PAUSE: Final = 30.0
KEPT_OF_A_BATCH: Final = 2  # shards: with the images in memory
KEPT: Final = 8


@dataclass(eq=False)
class Failing:
    """A batch whose destination does not work. One item at a time tries whether it does again."""

    items: list[OfBatch] = field(default_factory=list)
    hanging: list[OfBatch] = field(default_factory=list)  # with writers that say nothing: until they do, none tries
    pause: float = FIRST_PAUSE
    retry_at: float = 0.0
    trying: bool = False


class Backoff:
    """All batches in failing. Called by the loop's thread."""

    def __init__(self) -> None:
        self._failing: dict[str, Failing] = {}

    def __contains__(self, batch: str) -> bool:
        return batch in self._failing

    @property
    def next_at(self) -> float:
        """When the next item is to be tried, on the monotonic clock."""
        waiting = [each.retry_at for each in self._failing.values() if not (each.trying or each.hanging)]
        return min(waiting, default=math.inf)

    def pause_after(self, item: OfBatch) -> float:
        """Seconds until the next try, now that an item could not be written."""
        failing = self._failing.get(item.batch)
        if failing is None:
            return FIRST_PAUSE
        return min(2 * failing.pause, LONGEST_PAUSE) if item in failing.items else failing.pause

    def has_room(self, item: OfBatch) -> bool:
        """Whether an item can be kept; a shard that cannot is given back, and drawn again when there is hope."""
        others = [kept for failing in self._failing.values() for kept in failing.items if kept is not item]
        shards = [kept for kept in others if isinstance(kept, ActiveShard)]
        of_batch = sum(kept.batch == item.batch for kept in shards)
        return not isinstance(item, ActiveShard) or (of_batch < KEPT_OF_A_BATCH and len(shards) < KEPT)

    def hold(self, item: OfBatch) -> None:
        """Keep an item that is to be written when the destination works."""
        failing = self._failing[item.batch]
        if item not in failing.items:
            failing.items.append(item)

    def hang(self, item: OfBatch) -> None:
        """The writer of an item has been silent for too long."""
        failing = self._failing.setdefault(item.batch, Failing())
        if item not in failing.hanging:
            failing.hanging.append(item)

    def failed(self, item: OfBatch) -> None:
        """The destination of an item does not work, or still does not."""
        pause = self.pause_after(item)
        known = item.batch in self._failing
        failing = self._failing.setdefault(item.batch, Failing())
        if not known or item in (*failing.items, *failing.hanging):  # else it was on its way before that was known
            failing.pause, failing.trying = pause, False
            failing.retry_at = time.monotonic() + pause
        if item in failing.hanging:
            failing.hanging.remove(item)

    def forget(self, item: OfBatch) -> None:
        """An item is not to be written any more."""
        failing = self._failing.get(item.batch)
        if failing and item in failing.items:
            failing.items.remove(item)
            failing.trying = False  # if it was this one that tried, the next does
        if failing and item in failing.hanging:
            failing.hanging.remove(item)
        if failing and not (failing.items or failing.hanging):
            del self._failing[item.batch]

    def hurry(self, batch: str) -> None:
        """Somebody else wrote to the destination of a batch: it is tried at once."""
        if batch in self._failing:
            self._failing[batch].retry_at = 0.0

    def works(self, batch: str) -> list[OfBatch]:
        """The destination works; returns what can be written now."""
        failing = self._failing.pop(batch, None)
        return failing.items if failing else []

    def due(self) -> Iterator[OfBatch]:
        """An item of each batch whose pause is over; it counts as being tried."""
        moment = time.monotonic()
        for failing in self._failing.values():
            if failing.items and not (failing.trying or failing.hanging) and failing.retry_at <= moment:
                failing.trying = True
                yield failing.items[0]
