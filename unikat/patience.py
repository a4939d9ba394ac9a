"""How long a call that lost its service is tried again: pauses that grow, until nothing has come for too long."""

from __future__ import annotations

import random
import time
from typing import Final

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.errors import Unavailable, UnikatError, error_of

FIRST_PAUSE: Final = 0.1  # seconds
LONGEST_PAUSE: Final = 2.0  # seconds


class Patience:
    """State of one call. `timeout` is for all of it, `reconnect_timeout` for being without progress, in seconds."""

    def __init__(self, timeout: float | None, reconnect_timeout: float) -> None:
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._reconnect_timeout = reconnect_timeout
        self._failures = 0
        self._give_up_at: float | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds to the deadline, for the next connection."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def progressed(self) -> None:
        """Something arrived: whatever breaks from here on is a new trouble."""
        self._failures = 0
        self._give_up_at = None

    def pause_after(self, error: UnikatError) -> float:
        """Seconds to wait before the next connection, or `error` raised: only UNAVAILABLE is worth another try."""
        now = time.monotonic()
        if self._give_up_at is None:
            self._give_up_at = now + self._reconnect_timeout
        # Full jitter would allow pauses of nothing; half of it keeps many clients apart as well.
        pause: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures) * random.uniform(0.5, 1.0)
        pause = max(pause, (error.retry_after or 0.0) * random.uniform(1.0, 1.1))
        ends = [self._give_up_at] + ([] if self._deadline is None else [self._deadline])
        if not isinstance(error, Unavailable) or now + pause > min(ends):
            raise error
        self._failures += 1
        return pause


def ended_early() -> UnikatError:
    """A stream that ended well, but not with its last message, as behind a proxy that restarts."""
    return error_of(Status(code=Code.UNAVAILABLE, message="the service ended the stream before its end"))


def cancelled() -> UnikatError:
    """The call was cancelled by its caller."""
    return error_of(Status(code=Code.CANCELLED, message="the call was cancelled"))
