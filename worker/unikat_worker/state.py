"""What the threads of a worker share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol, TypeAlias

from unikat.queue.clock import RedisClock
from unikat_worker.active import ActiveJob, ActiveShard, Batch, Item
from unikat_worker.batches.writers import Written
from unikat_worker.rates import Rates

if TYPE_CHECKING:
    from unikat_worker.drawing import DrawnBatch

# For the batch thread: a shard that is drawn or has ended, what a writer did, the id of a job that an operator stopped,
# or only: look around.
Event: TypeAlias = ActiveShard | Written | str | None


class Observer(Protocol):
    """What is told of batches and jobs, by the threads that draw them: numbers for Prometheus, spans."""

    def drawn(self, batch: Batch, drawn: DrawnBatch) -> None: ...

    def failed(self, batch: Batch, error: BaseException) -> None: ...

    def published(self, job: ActiveJob, images: int) -> None: ...

    def ended(self, item: Item) -> None: ...


@dataclass(eq=False)
class State:
    """Simple values that one thread writes and others read.

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
    observers: list[Observer] = field(default_factory=list)

    @property
    def stopping(self) -> bool:
        """Whether the worker is to leave."""
        return self.stop.is_set()
