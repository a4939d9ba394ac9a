"""WatchBatch: one task looks at all batches that are watched, a few times a second, and only while there are any."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, TypeVar

from google.rpc.status_pb2 import Status
from redis.exceptions import RedisError

from unikat.batches.record import BatchRecord
from unikat.errors import error_of
from unikat.queue.batches.store import BatchStore
from unikat_service.errors import no_such_batch

log = logging.getLogger(__name__)

POLL_S: Final = 0.2
MAX_PAUSE_S: Final = 1.0  # while Redis does not answer

T = TypeVar("T")


@dataclass(frozen=True)
class Look:
    """A batch at one revision: the serialized message, without plans, and whether it is the last."""

    revision: int
    message: bytes
    is_last: bool


def look_at(record: BatchRecord) -> Look:
    return Look(record.revision, record.to_message().SerializeToString(), record.has_ended)


class Watch:
    """What one call waits for. Only the newest look is kept, so a slow caller costs no memory."""

    def __init__(self, batch: str, revision: int) -> None:
        """`revision` is the last that the caller knows."""
        self.batch = batch
        self.revision = revision
        self._look: Look | None = None
        self._failure: Status | None = None
        self._news = asyncio.Event()

    async def next(self) -> Look:
        """The next look that is news. Raises UnikatError if there will be none (`fail`)."""
        while self._look is None:
            if self._failure is not None:
                raise error_of(self._failure)
            self._news.clear()
            await self._news.wait()
        look, self._look = self._look, None
        return look

    def push(self, look: Look) -> None:
        if look.revision != self.revision:
            self.revision, self._look = look.revision, look
            self._news.set()

    def fail(self, status: Status) -> None:
        """End the call with a status, once it has sent what it holds."""
        self._failure = status
        self._news.set()


class Watcher:
    """All watches of a process; used by one event loop, while it reads in threads."""

    def __init__(self, store: BatchStore, threads: Executor) -> None:
        self._store = store
        self._threads = threads
        self._watches: dict[str, list[Watch]] = {}
        self._wanted = asyncio.Event()
        self._stopped: Status | None = None

    def open(self, batch: str, revision: int) -> Watch:
        """Begin to watch a batch of which `revision` is known."""
        watch = Watch(batch, revision)
        if self._stopped is not None:
            watch.fail(self._stopped)
        self._watches.setdefault(batch, []).append(watch)
        self._wanted.set()
        return watch

    def close(self, watch: Watch) -> None:
        watches = self._watches[watch.batch]
        watches.remove(watch)
        if not watches:
            del self._watches[watch.batch]

    def stop(self, status: Status) -> None:
        """End all watches, and those that are yet to be opened, with a status."""
        self._stopped = status
        for watch in self._all():
            watch.fail(status)

    async def run(self) -> None:
        """Until cancelled; errors of Redis are waited out, for as long as they last."""
        pause = POLL_S
        while True:
            if not self._watches:
                self._wanted.clear()
                await self._wanted.wait()
            try:
                await self._poll()
                pause = POLL_S
            except Exception as error:  # without the watcher no call hears anything, so whatever it is, it goes on
                known = isinstance(error, (RedisError, OSError))
                log.warning("Watching batches: %s; again in %.1f s", error, pause, exc_info=not known)
                pause = min(pause * 2, MAX_PAUSE_S)
            await asyncio.sleep(pause)

    async def _poll(self) -> None:
        batches = list(self._watches)
        revisions = dict(zip(batches, await self._in_thread(lambda: self._store.revisions(batches)), strict=True))
        changed = set()
        for watch in self._all():
            revision = revisions.get(watch.batch, watch.revision)  # one that was opened meanwhile is for the next round
            if revision is None:
                watch.fail(no_such_batch(watch.batch))
            elif revision != watch.revision:
                changed.add(watch.batch)
        if not changed:
            return
        read = self._store.read_many
        looks = await self._in_thread(lambda: {record.id: look_at(record) for record in read(sorted(changed))})
        for batch, look in looks.items():
            for watch in self._watches.get(batch, ()):
                watch.push(look)

    def _all(self) -> list[Watch]:
        return [watch for watches in self._watches.values() for watch in watches]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)
