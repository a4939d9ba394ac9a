"""What Redis and RQ are told of a batch's jobs. A worker may die between any two steps (`unikat.queue.batches`)."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from redis import Redis
from rq import Queue

from unikat.batches import record as r
from unikat.queue.batches.jobs import NoSuchBatch, batch_queue
from unikat.queue.batches.keys import JOB_PREFIX, batch_key, done_key
from unikat.queue.batches.progress import BatchProgress
from unikat_worker.active import Ending
from unikat_worker.batches.active import ActiveClose, ActiveShard, AnyItem
from unikat_worker.settlement import RefusedJob, Settlement

_SHARD: Final = re.compile(r"[0-9]{5}")  # as `shard_job_id` writes it

log = logging.getLogger(__name__)


def shard_of(batch: str, job_id: str) -> int | None:
    """The number of a shard by the id of its job; None if it is none of this batch."""
    number = job_id.removeprefix(f"{JOB_PREFIX}{batch}-")
    return int(number) if number != job_id and _SHARD.fullmatch(number) else None


def why(error: BaseException) -> str:
    """An error as the batch's owner sees it."""
    return f"{type(error).__name__}: {error}"[: r.FAILURE_TEXT]


class ShardState:
    """Settles items. Whatever is raised because Redis is away: the same call again does the rest."""

    def __init__(self, redis: Redis, settlement: Callable[[Queue], Settlement]) -> None:
        """`settlement` gives what settles the jobs of a queue."""
        self.redis = redis
        self.progress = BatchProgress(redis)
        self._new_settlement = settlement
        self._begun: set[str] = set()  # batches that are known to be RUNNING

    def settlement(self, batch: str) -> Settlement:
        """What settles the jobs of a batch."""
        return self._new_settlement(batch_queue(self.redis, batch))

    def begin(self, items: list[AnyItem]) -> None:
        """Jobs are STARTED, and their batches RUNNING."""
        for item in items:
            item.settlement.begin(item)
        for batch in {item.batch for item in items}:
            self._begin(batch)

    def _begin(self, batch: str) -> None:
        if batch not in self._begun:
            self.progress.begin(batch)
            self._begun.add(batch)

    def forget_beginning(self, batch: str) -> None:
        """Redis was killed and came back without it: it is told once more."""
        self._begun.discard(batch)

    def settle(self, item: AnyItem) -> None:
        """Tell of an item that has ended."""
        if item.ending is Ending.FINISHED:
            self._finish(item)
        elif item.ending is Ending.CANCELLED:
            self._forget(item)
            item.settlement.cancel(item)
        elif item.ending is Ending.RETURNED:
            self._give_back(item)
        elif item.ending is Ending.LOST:
            item.settlement.release(item)
        else:
            self._fail(item)

    def refuse(self, batch: str, refused: RefusedJob) -> None:
        """A job that must not or cannot be drawn: no retry makes it better."""
        job = refused.job
        log.error("job %s is refused: %s", job.id, refused)
        settlement = self.settlement(batch)
        settlement.refuse(job, refused)
        settlement.forget(job.id)
        self._mark_failed(batch, shard_of(batch, job.id), refused)

    def _give_back(self, item: AnyItem) -> None:
        with self.redis.pipeline() as pipe:
            item.settlement.give_back(pipe, item)
            pipe.execute()

    def put_back(self, batch: str, job_id: str) -> None:
        """A job that was taken and not begun goes to the front of its queue."""
        queue = batch_queue(self.redis, batch)
        with self.redis.pipeline() as pipe:
            pipe.lpush(queue.key, job_id)
            pipe.lrem(queue.intermediate_queue_key, 1, job_id)
            pipe.execute()

    def end(self, close: ActiveClose) -> None:
        """The manifest is written."""
        with suppress(NoSuchBatch):
            self.progress.end(close.batch, close.round, close.manifest)

    def pause(self, item: AnyItem, reason: str, seconds: float) -> bool:
        """The destination of a batch does not work: other workers leave it alone for so long.

        False for a shard that need not be written any more, because its batch was cancelled.
        """
        if isinstance(item, ActiveShard) and self.redis.hexists(batch_key(item.batch), r.CANCELLED):
            return False
        self.progress.pause(item.batch, reason[: r.FAILURE_TEXT], seconds)
        return True

    def hold(self, batch: str, reason: str) -> None:
        """This worker cannot work for a batch: its owner is told why, and no other worker is kept from it."""
        log.warning("batch %s is left to other workers: %s", batch, reason)
        self._begin(batch)
        self.progress.pause(batch, reason[: r.FAILURE_TEXT], seconds=0.0)

    def has_others(self, close: ActiveClose) -> bool:
        """Whether another job of the batch is being drawn, or taken, or waits to be told that it is too late."""
        queue = batch_queue(self.redis, close.batch)
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.zrange(queue.started_job_registry.key, 0, -1)
            pipe.lrange(queue.intermediate_queue_key, 0, -1)
            pipe.lrange(queue.key, 0, 1)
            jobs = {entry.decode(errors="replace").partition(":")[0] for entries in pipe.execute() for entry in entries}
        return bool(jobs - {close.rq.id})

    def reopen(self, close: ActiveClose, lost: Iterable[int]) -> None:
        """Shards that count as written are gone: they are to be drawn again, which `reconcile` sees to."""
        with self.redis.pipeline() as pipe:
            for shard in lost:
                pipe.setbit(done_key(close.batch), shard, 0)
            pipe.hincrby(batch_key(close.batch), r.REVISION, 1)
            pipe.delete(close.rq.key)
            pipe.execute()

    def _finish(self, item: AnyItem) -> None:
        with self.redis.pipeline() as pipe:
            if isinstance(item, ActiveShard) and not item.was_done:
                self.progress.mark_done(pipe, item.batch, item.job.shard, item.job.count)
            item.settlement.finish_within(pipe, item)
            pipe.execute()
        if isinstance(item, ActiveShard):
            self._close(item.batch)
        else:
            self._begun.discard(item.batch)

    def _fail(self, item: AnyItem) -> None:
        stopped = item.ending is Ending.STOPPED
        error = item.error or RuntimeError("stopped by an operator")
        again = item.rq.should_retry and not stopped
        item.settlement.fail(item, error, stopped)
        if not again and isinstance(item, ActiveShard):
            self._mark_failed(item.batch, item.job.shard, error)

    def _mark_failed(self, batch: str, shard: int | None, error: BaseException) -> None:
        if shard is None or self.progress.is_done(batch, shard):  # a job that somebody wrote by hand
            return
        with self.redis.pipeline() as pipe:
            self.progress.mark_failed(pipe, batch, shard, why(error))
            pipe.execute()
        self._close(batch)

    def _close(self, batch: str) -> None:
        with suppress(NoSuchBatch):  # it was deleted: this job had been given up, and another ended the batch
            self.progress.close_if_settled(batch)

    def _forget(self, item: AnyItem) -> None:
        if not item.prepared:
            item.settlement.forget(item.rq.id)
