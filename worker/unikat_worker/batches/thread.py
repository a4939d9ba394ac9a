"""The batch thread: takes shards for the inference threads, has what they drew written, and settles what has ended."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from queue import Empty
from typing import Final

from unikat.batches import record as r
from unikat.queue.batches.keys import batch_key
from unikat.queue.draws import wake
from unikat.queue.unready import PASSING
from unikat_worker.active import ActiveClose, ActiveShard, Ending, OfBatch
from unikat_worker.batches.admission import admit, refusal
from unikat_worker.batches.files import Files
from unikat_worker.batches.places import Places
from unikat_worker.batches.settlement import BatchSettler
from unikat_worker.batches.write_queue import WriteQueue
from unikat_worker.batches.writers import Written
from unikat_worker.executor import Executor
from unikat_worker.scheduler import Scheduler
from unikat_worker.settlement import Settler
from unikat_worker.state import State

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


class BatchThread:
    """A thread of its own: `run`."""

    def __init__(
        self, places: Places, executor: Executor, scheduler: Scheduler, state: State, settler: Settler
    ) -> None:
        self.settler = BatchSettler(settler)
        self._redis = self.settler.redis
        self._name = settler.worker.name
        self._executor = executor
        self._scheduler = scheduler
        self._state = state
        self._room = places.writers + _WAITING
        self._places = places
        files = Files(self._redis, self._places, executor.device)
        self._ended: list[OfBatch] = []  # to be settled
        self._write_queue = WriteQueue(self.settler, places, files.write, state.events.put, self._ended.append)
        self._pause = _BACKOFF[0]
        self._looked_at = 0.0
        self._left: dict[str, float] = {}  # batches that others can draw or write, and this worker cannot: until when
        self._dry_until = 0.0  # there was no shard at all
        self._others_at = 0.0  # when shards are looked for of owners who have none here

    def run(self) -> None:
        """Until the worker is to leave."""
        while not self._state.stopping:
            if self._reach_redis(self._turn):
                self._wait(min(_WAIT, self._next_at - time.monotonic()))

    def leave(self) -> None:
        """Finish the files that are being written, and give back what is unfinished. No thread draws any more."""
        until = time.monotonic() + _GOODBYE
        self._take_events(0.0)
        written_by = time.monotonic() + _LAST_FILES
        while (self._write_queue.writing or self._ended) and time.monotonic() < written_by:
            if self._reach_redis(self._settle):
                self._wait(min(_LOOK, written_by - time.monotonic()))
        while not self._reach_redis(self._give_back) and time.monotonic() < until:
            pass

    def _reach_redis(self, act: Callable[[], None]) -> bool:
        """`act`, or a pause if the connection is lost; everything that was not confirmed is done again."""
        try:
            act()
        except PASSING as error:
            log.warning("waiting for Redis, next try in %.2f s: %s", self._pause, error)
            time.sleep(self._pause)
            self._pause = min(2 * self._pause, _BACKOFF[1])
            return False
        self._pause = _BACKOFF[0]
        return True

    def _wait(self, seconds: float) -> None:
        has_news = self._write_queue.has_news or self._ended
        self._take_events(0.0 if has_news else max(0.0, seconds))

    def _take_events(self, seconds: float) -> None:
        try:
            event = self._state.events.get(timeout=seconds) if seconds > 0 else self._state.events.get_nowait()
            while True:
                if isinstance(event, Written):
                    self._write_queue.deliver(event)
                elif isinstance(event, ActiveShard):
                    self._take_in(event)
                elif event is not None:
                    self._drop([item for item in self._write_queue if item.id == event], Ending.STOPPED)
                elif any(not shard.remaining for shard in self._scheduler.shards):
                    self._others_at = 0.0  # an owner has none here that is to be drawn
                event = self._state.events.get_nowait()
        except Empty:
            return

    def _take_in(self, shard: ActiveShard) -> None:
        """A shard is drawn, or has ended before."""
        if shard.ending is None:
            self._state.rates.drew(shard.count)
            self._write_queue.post(shard)
        else:
            self._ended.append(shard)

    def _drop(self, items: list[OfBatch], ending: Ending) -> None:
        for item in items:
            if item in self._write_queue:
                self._write_queue.drop(item, ending)
            elif isinstance(item, ActiveShard):
                self._scheduler.end(item, ending)

    @property
    def _next_at(self) -> float:
        """When there is something to do, on the monotonic clock."""
        look_at = (self._dry_until if self._scheduler.is_hungry() else self._others_at) if self._has_room else math.inf
        return min(self._write_queue.next_at, look_at)

    def _turn(self) -> None:
        if time.monotonic() - self._looked_at > _LOOK:
            self._look()
            self._looked_at = time.monotonic()
        self._settle()
        self._take()

    def _look(self) -> None:
        """Ask which batches are still wanted, and which jobs are still this worker's."""
        items = [*self._scheduler.shards, *self._write_queue]
        batches = sorted({item.batch for item in items})
        if not batches:
            return
        self._drop(self.settler.lost(items), Ending.LOST)
        with self._redis.pipeline(transaction=False) as pipe:
            for batch in batches:
                pipe.hmget(batch_key(batch), r.CANCELLED, r.ENDED, r.PAUSED)
            for batch, (cancelled, ended, paused) in zip(batches, pipe.execute(), strict=True):
                if cancelled is not None or ended is not None:
                    shards = [item for item in items if item.batch == batch and isinstance(item, ActiveShard)]
                    self._drop(list(shards), Ending.CANCELLED)
                elif paused is None:
                    self._write_queue.hurry(batch)

    def _settle(self) -> None:
        self._write_queue.turn()
        while self._ended:  # out of the list only when it is done
            item = self._ended[0]
            self.settler.settle(item)
            for each in self._state.observers:
                each.ended(item)
            if item.ending is Ending.RETURNED and item.error is not None:
                self._left[item.batch] = time.monotonic() + _LEFT
            self._state.executions.pop(self._ended.pop(0).taken.execution, None)
            self._dry_until = 0.0  # it may have been the last one, and the job that ends the batch is there

    def _give_back(self) -> None:
        """What is unfinished goes back to the front of its queue."""
        for item in self._write_queue:
            if item.ending is None:
                item.ending = Ending.RETURNED
                self._ended.append(item)
        for shard in self._scheduler.shards:
            self._scheduler.end(shard, Ending.RETURNED)
        self._take_events(0.0)
        self._settle()

    @property
    def _has_room(self) -> bool:
        if self._state.suspended or self._state.stopping or self._write_queue.writing >= self._room:
            return False
        shards = self._scheduler.shards
        held = sum(shard.count * self._executor.image_bytes(shard.digest) for shard in shards)
        return len(shards) < _OPEN and held < _OPEN_BYTES

    def _take(self) -> None:
        """A shard where threads would soon be idle; else one of an owner who has none here, so that all have turns."""
        while self._has_room:
            moment, hungry = time.monotonic(), self._scheduler.is_hungry()
            if moment < (self._dry_until if hungry else self._others_at):
                return
            self._left = {batch: until for batch, until in self._left.items() if until > moment}
            here = () if hungry else {shard.owner for shard in self._scheduler.shards if shard.remaining}
            found = self.settler.progress.take(self._name, here, self._left.keys() | self._write_queue.silent)
            if found is None:
                self._dry_until = moment + _LOOK if hungry else self._dry_until
                self._others_at = moment + _LOOK
                return
            self._state.executions[found.job.execution] = found.job.member
            self._add(admit(found))

    def _add(self, item: OfBatch) -> None:
        """Nothing may be raised before the item is somewhere: RQ knows that it is begun."""
        if item.ending is None and (error := refusal(item, self._places)) is not None:
            item.ending, item.error = Ending.RETURNED, error
        if item.ending is not None:
            self._ended.append(item)
        elif isinstance(item, ActiveShard):
            self._scheduler.add_shard(item)
            if self._scheduler.waits:
                wake(self._redis, self._name)
        elif isinstance(item, ActiveClose):
            self._write_queue.wait_to_close(item)
