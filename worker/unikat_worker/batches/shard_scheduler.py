"""The worker's share of all batches: which shards it has, what is drawn next, and what becomes of them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from queue import Empty
from typing import Final

from redis import Redis
from rq import Queue

from unikat.batches import record as r
from unikat.batches.destination import open_prefixes
from unikat.queue.batches.keys import batch_key
from unikat.queue.draws import wake
from unikat_worker.active import Ending
from unikat_worker.away import AWAY
from unikat_worker.batches.active import ActiveShard, AnyItem, RoundRobin
from unikat_worker.batches.admission import admit
from unikat_worker.batches.files import Files
from unikat_worker.batches.shard_state import ShardState
from unikat_worker.batches.write_queue import WriteQueue
from unikat_worker.batches.writers import Written
from unikat_worker.executor import Executor
from unikat_worker.scheduler import Scheduler
from unikat_worker.settings import Settings
from unikat_worker.settlement import RefusedJob, Settlement
from unikat_worker.state import Done, State

_LOOK: Final = 0.2  # seconds between looks for a shard where there was none, and at the batches that are drawn
_WAIT: Final = 1.0  # seconds after which it looks around without a reason
_BACKOFF: Final = (0.05, 1.0)  # seconds: first and longest pause after a lost connection
_LEFT: Final = 30.0  # seconds for which a batch that only others can write is left to them
_OPEN: Final = 8  # shards drawn at a time: their images are in memory until the last one is there
_OPEN_BYTES: Final = 2**29  # of images in them: a shard is taken beside others only below it
_WAITING: Final = 2  # shards that may wait for a writer
_LAST_FILES: Final = 5.0  # seconds in which a leaving worker finishes the files that it writes
_GOODBYE: Final = 8.0  # seconds in which a leaving worker tries to reach Redis

log = logging.getLogger(__name__)


class ShardScheduler:
    """A thread of its own (`run`): shards are taken and cut into batches, which inference threads draw as the last."""

    def __init__(
        self,
        redis: Redis,
        name: str,
        settings: Settings,
        executor: Executor,
        scheduler: Scheduler,
        state: State,
        settlement: Callable[[Queue], Settlement],
    ) -> None:
        """`name` is the worker's."""
        self._redis = redis
        self._name = name
        self._state = state
        self._executor = executor
        self._scheduler = scheduler
        self._pause = _BACKOFF[0]
        self._looked_at = 0.0
        self._shard_state = ShardState(redis, settlement)
        self._writers = settings.writers
        self._prefixes = open_prefixes(settings.destinations)
        files = Files(redis, self._prefixes, executor.device)
        self._ended: list[AnyItem] = []
        self._write_queue = WriteQueue(
            self._shard_state, settings.writers, files.write, state.events.put, self._ended.append
        )
        self._turns = RoundRobin()
        self._shards: list[ActiveShard] = []  # that are being drawn, oldest first
        self._taken: list[tuple[str, str]] = []  # batch and job: moved, and not read
        self._refused: list[tuple[str, RefusedJob]] = []
        self._new: list[AnyItem] = []  # read, and not begun
        self._left: dict[str, float] = {}  # batches that this worker may not write to: until when others are waited for
        self._dry_until = 0.0  # there was no shard at all
        self._others_at = 0.0  # when shards are looked for of owners who have none here

    def run(self) -> None:
        """Until the worker is to leave."""
        while not self._state.stopping:
            if self._reach_redis(self._round):
                self._wait(min(_WAIT, self._next_at - time.monotonic()))

    def leave(self) -> None:
        """Finish the files that are being written, and give back what is unfinished. No thread draws any more."""
        until = time.monotonic() + _GOODBYE
        self._withdraw()
        self._take_events(0.0)
        written_by = time.monotonic() + _LAST_FILES
        while self._is_writing and time.monotonic() < written_by:
            if self._reach_redis(self._turn):
                self._wait(min(_LOOK, written_by - time.monotonic()))
        while not self._reach_redis(self._give_back) and time.monotonic() < until:
            pass

    def _round(self) -> None:
        if time.monotonic() - self._looked_at > _LOOK:
            self._look()
            self._looked_at = time.monotonic()
        for job_id in list(self._state.stops):
            self._stop_job(job_id)
            self._state.stops.discard(job_id)
        self._turn()
        self._prefetch()

    def _wait(self, seconds: float) -> None:
        has_news = self._write_queue.has_news or self._ended or self._new or self._taken or self._refused
        self._take_events(0.0 if has_news else max(0.0, seconds))

    def _take_events(self, seconds: float) -> None:
        try:
            event = self._state.events.get(timeout=seconds) if seconds > 0 else self._state.events.get_nowait()
            while True:
                if isinstance(event, Written):
                    self._write_queue.deliver(event)
                elif event is not None:
                    self._take_drawings(event)
                event = self._state.events.get_nowait()
        except Empty:
            return

    def _reach_redis(self, act: Callable[[], None]) -> bool:
        """`act`, or a pause if the connection is lost; everything that was not confirmed is done again."""
        try:
            act()
        except AWAY as error:
            log.warning("Redis does not answer, next try in %.2f s: %s", self._pause, error)
            time.sleep(self._pause)
            self._pause = min(2 * self._pause, _BACKOFF[1])
            return False
        self._pause = _BACKOFF[0]
        return True

    @property
    def _is_writing(self) -> bool:
        """Whether something is on its way to a file, or its end not settled."""
        return bool(self._write_queue.writing or self._ended)

    @property
    def _next_at(self) -> float:
        """When there is something to do, on the monotonic clock."""
        look_at = (self._dry_until if self._is_hungry else self._others_at) if self._has_room else math.inf
        return min(self._write_queue.next_at, look_at)

    def _look(self) -> None:
        """Ask which batches are still wanted."""
        batches = sorted({item.batch for item in (*self._shards, *self._write_queue)})
        with self._redis.pipeline(transaction=False) as pipe:
            for batch in batches:
                pipe.hmget(batch_key(batch), r.CANCELLED, r.ENDED, r.PAUSED, r.STARTED)
            for batch, facts in zip(batches, pipe.execute(), strict=True):
                self._take_in_facts(batch, *facts)

    def _prefetch(self) -> None:
        """Keep the scheduler's prefetch queue full."""
        put = 0
        while self._scheduler.prefetch_room() > 0 and (shard := self._turns.choose(self._shards)) is not None:
            share = -(-self._undealt // self._executor.device.inference_threads)
            self._scheduler.prefetch(shard.cut(min(self._executor.limit(shard.job.digest), share)))
            put += 1
            if not shard.todo:
                self._others_at = 0.0  # its owner has none here now, perhaps
        if put and self._scheduler.waits:
            wake(self._redis, self._name)

    def _withdraw(self) -> None:
        """Empty the prefetch queue."""
        for batch in reversed(self._scheduler.withdraw()):
            batch.shard.untake(batch.positions)

    def _take_drawings(self, done: Done) -> None:
        """A thread is through with a batch."""
        shard = done.batch.shard
        if shard.ending is not None:
            return
        if done.error is not None:
            shard.error = done.error
            self._end(shard, Ending.FAILED)
            return
        shard.images += done.batch.images
        if shard.is_drawn:
            self._shards.remove(shard)
            self._write_queue.post(shard)

    def _stop_job(self, job_id: str) -> None:
        """RQ's stop command."""
        for item in [item for item in (*self._shards, *self._write_queue) if item.rq.id == job_id]:
            self._end(item, Ending.STOPPED)

    def _turn(self) -> None:
        """Settle what has ended and take what is needed. If it raises because Redis is away: once more."""
        for item in [item for item in (*self._shards, *self._write_queue) if item.execution.id in self._state.lost]:
            self._state.lost.discard(item.execution.id)
            self._end(item, Ending.LOST)
        self._write_queue.turn()
        self._settle()
        self._take()
        self._begin()

    def _give_back(self) -> None:
        """What is unfinished goes back to the front of its queue."""
        self._write_queue.turn()
        for item in (*self._new, *self._shards, *self._write_queue):
            if item.ending is None:
                item.ending = Ending.RETURNED
                self._ended.append(item)
        self._settle()
        while self._taken:
            batch, job_id = self._taken[-1]
            self._shard_state.put_back(batch, job_id)
            self._taken.pop()
        self._write_queue.stop()

    @property
    def _undealt(self) -> int:
        return sum(len(shard.todo) for shard in self._shards)

    @property
    def _is_hungry(self) -> bool:
        """Whether inference threads will soon be idle."""
        limits = [self._executor.limit(shard.job.digest) for shard in self._shards] or [1]
        return self._undealt < self._executor.device.inference_threads * max(limits)

    @property
    def _has_room(self) -> bool:
        busy = self._state.suspended or self._state.stopping
        room = len(self._shards) < _OPEN and self._write_queue.writing < self._writers + _WAITING
        held = sum(shard.job.count * self._executor.image_bytes(shard.job.digest) for shard in self._shards)
        return not busy and room and held < _OPEN_BYTES

    def _take_in_facts(
        self, batch: str, cancelled: bytes | None, ended: bytes | None, paused: bytes | None, started: bytes | None
    ) -> None:
        if started is None:
            self._shard_state.forget_beginning(batch)
        if cancelled is not None or ended is not None:
            for item in [item for item in (*self._shards, *self._write_queue) if item.batch == batch]:
                if isinstance(item, ActiveShard):
                    self._end(item, Ending.CANCELLED)
        elif paused is None:
            self._write_queue.hurry(batch)

    def _end(self, item: AnyItem, ending: Ending) -> None:
        if item in self._shards:
            self._shards.remove(item)
            item.ending = ending
            self._ended.append(item)
        else:
            self._write_queue.drop(item, ending)

    def _settle(self) -> None:
        while self._ended:  # out of the list only when it is done
            self._shard_state.settle(self._ended[0])
            self._ended.pop(0)
            self._dry_until = 0.0  # it may have been the last one, and the job that ends the batch is there
        while self._refused:
            self._shard_state.refuse(*self._refused[0])
            self._refused.pop(0)

    def _take(self) -> None:
        """A shard where threads would soon be idle; else one of an owner who has none here, so that all have turns."""
        self._read()
        while self._has_room:
            moment, hungry = time.monotonic(), self._is_hungry
            if moment < (self._dry_until if hungry else self._others_at):
                return
            self._left = {batch: until for batch, until in self._left.items() if until > moment}
            here = () if hungry else {shard.owner for shard in self._shards if shard.is_open}
            taken = self._shard_state.progress.take(here, self._left)
            if taken is None:
                self._dry_until = moment + _LOOK if hungry else self._dry_until
                self._others_at = moment + _LOOK
                return
            self._taken.append(taken)
            self._read()
            self._begin()

    def _read(self) -> None:
        while self._taken:
            batch, job_id = self._taken[-1]
            try:
                item = admit(self._shard_state, batch, job_id, self._prefixes)
            except RefusedJob as refused:
                self._refused.append((batch, refused))
            else:
                if item is not None and item.ending is Ending.RETURNED:
                    self._left[batch] = time.monotonic() + _LEFT
                if item is not None:
                    (self._new if item.ending is None else self._ended).append(item)
            self._taken.pop()

    def _begin(self) -> None:
        self._shard_state.begin([item for item in self._new if not item.prepared])
        for item in self._new:
            if isinstance(item, ActiveShard):
                self._shards.append(item)
            else:
                self._write_queue.wait_to_close(item)
        self._new.clear()
