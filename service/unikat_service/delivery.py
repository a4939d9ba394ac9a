"""What jobs publish, delivered to the calls that wait for it: in order, every entry once.

Images come through the service's inbox. A call reads its job's stream instead where the inbox has a gap or only
points there, where nothing came for a while, and where its caller lags behind. An entry is taken only if it is the one
that the call waits for: whatever Redis has lost, or says twice, nothing is sent behind a hole, and nothing again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from itertools import islice
from typing import Final

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from redis.exceptions import RedisError

from unikat.errors import Reason, make_status, retry_later
from unikat.queue.calls import Condition, DrawCalls, Entry, read_entries
from unikat.queue.connection import Connection
from unikat.queue.inbox import BEAT_S, Inbox, News
from unikat.queue.script_calls import SLICE
from unikat_service.catalogue import Catalogue
from unikat_service.errors import no_memory
from unikat_service.subscription import MAX_ALL_BYTES, MAX_QUIET_S, MIN_QUIET_S, Held, Subscription

log = logging.getLogger(__name__)

# What one read of streams may bring, of all calls together: an estimate, from the entries that came before.
MAX_READ_BYTES: Final = 8 * 2**20
MAX_READ_ENTRIES: Final = 32
MAX_READ_STREAMS: Final = 64

TICK_S: Final = 0.5
MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 1.0  # while Redis does not answer
# A worker publishes a job's end before RQ records it, and a look may fall between: one sign is not enough.
SIGNS_OF_DEATH: Final = 2


class Delivery:
    """All subscriptions of a process; used by one event loop."""

    def __init__(self, inbox: Inbox, calls: DrawCalls, reads: Connection, catalogue: Catalogue, share: float) -> None:
        """`reads` is for what may be large; `share` is what one caller may have of the memory for unsent images."""
        self.loop = asyncio.get_running_loop()  # asking for it is a system call
        self.clock = self.loop.time
        self._held = Held(self.loop, self.want, share)
        self._inbox, self._calls, self._reads, self._catalogue = inbox, calls, reads, catalogue
        self._subscriptions: dict[bytes, list[Subscription]] = {}  # by job
        self._wanted: dict[Subscription, None] = {}  # whose streams are to be read, in this order
        self._is_wanted = asyncio.Event()
        self._is_cut_off = False
        self._mean_bytes = 4096.0  # of an entry: moving average
        self._large_bytes = 131_072.0  # of a large one: what follows a larger one at once, and a smaller one slowly

    @property
    def image_bytes(self) -> float:
        """Of an entry with an image, about."""
        return self._mean_bytes

    @property
    def held_bytes(self) -> int:
        """Of entries that are not sent, or are being sent."""
        return self._held.bytes

    @property
    def jobs(self) -> int:
        """Jobs that calls wait for."""
        return len(self._subscriptions)

    @property
    def subscriptions(self) -> list[Subscription]:
        """All of them."""
        return [each for those in self._subscriptions.values() for each in those]

    def open(self, job_id: str, lease: str, expected: int) -> Subscription:
        """Begin to deliver a job's entries from number `expected` on. Those that are there already are to be read."""
        subscription = Subscription(self._held, job_id, lease, expected)
        self._subscriptions.setdefault(job_id.encode(), []).append(subscription)
        return subscription

    def close(self, subscription: Subscription) -> None:
        """Forget a subscription and what it holds."""
        subscription.drop()
        self._wanted.pop(subscription, None)
        key = subscription.job_id.encode()
        self._subscriptions[key].remove(subscription)
        if not self._subscriptions[key]:
            del self._subscriptions[key]

    def want(self, subscription: Subscription) -> None:
        """Read a subscription's stream soon."""
        self._wanted[subscription] = None
        self._is_wanted.set()

    def running(self) -> list[asyncio.Task[None]]:
        """Begins the tasks that read, until they are cancelled."""
        rounds = (("the inbox", self._read_inbox), ("streams", self._read_streams), ("jobs", self._look))
        beat = ("the heartbeat", self._beat)
        return [asyncio.create_task(_forever(what, work)) for what, work in (*rounds, beat)]

    async def _read_inbox(self) -> None:
        try:
            received = await self._inbox.read()
        except RedisError:
            self._is_cut_off = True
            raise
        if self._is_cut_off:  # calls were looked at more and more seldom meanwhile, and their jobs may be gone
            self._is_cut_off = False
            for subscription in self.subscriptions:
                subscription.quiet, subscription.look_at = MIN_QUIET_S, self.clock()
        for news in received:
            for subscription in self._subscriptions.get(news.job, ()):
                self._deliver(subscription, news)

    def _deliver(self, subscription: Subscription, news: News) -> None:
        if subscription.lags:
            return
        number = news.number
        for image in news.images:
            subscription.offer(number, image)
            number += 1
        if not news.images or (news.number and number > subscription.expected and not subscription.lags):
            self.want(subscription)

    async def _read_streams(self) -> None:
        await self._is_wanted.wait()
        at_once = max(1, min(MAX_READ_STREAMS, int(MAX_READ_BYTES / self._large_bytes)))
        reading = list(islice(self._with_room(), at_once))
        if not reading:  # they were closed meanwhile
            self._is_wanted.clear()
            return
        most = max(1, min(MAX_READ_ENTRIES, int(MAX_READ_BYTES / (len(reading) * self._large_bytes))))
        if self._held.bytes > MAX_ALL_BYTES // 2:
            most = 1
        for subscription in reading:
            del self._wanted[subscription]
            subscription.lags = False
        if not self._wanted:
            self._is_wanted.clear()
        try:
            found = await read_entries(self._reads, [(each.job_id, each.expected) for each in reading], most)
        except BaseException:
            for subscription in reading:
                self.want(subscription)
            raise
        for subscription, entries in zip(reading, found, strict=True):
            self._take(subscription, entries, len(entries) == most)

    def _with_room(self) -> Iterator[Subscription]:
        """Those whose streams are to be read; what a call has no room for is not read for it."""
        for subscription in list(self._wanted):
            if subscription.may_take(round(self._large_bytes)):
                yield subscription
            else:
                del self._wanted[subscription]

    def _take(self, subscription: Subscription, entries: list[Entry], there_is_more: bool) -> None:
        if not self._is_open(subscription):
            return
        if not entries and not subscription.lags:
            self._held.forget(subscription)  # there is room, and nothing to take yet
        taken = 0
        for number, entry in entries:
            if isinstance(entry, bytes):
                self._mean_bytes += (len(entry) - self._mean_bytes) / 32
                self._large_bytes = max(len(entry), self._large_bytes + (len(entry) - self._large_bytes) / 32)
            if number >= subscription.expected:  # what came through the inbox meanwhile is not taken again
                if not subscription.offer(number, entry):
                    break
                taken += 1
        if there_is_more and taken and not subscription.lags:
            self.want(subscription)

    def _is_open(self, subscription: Subscription) -> bool:
        return subscription in self._subscriptions.get(subscription.job_id.encode(), ())

    async def _look(self) -> None:
        await asyncio.sleep(TICK_S)
        for subscription in self._held.starved():
            subscription.fail(no_memory())
        now = self.clock()
        due = [each for each in self.subscriptions if each.look_at <= now]
        for at in range(0, len(due), SLICE):
            # A call that has ended meanwhile has given its lease up.
            looked_at = [each for each in due[at : at + SLICE] if self._is_open(each)]
            conditions = await self._calls.inspect([(each.job_id, each.lease) for each in looked_at])
            for subscription, condition in zip(looked_at, conditions, strict=True):
                subscription.quiet = min(subscription.quiet * 2, MAX_QUIET_S)
                subscription.look_at = now + subscription.quiet
                self._judge(subscription, condition)

    def _judge(self, subscription: Subscription, condition: Condition) -> None:
        if subscription.lags or not subscription.is_empty:  # its caller is slow
            return
        if condition.last >= subscription.expected or condition.code != -1:  # however long others are read before it
            self.want(subscription)
            return
        if condition.is_active:
            subscription.signs = 0
            if condition.status == "queued" and subscription.model is not None:
                status = self._catalogue.unserved(*subscription.model)
                if status is not None:
                    subscription.fail(status)
            return
        subscription.signs += 1
        if subscription.signs >= SIGNS_OF_DEATH:
            subscription.fail(_verdict(subscription.job_id, condition.status))

    async def _beat(self) -> None:
        await self._inbox.beat()
        self._calls.retry_releases()
        await asyncio.sleep(BEAT_S)


async def _forever(what: str, work: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled; errors of Redis are waited out, for as long as they last."""
    pause = MIN_PAUSE_S
    while True:
        try:
            await work()
            pause = MIN_PAUSE_S
        except Exception as error:  # without it no call gets anything, so whatever it is, it goes on
            known = isinstance(error, (RedisError, OSError))
            log.warning("Reading %s: %s; again in %.2f s", what, error, pause, exc_info=not known)
            await asyncio.sleep(pause)
            pause = min(pause * 2, MAX_PAUSE_S)


def _verdict(job_id: str, status: str) -> Status:
    """Why a job that has ended will publish nothing more, as seen from its RQ status ("": it is not there)."""
    if status in ("failed", "stopped"):
        text = f"job {job_id} {status} without a result; RQ's failed job registry has the details"
        return make_status(Code.INTERNAL, text, Reason.JOB_FAILED, job_id=job_id)
    if status == "canceled":
        return make_status(Code.CANCELLED, f"job {job_id} was cancelled by an operator", Reason.CANCELLED)
    text = f"the results of job {job_id} are no longer there; send the request again"
    return retry_later(Code.UNAVAILABLE, text, Reason.RESULT_EXPIRED, 1.0)
