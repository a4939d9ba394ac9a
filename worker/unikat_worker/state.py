"""What the threads of a worker share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

from unikat.queue.clock import RedisClock
from unikat_worker.active import ActiveShard
from unikat_worker.batches.writers import Written
from unikat_worker.rates import Rates

if TYPE_CHECKING:
    from unikat_worker.metrics import WorkerMetrics

# For the batch thread: a shard that is drawn or has ended, what a writer did, the id of a job that an operator stopped,
# or only: look around.
Event: TypeAlias = ActiveShard | Written | str | None


@dataclass(eq=False)
class State:
    """Simple values that one thread writes and others read.

    `metrics` is None where no numbers for Prometheus are kept.
    `events` are for the batch thread. `executions` are those of jobs that are active here: id to the name that RQ's
    registries have for it.
    """

    events: SimpleQueue[Event] = field(default_factory=SimpleQueue)
    executions: dict[str, str] = field(default_factory=dict)
    suspended: bool = False
    draining: bool = False  # nothing more is taken, by an operator's word
    stop: threading.Event = field(default_factory=threading.Event)
    rates: Rates = field(default_factory=Rates)
    clock: RedisClock = field(default_factory=RedisClock)
    metrics: WorkerMetrics | None = None

    @property
    def stopping(self) -> bool:
        """Whether the worker is to leave."""
        return self.stop.is_set()
