"""The worker's share of all batches: which shards it has, what is drawn next, and what becomes of them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from redis import Redis
from rq import Queue

from unikat.batches import record as r
from unikat.batches.destination import open_prefixes
from unikat.batches.keys import batch_key
from unikat_worker.active import Ending
from unikat_worker.batches.active import ActiveShard, AnyItem, ShardBatch, Turns
from unikat_worker.batches.books import Books
from unikat_worker.batches.files import Files
from unikat_worker.batches.intake import admit
from unikat_worker.batches.outbox import Outbox
from unikat_worker.batches.writers import Written
from unikat_worker.drawing import Artist
from unikat_worker.exchange import Exchange
from unikat_worker.intake import Refused
from unikat_worker.lanes import Done, Lanes
from unikat_worker.settings import Settings
from unikat_worker.settlement import Settlement
from unikat_worker.state import State

_LOOK: Final = 0.2  # seconds between looks for a shard where there was none
_LEFT: Final = 30.0  # seconds for which a batch that only others can write is left to them
_OPEN: Final = 8  # shards drawn at a time: their images are in memory until the last one is there
_WAITING: Final = 2  # shards that may wait for a writer


class Desk:
    """Called by the loop's thread."""

    def __init__(
        self, redis: Redis, settings: Settings, artist: Artist, state: State, settlement: Callable[[Queue], Settlement]
    ) -> None:
        self._state = state
        self._artist = artist
        self._books = Books(redis, settlement)
        self._writers = settings.writers
        self._prefixes = open_prefixes(settings.destinations)
        files = Files(redis, self._prefixes, artist.device)
        self._ended: list[AnyItem] = []
        self._outbox = Outbox(self._books, settings.writers, files.write, state.inbox.put, self._ended.append)
        self._turns = Turns()
        self._shards: list[ActiveShard] = []  # that are being drawn, oldest first
        self._taken: list[tuple[str, str]] = []  # batch and job: moved, and not read
        self._refused: list[tuple[str, Refused]] = []
        self._new: list[AnyItem] = []  # read, and not begun
        self._left: dict[str, float] = {}  # batches that this worker may not write to: until when others are waited for
        self._dry_until = 0.0  # there was no shard at all
        self._others_at = 0.0  # when shards are looked for of owners who have none here

    @property
    def is_drawing(self) -> bool:
        """Whether lanes may have something of a batch."""
        return bool(self._shards)

    @property
    def is_writing(self) -> bool:
        """Whether something is on its way to a file, or its end not settled."""
        return bool(self._outbox.writing or self._ended)

    @property
    def has_news(self) -> bool:
        """Whether `turn` has something to do now."""
        return bool(self._outbox.has_news or self._ended or self._new or self._taken or self._refused)

    @property
    def next_at(self) -> float:
        """When `turn` has something to do, on the monotonic clock."""
        look_at = (self._dry_until if self._is_hungry else self._others_at) if self._has_room else math.inf
        return min(self._outbox.next_at, look_at)

    def look(self, exchange: Exchange) -> None:
        """Ask which batches are still wanted."""
        for batch in {item.batch for item in (*self._shards, *self._outbox)}:
            exchange.pipeline.hmget(batch_key(batch), r.CANCELLED, r.ENDED, r.PAUSED, r.STARTED)
            exchange.on_reply(partial(self._take_in_facts, batch))

    def deal(self, lanes: Lanes, others_wait: bool) -> None:
        """Keep the lanes' deck full; clear it where somebody waits who goes first."""
        if others_wait:
            self.withdraw(lanes)
            return
        while lanes.deck_room > 0 and (shard := self._turns.choose(self._shards)) is not None:
            share = -(-self._undealt // lanes.count)
            lanes.put_on_deck(shard.cut(min(self._artist.limit(shard.job.digest), share)))
            if not shard.todo:
                self._others_at = 0.0  # its owner has none here now, perhaps

    def can_deal(self, lanes: Lanes) -> bool:
        """Whether `deal` has something to do."""
        return lanes.deck_room > 0 and any(shard.is_open for shard in self._shards)

    def withdraw(self, lanes: Lanes) -> None:
        """Clear the deck."""
        for batch in reversed(lanes.withdraw()):
            batch.shard.untake(batch.positions)

    def take_drawings(self, done: Done, batch: ShardBatch) -> None:
        """A lane is through with a batch."""
        shard = batch.shard
        if shard.ending is not None:
            return
        if done.error is not None:
            shard.error = done.error
            self._end(shard, Ending.FAILED)
            return
        shard.images += batch.images
        if shard.is_drawn:
            self._shards.remove(shard)
            self._outbox.post(shard)

    def take_written(self, written: Written) -> None:
        """A writer is through with an item."""
        self._outbox.deliver(written)

    def stop_jobs(self, job_ids: set[str]) -> None:
        """RQ's stop command."""
        for item in [item for item in (*self._shards, *self._outbox) if item.rq.id in job_ids]:
            self._end(item, Ending.STOPPED)

    def turn(self) -> None:
        """Settle what has ended and take what is needed. If it raises because Redis is away: once more."""
        for item in [item for item in (*self._shards, *self._outbox) if item.execution.id in self._state.lost]:
            self._end(item, Ending.LOST)
        self._outbox.turn()
        self._settle()
        self._take()
        self._begin()

    def leave(self) -> None:
        """What is unfinished goes back to the front of its queue."""
        self._outbox.turn()
        for item in (*self._new, *self._shards, *self._outbox):
            if item.ending is None:
                item.ending = Ending.RETURNED
                self._ended.append(item)
        self._settle()
        while self._taken:
            batch, job_id = self._taken[-1]
            self._books.put_back(batch, job_id)
            self._taken.pop()
        self._outbox.stop()

    @property
    def _undealt(self) -> int:
        return sum(len(shard.todo) for shard in self._shards)

    @property
    def _is_hungry(self) -> bool:
        """Whether lanes will soon be idle."""
        limits = [self._artist.limit(shard.job.digest) for shard in self._shards] or [1]
        return self._undealt < self._artist.device.lanes * max(limits)

    @property
    def _has_room(self) -> bool:
        busy = self._state.suspended or self._state.stopping
        return not busy and len(self._shards) < _OPEN and self._outbox.writing < self._writers + _WAITING

    def _take_in_facts(self, batch: str, facts: Any) -> None:  # noqa: ANN401  (a reply: a list, or an error)
        if isinstance(facts, Exception):
            raise facts
        cancelled, ended, paused, started = facts
        if started is None:
            self._books.forget_beginning(batch)
        if cancelled is not None or ended is not None:
            for item in [item for item in (*self._shards, *self._outbox) if item.batch == batch]:
                if isinstance(item, ActiveShard):
                    self._end(item, Ending.CANCELLED)
        elif paused is None:
            self._outbox.hurry(batch)

    def _end(self, item: AnyItem, ending: Ending) -> None:
        if item in self._shards:
            self._shards.remove(item)
            item.ending = ending
            self._ended.append(item)
        else:
            self._outbox.drop(item, ending)

    def _settle(self) -> None:
        while self._ended:  # out of the list only when it is done
            self._books.settle(self._ended[0])
            self._ended.pop(0)
            self._dry_until = 0.0  # it may have been the last one, and the job that ends the batch is there
        while self._refused:
            self._books.refuse(*self._refused[0])
            self._refused.pop(0)

    def _take(self) -> None:
        """A shard where lanes would soon be idle; else one of an owner who has none here, so that all have turns."""
        self._read()
        while self._has_room:
            moment, hungry = time.monotonic(), self._is_hungry
            if moment < (self._dry_until if hungry else self._others_at):
                return
            self._left = {batch: until for batch, until in self._left.items() if until > moment}
            here = () if hungry else {shard.owner for shard in self._shards if shard.is_open}
            taken = self._books.ledger.take(here, self._left)
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
                item = admit(self._books, batch, job_id, self._prefixes)
            except Refused as refused:
                self._refused.append((batch, refused))
            else:
                if item is not None and item.ending is Ending.RETURNED:
                    self._left[batch] = time.monotonic() + _LEFT
                if item is not None:
                    (self._new if item.ending is None else self._ended).append(item)
            self._taken.pop()

    def _begin(self) -> None:
        self._books.begin([item for item in self._new if not item.prepared])
        for item in self._new:
            if isinstance(item, ActiveShard):
                self._shards.append(item)
            else:
                self._outbox.wait_to_close(item)
        self._new.clear()
