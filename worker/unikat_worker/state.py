"""What the threads of a worker share."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeAlias

from unikat_worker.batches.active import ShardBatch
from unikat_worker.batches.writers import Written
from unikat_worker.rates import Rates


@dataclass(frozen=True, eq=False)
class Done:
    """A shard batch that a thread is through with: it holds its images, or there is the error that ended it."""

    batch: ShardBatch
    error: Exception | None


# For the shard scheduler: a batch that is done, what a writer did, or only: look around.
Event: TypeAlias = Done | Written | None


@dataclass(eq=False)
class State:
    """Simple values that one thread writes and others read.

    `events` are for the shard scheduler. `executions` are those of draw jobs that are active here: id to the name that
    RQ's registries have for it. `lost` holds ids of a shard's executions that somebody else was given, `stops` ids of
    jobs of batches that an operator stopped. `legacy_at`: when
    the last job came from a service of the release before, `legacy_from`: when their queue is looked into again.
    """

    events: SimpleQueue[Event] = field(default_factory=SimpleQueue)
    executions: dict[str, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)
    stops: set[str] = field(default_factory=set)
    suspended: bool = False
    stop: threading.Event = field(default_factory=threading.Event)
    rates: Rates = field(default_factory=Rates)
    legacy_at: float = float("-inf")
    legacy_from: float = float("-inf")
    _ahead: float = field(default_factory=lambda: time.time() - time.monotonic())  # Redis' clock before this one

    @property
    def stopping(self) -> bool:
        """Whether the worker is to leave."""
        return self.stop.is_set()

    def redis_time(self) -> float:
        """What Redis' clock says (Unix time, s), by its last answer."""
        return time.monotonic() + self._ahead

    def set_redis_time(self, clock: float) -> None:
        """Redis' clock says `clock` now."""
        self._ahead = clock - time.monotonic()
