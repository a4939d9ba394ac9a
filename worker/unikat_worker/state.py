"""What the threads of a worker share."""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TypeAlias

from unikat_worker.batches.writers import Written
from unikat_worker.lanes import Done
from unikat_worker.rates import Rates

# A job's id, a batch that is done, what a writer did, or only: look around.
Event: TypeAlias = str | Done | Written | None


@dataclass(eq=False)
class State:
    """Written by one thread each, read by the loop.

    `inbox` wakes the loop. `lost` holds ids of executions that somebody else was given (from the heartbeat), `stops`
    ids of jobs that an operator stopped (from RQ's commands).
    """

    inbox: SimpleQueue[Event] = field(default_factory=SimpleQueue)
    lost: set[str] = field(default_factory=set)
    stops: set[str] = field(default_factory=set)
    suspended: bool = False
    stopping: bool = False
    rates: Rates = field(default_factory=Rates)

    def stop(self) -> None:
        """Finish what is being drawn and leave. May be called by a signal handler."""
        self.stopping = True
        self.inbox.put(None)
