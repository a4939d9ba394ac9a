"""What every client was promised and what it got: a list of events in the order in which clients saw them.

`checker.violations` reads it afterwards. A batch is a call like any other, whose images are the files that are there
once it has ended.
"""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


@dataclass(frozen=True)
class Asked:
    """A call was begun: images `first` to `first + count - 1` of a recipe. With a request_id it can be resumed."""

    recipe: str
    first: int
    count: int
    request_id: str = ""
    is_batch: bool = False


@dataclass(frozen=True)
class Accepted:
    """The service's acknowledgement: the model ("name@version") and the seed that draw, and the job or batch."""

    model: str
    seed: int
    job: str


@dataclass(frozen=True)
class Image:
    """An image arrived, or for a batch, lies in a file. `digest` is of the file's bytes."""

    index: int
    id: str
    digest: str


@dataclass(frozen=True)
class Seen:
    """A message of WatchBatch."""

    revision: int


class How(StrEnum):
    """How a call ended for its caller."""

    FINISHED = "finished"  # the service said so
    CANCELLED = "cancelled"  # by the caller
    REFUSED = "refused"  # with an error, before anything was accepted
    CUT = "cut"  # the connection was lost, and there is no request_id to come back with
    FAILED = "failed"  # with an error after the acknowledgement


@dataclass(frozen=True)
class Ended:
    """The call is over."""

    how: How
    why: str = ""


@dataclass(frozen=True)
class Fault:
    """Something was broken from `since` to `at` of its event. With `forgets`, Redis went back to how it was `since`."""

    kind: str
    since: float
    forgets: bool = False


What: TypeAlias = Asked | Accepted | Image | Seen | Ended | Fault


@dataclass(frozen=True)
class Event:
    """What a call's client saw at `at` (s, monotonic clock). The call of a fault is ""."""

    at: float
    call: str
    what: What


class History:
    """Collects events; for any number of threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._calls = 0
        self._open: dict[str, float] = {}

    def begin(self, asked: Asked) -> str:
        """Note that a call begins; its name."""
        with self._lock:
            self._calls += 1
            call = f"call {self._calls}"
        self.add(call, asked)
        return call

    def add(self, call: str, what: What) -> None:
        """Note what a call's client saw now."""
        with self._lock:
            event = Event(time.monotonic(), call, what)
            self._events.append(event)
            if isinstance(what, Ended):
                self._open.pop(call, None)
            elif call:
                self._open[call] = event.at

    def open(self, quiet_since: float = math.inf) -> set[str]:
        """Calls that have not ended, and of which nothing was seen since a moment (s, monotonic clock)."""
        with self._lock:
            return {call for call, at in self._open.items() if at <= quiet_since}

    @property
    def events(self) -> list[Event]:
        """All so far."""
        with self._lock:
            return list(self._events)
