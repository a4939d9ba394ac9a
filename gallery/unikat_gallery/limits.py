"""How often a visitor may ask for what costs more than looking."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from unikat_gallery.problems import too_many

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
MOST_VISITORS: Final = 1000  # that are remembered
EVERYBODY: Final = ""  # under which all visitors are limited together


@dataclass
class Limit:
    """At most so many in `period` seconds, of each visitor; a bucket of one period's.

    `message` is what is said to one too many.
    """

    most: int
    message: str
    period: float = MINUTE_S
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)  # visitor -> tokens, when

    def take(self, visitor: str) -> None:
        """Raises Overloaded for one too many."""
        now = time.monotonic()
        tokens, then = self._left.pop(visitor, (float(self.most), now))
        tokens = min(float(self.most), tokens + (now - then) * self.most / self.period)
        self._left[visitor] = (max(tokens - 1, 0) if tokens >= 1 else tokens, now)
        while len(self._left) > MOST_VISITORS:
            self._left.popitem(last=False)
        if tokens < 1:
            raise too_many(self.message, (1 - tokens) * self.period / self.most)


@dataclass(frozen=True)
class Limits:
    """Of each visitor, and of all together."""

    visitor: Limit
    all: Limit

    def take(self, visitor: str) -> None:
        """Raises Overloaded for one too many."""
        self.visitor.take(visitor)
        self.all.take(EVERYBODY)
