"""Jobs of batches at the level of `unikat.queue`: taken, written, settled, by workers that may die at any command."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from contextlib import suppress
from typing import Any

from redis import Redis
from redis.connection import UnixDomainSocketConnection
from rq import SimpleWorker
from rq.serializers import JSONSerializer

from tests.queue.order import status_of
from unikat.queue.batches.jobs import NoSuchBatch
from unikat_worker.active import ActiveClose, ActiveShard, Ending, OfBatch
from unikat_worker.batches.admission import admit
from unikat_worker.batches.settlement import BatchSettler
from unikat_worker.heartbeat import Heartbeat, Said
from unikat_worker.settlement import Settler
from unikat_worker.state import State
from unikat_worker.sweeper import Sweeper


class Died(BaseException):
    """The program is dead: nothing of it goes on."""


class Mortal(UnixDomainSocketConnection):
    """A connection of a program that dies after so many sends and replies; None: it lives."""

    left: int | None = None

    def send_packed_command(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
        self.live()
        super().send_packed_command(*args, **options)

    def read_response(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401
        self.live()
        return super().read_response(*args, **options)

    @classmethod
    def live(cls) -> None:
        """Once more."""
        if cls.left == 0:
            raise Died
        if cls.left is not None:
            cls.left -= 1


class BatchWorker:
    """A worker with shards in hand, one step at a time. `files` are written shards, `manifests` what closes wrote."""

    def __init__(self, redis: Redis, name: str, sweeper: Sweeper) -> None:
        self.name = name
        self.state = State()
        worker = SimpleWorker(["unikat"], name=name, connection=redis, serializer=JSONSerializer)
        worker.register_birth()
        self.settler = BatchSettler(Settler(worker, 600))
        self.hand: list[OfBatch] = []
        self.heartbeat = Heartbeat(
            worker, sweeper, self.state, lambda suspended: None, 60, Said(lambda: status_of(name))
        )
        self.heartbeat.beat()

    def take(self) -> OfBatch | None:
        """The next job, which may have ended already."""
        found = self.settler.progress.take(self.name)
        if found is None:
            return None
        self.state.executions[found.job.execution] = found.job.member
        item = admit(found)
        self.hand.append(item)
        if item.ending is not None:
            self.settle(item)
        return item

    def look(self) -> None:
        """Items that somebody else has by now are dropped, those of batches that were called off, too."""
        for item in self.settler.lost(self.hand):
            item.ending = Ending.LOST
        for item in list(self.hand):
            fields = self.settler.progress.store.read_many([item.batch])
            if item.ending is None and isinstance(item, ActiveShard) and fields and fields[0].is_cancelled:
                item.ending = Ending.CANCELLED
            if item.ending is not None:
                self.settle(item)

    def write(self, item: OfBatch, files: dict[str, set[int]], manifests: dict[str, list[int]]) -> None:
        """A shard goes into its files, or a batch's manifest is written where no other job of it runs."""
        if isinstance(item, ActiveShard):
            files[item.batch].add(item.job.shard)
        elif isinstance(item, ActiveClose):
            if self.settler.has_others(item):
                return
            with suppress(NoSuchBatch):
                record = self.settler.progress.store.read(item.batch)
                if not record.has_ended and record.round == item.round:
                    manifests[item.batch] = self.settler.progress.store.written(record)
                    item.manifest = "there"
        item.ending = Ending.FINISHED
        self.settle(item)

    def settle(self, item: OfBatch) -> None:
        """Redis is told."""
        self.settler.settle(item)
        self.hand.remove(item)
        self.state.executions.pop(item.taken.execution, None)
