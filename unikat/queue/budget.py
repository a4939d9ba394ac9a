"""What draw jobs of calls in progress may amount to, in all and of one caller: `enqueue.lua` compares.

Work and bytes are charged when a job is enqueued and given back when nobody waits for it any more; images a minute are
a token bucket. All by Redis' clock and in Redis, so that several services are one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unikat.queue.scripts import Argument, Command

_ALL: Final = "unikat:budget:"  # hash: what calls of everybody amount to
ASK: Final[Command] = ("HMGET", _ALL, "seconds", "at")


def work_in_progress(reply: Sequence[bytes | None], now: float, ttl_s: float) -> float:
    """Seconds of work that calls in progress amount to, from the reply to ASK.

    It fades over `ttl_s` seconds from the last change, as in the scripts (`spent`). `now`: Redis' time.
    """
    try:
        seconds, at = float(reply[0] or 0), float(reply[1] or 0)
    except ValueError:  # damaged
        return 0.0
    return max(0.0, seconds * min(1.0, 1 - max(0.0, now - at) / ttl_s))


@dataclass(frozen=True, slots=True)
class Quotas:
    """`caller_percent` of all that may wait, of `seconds` of work and of `bytes` is what one caller may have.

    `caller_calls` in progress and `caller_images` a minute are one caller's. 0: no limit. Where callers are not told
    apart, only what is for all together counts.
    """

    caller_percent: int = 100
    seconds: float = 0.0
    bytes: int = 0
    caller_calls: int = 0
    caller_images: int = 0

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """As `enqueue.lua` takes them."""
        return self.caller_percent, self.seconds, self.bytes, self.caller_calls, self.caller_images
