"""One line in the log for every refusal: who, from where, which method, why.

What a caller sent is quoted with escapes for all but printable ASCII, so that a line is one line and a terminal that
shows it obeys nobody. Lines are limited: whoever is refused a million times a second does not fill the disk.
"""

from __future__ import annotations

import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

log = logging.getLogger("unikat.audit")

BURST: Final = 100  # lines that may come at once
LINES_PER_SECOND: Final = 1.0  # after that: at most 60 MB a day
LONGEST: Final = 120  # characters of one value


@dataclass(frozen=True, slots=True)
class Origin:
    """Of a call: `who` is a caller's name, or what is known of one that nobody identified; never a secret."""

    who: str
    peer: str
    method: str


# Of the call that this task serves.
origin: ContextVar[Origin] = ContextVar("origin")


class Audit:
    """Writes refusals, and how many were left out. Used by one event loop."""

    def __init__(self) -> None:
        self._left = float(BURST)
        self._at = time.monotonic()
        self._omitted = 0

    def refused(self, of: Origin, why: str) -> None:
        """Write a line, if there is room for one."""
        now = time.monotonic()
        self._left = min(float(BURST), self._left + (now - self._at) * LINES_PER_SECOND)
        self._at = now
        if self._left < 1:
            self._omitted += 1
            return
        self._left -= 1
        omitted, self._omitted = self._omitted, 0
        more = f" omitted={omitted}" if omitted else ""
        values = (shown(value) for value in (of.who, of.peer, of.method, why))
        log.warning("refused caller=%s peer=%s method=%s why=%s%s", *values, more)


_audit: Final = Audit()


def refused(why: str, of: Origin | None = None) -> None:
    """Write that a call was refused: the one that this task serves, or `of`."""
    _audit.refused(of or origin.get(Origin("-", "-", "-")), why)


def shown(text: str) -> str:
    """A quoted text of printable ASCII."""
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
    return '"' + cut.encode("unicode_escape").decode().replace('"', '\\"') + '"'
