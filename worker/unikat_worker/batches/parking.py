"""Items whose destination does not work: kept, tried again with growing pauses, and kept few."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from unikat_worker.batches.active import ActiveShard, AnyItem

FIRST_PAUSE: Final = 1.0  # seconds; every further one is twice as long
LONGEST_PAUSE: Final = 30.0
KEPT_OF_A_BATCH: Final = 2  # shards: with the images in memory
KEPT: Final = 8


@dataclass(eq=False)
class Trouble:
    """A batch whose destination does not work. One item at a time tries whether it does again."""

    items: list[AnyItem] = field(default_factory=list)
    pause: float = FIRST_PAUSE
    retry_at: float = 0.0
    trying: bool = False


class Parking:
    """All batches in trouble. Called by the loop's thread."""

    def __init__(self) -> None:
        self._troubles: dict[str, Trouble] = {}

    def __contains__(self, batch: str) -> bool:
        return batch in self._troubles

    @property
    def next_at(self) -> float:
        """When the next item is to be tried, on the monotonic clock."""
        waiting = [trouble.retry_at for trouble in self._troubles.values() if not trouble.trying]
        return min(waiting, default=math.inf)

    def pause_after(self, item: AnyItem) -> float:
        """Seconds until the next try, now that an item could not be written."""
        trouble = self._troubles.get(item.batch)
        if trouble is None:
            return FIRST_PAUSE
        return min(2 * trouble.pause, LONGEST_PAUSE) if item in trouble.items else trouble.pause

    def has_room(self, item: AnyItem) -> bool:
        """Whether an item can be kept; a shard that cannot is given back, and drawn again when there is hope."""
        others = [kept for trouble in self._troubles.values() for kept in trouble.items if kept is not item]
        shards = [kept for kept in others if isinstance(kept, ActiveShard)]
        of_batch = sum(kept.batch == item.batch for kept in shards)
        return not isinstance(item, ActiveShard) or (of_batch < KEPT_OF_A_BATCH and len(shards) < KEPT)

    def park(self, item: AnyItem) -> None:
        """Keep an item that is to be written when the destination works."""
        trouble = self._troubles[item.batch]
        if item not in trouble.items:
            trouble.items.append(item)

    def failed(self, item: AnyItem) -> None:
        """The destination of an item does not work, or still does not."""
        pause = self.pause_after(item)
        known = item.batch in self._troubles
        trouble = self._troubles.setdefault(item.batch, Trouble())
        if not known or item in trouble.items:  # else it was on its way before the trouble was known
            trouble.pause, trouble.trying = pause, False
            trouble.retry_at = time.monotonic() + pause

    def forget(self, item: AnyItem) -> None:
        """An item is not to be written any more."""
        trouble = self._troubles.get(item.batch)
        if trouble and item in trouble.items:
            trouble.items.remove(item)
            trouble.trying = False  # if it was this one that tried, the next does
        if trouble and not trouble.items:
            del self._troubles[item.batch]

    def hurry(self, batch: str) -> None:
        """Somebody else wrote to the destination of a batch: it is tried at once."""
        if batch in self._troubles:
            self._troubles[batch].retry_at = 0.0

    def works(self, batch: str) -> list[AnyItem]:
        """The destination works; returns what can be written now."""
        trouble = self._troubles.pop(batch, None)
        return trouble.items if trouble else []

    def due(self) -> Iterator[AnyItem]:
        """An item of each batch whose pause is over; it counts as being tried."""
        moment = time.monotonic()
        for trouble in self._troubles.values():
            if trouble.items and not trouble.trying and trouble.retry_at <= moment:
                trouble.trying = True
                yield trouble.items[0]
