"""Redis' clock, by which alone times are compared between machines: a machine's own may be wrong, or step."""

from __future__ import annotations

import time

from redis import Redis


class RedisClock:
    """Redis' clock: by its last answer, and from there on by this machine's monotonic clock."""

    def __init__(self) -> None:
        self._ahead = time.time() - time.monotonic()  # noqa: TID251  (until Redis has answered; nobody compares anything before)

    def now(self) -> float:
        """Unix time (s)."""
        return time.monotonic() + self._ahead

    def set(self, moment: float) -> None:
        """Redis' clock says `moment` now."""
        self._ahead = moment - time.monotonic()


def redis_time(redis: Redis) -> float:
    """What Redis' clock says (Unix time, s), asked now. Raises RedisError."""
    seconds, microseconds = redis.time()
    return float(seconds + microseconds / 1e6)
