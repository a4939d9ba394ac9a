"""One line in the log for every refusal, and for every change by an operator: who, from where, which method, why.

What a caller sent is quoted with escapes for all but printable ASCII, so that a line is one line and a terminal that
shows it obeys nobody. Lines are limited, of each source and in all: whoever is refused a million times a second neither
fills the disk nor hides others.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from unikat.credentials import NAME

log = logging.getLogger("unikat.audit")

# Of a source (a caller's name, or an address where nobody is identified): lines that may come at once, and per second.
BURST, PER_SECOND = 30.0, 0.1
# Of all sources together: at most 60 MB a day, at a longest line of 700 bytes.
BURST_OF_ALL, PER_SECOND_OF_ALL = 1000.0, 1.0
SOURCES: Final = 10_000  # that are remembered
LONGEST: Final = 120  # characters of one value


@dataclass(frozen=True, slots=True)
class Origin:
    """Of a call: `who` is a caller's name, or what is known of one that nobody identified; never a secret."""

    who: str
    peer: str
    method: str


# Of the call that this task serves.
origin: ContextVar[Origin] = ContextVar("origin")


class Bucket:
    """Holds `burst` lines, and gets `rate` more a second. `omitted` counts those that found it empty."""

    __slots__ = ("_at", "_burst", "_left", "_rate", "omitted")

    def __init__(self, burst: float, rate: float) -> None:
        self._burst, self._rate = burst, rate
        self._left, self._at = burst, time.monotonic()
        self.omitted = 0

    def take(self) -> bool:
        """Whether there was one."""
        now = time.monotonic()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class Audit:
    """Writes refusals, and how many of the same source were left out before. Used by one event loop."""

    def __init__(self) -> None:
        self._all = Bucket(BURST_OF_ALL, PER_SECOND_OF_ALL)
        self._sources: dict[str, Bucket] = {}

    def refused(self, of: Origin, why: str) -> None:
        """Write a line, if there is room for one."""
        bucket = self._bucket(of)
        if not (bucket.take() and self._all.take()):
            bucket.omitted += 1
            return
        omitted, bucket.omitted = bucket.omitted, 0
        more = f" omitted={omitted}" if omitted else ""
        values = (shown(value) for value in (of.who, of.peer, of.method, why))
        log.warning("refused caller=%s peer=%s method=%s why=%s%s", *values, more)

    def _bucket(self, of: Origin) -> Bucket:
        source = of.who if NAME.fullmatch(of.who) else of.peer.rpartition(":")[0]  # without the port
        bucket = self._sources.pop(source, None) or Bucket(BURST, PER_SECOND)
        self._sources[source] = bucket  # the last
        if len(self._sources) > SOURCES:
            del self._sources[next(iter(self._sources))]
        return bucket


_audit: Final = Audit()


def refused(why: str, of: Origin | None = None) -> None:
    """Write that a call was refused: the one that this task serves, or `of`."""
    _audit.refused(of or origin.get(Origin("?", "?", "?")), why)


def changed(what: str, why: str) -> None:
    """Write what the caller of this task's call has changed; those who may are few, so no line is left out."""
    of = origin.get(Origin("?", "?", "?"))
    log.info("changed caller=%s peer=%s method=%s what=%s why=%s", *map(shown, (of.who, of.peer, of.method, what, why)))


def shown(text: str) -> str:
    """A quoted text of printable ASCII."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return '"' + cut.encode("unicode_escape").decode().replace('"', '\\"') + '"'
