"""One call's results, and what all calls of a process hold in memory that their callers have not read."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Final

from google.rpc.status_pb2 import Status

from unikat.errors import error_of

# What one call may hold in memory unsent, and all of them together; beyond it, a call reads its job's stream later.
MAX_IMAGES: Final = 64
MAX_BYTES: Final = 4 * 2**20
MAX_ALL_BYTES: Final = 32 * 2**20
# What all hold with the one image each that gRPC is sending, however slowly its caller reads. gRPC gives up none of it
# before the caller has read it or is gone, so a call that holds nothing waits where there is no room below this.
MAX_SENDING_BYTES: Final = 64 * 2**20
STARVED_S: Final = 10.0  # then it is ended: at another service it can go on

MIN_QUIET_S, MAX_QUIET_S = 1.0, 8.0  # without news, until a call's job is inspected; twice as long each time


class Held:
    """What calls hold: entries that are to be sent, and the one of each call that is being sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, want: Callable[[Subscription], None], share: float) -> None:
        """`want` is told of subscriptions for which there is room again; `share` is what one caller may fill."""
        self.loop = loop
        self.want = want
        self.bytes = 0
        self._share = share
        self._of: Counter[str] = Counter()  # bytes by caller, where callers are told apart
        self._starved: dict[Subscription, tuple[float, int]] = {}  # since when, bytes that it needs
        self._asked: dict[Subscription, tuple[float, int]] = {}  # the same, of those whose streams are read again

    def add(self, caller: str, size: int) -> None:
        """Bytes are held for a caller."""
        self.bytes += size
        if caller:
            self._of[caller] += size

    def release(self, caller: str, size: int) -> None:
        """Bytes were sent, or dropped."""
        self.bytes -= size
        if caller:
            self._of[caller] -= size
            if self._of[caller] <= 0:
                del self._of[caller]
        if self._starved:
            self._ask(MAX_SENDING_BYTES - self.bytes)

    def has_room(self, caller: str, size: int) -> bool:
        """For an entry of a call that holds nothing."""
        own = self._of[caller] if caller else 0
        fits = self.bytes + size <= MAX_SENDING_BYTES
        return not self.bytes or (fits and (not own or own + size <= MAX_SENDING_BYTES * self._share))

    def starve(self, subscription: Subscription, size: int) -> None:
        """It holds nothing, and there is no room for its next entry."""
        before = self._asked.get(subscription) or self._starved.get(subscription)
        self._asked.pop(subscription, None)
        self._starved[subscription] = before[0] if before else self.loop.time(), size

    def forget(self, subscription: Subscription) -> None:
        """It is closed, or has got something."""
        self._starved.pop(subscription, None)
        self._asked.pop(subscription, None)

    def starved(self) -> list[Subscription]:
        """Those that starve for too long."""
        before = self.loop.time() - STARVED_S
        return [each for those in (self._starved, self._asked) for each, (since, _) in those.items() if since <= before]

    def _ask(self, room: int) -> None:
        """Have the streams of those read again that would fit now."""
        for subscription, (since, size) in list(self._starved.items()):
            if size > room:
                return
            if self.has_room(subscription.caller, size):
                del self._starved[subscription]
                self._asked[subscription] = since, size
                room -= size
                self.want(subscription)


class Subscription:
    """One call's results: `expected` is the number of the entry that it waits for."""

    __slots__ = (
        "_bytes", "_entries", "_failure", "_held", "_in_flight", "_waiter",
        "caller", "expected", "job_id", "lags", "lease", "look_at", "model", "quiet", "signs",
    )  # fmt: skip

    def __init__(self, held: Held, job_id: str, lease: str, expected: int) -> None:
        self.job_id, self.lease, self.expected = job_id, lease, expected
        self.model: tuple[str, str] | None = None  # "name@version" and digest of the model that is to draw
        self.lags = False  # entries were passed over, which are to be read from the stream
        self.quiet, self.look_at, self.signs = MIN_QUIET_S, held.loop.time() + MIN_QUIET_S, 0
        self._held = held
        self.caller = lease.split("/", 2)[2] if lease.count("/") > 1 else ""
        self._entries: list[bytes | Status] = []  # a deque takes 600 bytes when it is empty
        self._bytes = 0
        self._in_flight = 0  # bytes of the entry that is being sent
        self._waiter: asyncio.Future[None] | None = None
        self._failure: Status | None = None

    @property
    def is_empty(self) -> bool:
        """Whether everything that came is sent."""
        return not self._entries

    async def ready(self, seconds: float) -> None:
        """Return when `next` has something, at the latest after `seconds`."""
        if self._entries or self._failure is not None:
            return
        self._waiter = self._held.loop.create_future()
        timer = self._held.loop.call_later(seconds, self._wake)
        try:
            await self._waiter
        finally:
            timer.cancel()

    async def next(self) -> bytes | Status:
        """The next response, or the status with which the stream ends. Raises UnikatError after `fail`.

        What it returned before counts as sent.
        """
        self._sent()
        if self.lags and self._has_room():
            self._held.want(self)
        while not self._entries:
            if self._failure is not None:
                raise error_of(self._failure)
            self._waiter = self._held.loop.create_future()
            await self._waiter
        entry = self._entries.pop(0)
        if isinstance(entry, bytes):
            self._bytes -= len(entry)
            self._in_flight = len(entry)
        return entry

    def offer(self, number: int, entry: bytes | Status) -> bool:
        """Take an entry if it is the expected one, or an end by status, and there is room for it."""
        is_end = isinstance(entry, Status)
        if number != self.expected and not (is_end and number > self.expected):
            return False
        if isinstance(entry, bytes):
            if not self._fits(len(entry)):
                self.lags = True
                return False
            self._bytes += len(entry)
            self._held.add(self.caller, len(entry))
            self._held.forget(self)
        self.expected = number + 1
        self.quiet, self.look_at, self.signs = MIN_QUIET_S, self._held.loop.time() + MIN_QUIET_S, 0
        self._entries.append(entry)
        self._wake()
        return True

    def may_take(self, size: int) -> bool:
        """Whether there is room for an entry of a size; if not, it waits for it."""
        if self._entries or self._in_flight or self._held.has_room(self.caller, size):
            return True
        self.lags = True
        self._held.starve(self, size)
        return False

    def fail(self, status: Status) -> None:
        """End the call with a status, once it has sent what it holds."""
        self._failure = status
        self._wake()

    def drop(self) -> None:
        """Forget what was not sent."""
        self._entries.clear()
        self._held.forget(self)
        self._held.release(self.caller, self._bytes + self._in_flight)
        self._bytes = self._in_flight = 0

    def _sent(self) -> None:
        if self._in_flight:
            size, self._in_flight = self._in_flight, 0
            self._held.release(self.caller, size)

    def _fits(self, size: int) -> bool:
        if not self._entries and not self._in_flight:
            if not self._held.has_room(self.caller, size):
                self._held.starve(self, size)
                return False
            return True
        fits = len(self._entries) < MAX_IMAGES and self._bytes + size <= MAX_BYTES
        return fits and self._held.bytes + size <= MAX_ALL_BYTES

    def _has_room(self) -> bool:
        half = len(self._entries) <= MAX_IMAGES // 2 and self._bytes <= MAX_BYTES // 2
        return not self._entries or (half and self._held.bytes <= MAX_ALL_BYTES // 2)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
