"""What Redis and RQ are told of a batch's jobs. A worker may die between any two steps (`unikat.queue.batches`)."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from typing import cast

from rq.job import Job

from unikat.batches import record as r
from unikat.batches.storage import DestinationRefused
from unikat.queue.batches.jobs import NoSuchBatch, batch_queue
from unikat.queue.batches.keys import batch_key, done_key
from unikat.queue.batches.progress import BatchProgress
from unikat.queue.clock import redis_time
from unikat.queue.draws import Completion
from unikat.queue.job import rq_result
from unikat.queue.workers import WORKERS_KEY, worker_key
from unikat_worker.active import ActiveClose, ActiveShard, Ending, OfBatch, Refused
from unikat_worker.batches.files import is_given_up
from unikat_worker.catalogue import UnknownModel
from unikat_worker.settlement import HeldJob, Settler

log = logging.getLogger(__name__)


def why(error: BaseException) -> str:
    """An error as the batch's owner sees it."""
    text = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
    return text[: r.FAILURE_TEXT]


class BatchSettler:
    """Settles shards and the jobs that close batches. What raises because Redis is away can be called again."""

    def __init__(self, settler: Settler) -> None:
        self._settler = settler
        self.redis = settler.worker.connection
        self.progress = BatchProgress(self.redis)
        self.pauses = 0

    def settle(self, item: OfBatch) -> None:
        """Tell of an item that has ended."""
        state = self._finish(item) if item.ending is Ending.FINISHED else ""
        if state == "finished":
            self._end(item)
        if state == "finished" or (held := self._settler.held(item)) is None:
            return
        if state == "dependents":
            held.finish()
            self._end(item)
        elif state:
            held.release()
        elif item.ending is Ending.CANCELLED:
            held.cancel()
        elif item.ending is Ending.LOST:
            held.release()
        elif item.ending is Ending.RETURNED:
            self._give_back(item, held)
        else:
            self._fail(item, held)

    def _finish(self, item: OfBatch) -> str:
        kept = 0 if item.taken.foreign else item.taken.result_ttl
        images, refused = (item.count, item.refused) if isinstance(item, ActiveShard) else (0, 0)
        done = Completion(rq_result(item.outcome), item.taken.begun_at, kept)
        return self.progress.finish(self._settler.worker.name, item.found, images, done, refused)

    def _give_back(self, item: OfBatch, held: HeldJob) -> None:
        if item.error is not None:  # this worker cannot work for the batch: its owner is told why, others may
            reason = f"worker {self._settler.worker.name}: {item.error}"
            log.warning("batch %s is left to other workers: %s", item.batch, reason, extra=item.fields)
            self.progress.pause(item.batch, reason[: r.FAILURE_TEXT], seconds=0.0)
            self.pauses += 1
        if isinstance(item, ActiveShard) and item.next:
            with self.redis.pipeline() as pipe:
                held.give_back(pipe)
                pipe.execute()
        else:
            held.leave_to_others(at_front=True)

    def _fail(self, item: OfBatch, held: HeldJob) -> None:
        stopped = item.ending is Ending.STOPPED
        error = item.error or RuntimeError("stopped by an operator")
        if isinstance(error, Refused):
            log.error("job %s is refused: %s", item.id, error, extra=item.fields)
        if isinstance(error, DestinationRefused):
            held.rq.retries_left = None
        if isinstance(error, UnknownModel) and isinstance(item, ActiveShard) and self._is_served(item.digest):
            log.info("batch %s is left to workers that have its model", item.batch, extra=item.fields)
            held.leave_to_others(at_front=True)
            item.ending = Ending.RETURNED
            return
        held.fail(error, stopped)
        status = self.redis.hget(held.rq.key, "status")
        if status not in (b"failed", b"stopped", None):  # it is tried again, or somebody else has it
            return
        if item.shard is None or self.progress.is_done(item.batch, item.shard):
            return
        self.progress.mark_failed(self.redis, item.batch, item.shard, why(error))
        self.progress.close_if_settled(item.batch)

    def _is_served(self, digest: str) -> bool:
        """Whether a live worker has said that it has a model."""
        names = cast(list[bytes], self.redis.zrange(WORKERS_KEY, 0, -1))
        keys = [worker_key(name.decode(errors="replace")) for name in names]
        statuses = cast(list[bytes | None], self.redis.mget(keys) if keys else [])
        return any(status is not None and digest.encode() in status for status in statuses)

    def _end(self, item: OfBatch) -> None:
        """A batch has its manifest, and RQ knows: a worker that dies in between leaves it to `reconcile`.

        The other way round, a job of a batch that has ended would stay in RQ, where nobody looks for it any more.
        """
        if isinstance(item, ActiveClose):
            with suppress(NoSuchBatch):
                self.progress.end(item.batch, item.round, item.manifest)

    def pause(self, item: OfBatch, reason: str, seconds: float) -> bool:
        """The destination of a batch does not work: other workers leave it alone for so long.

        False for a shard that need not be written any more, because its batch was cancelled.
        """
        if isinstance(item, ActiveShard) and self.redis.hexists(batch_key(item.batch), r.CANCELLED):
            return False
        self.progress.pause(item.batch, reason[: r.FAILURE_TEXT], seconds)
        self.pauses += 1
        return True

    def is_given_up(self, batch: str) -> bool:
        """Whether a batch was called off so long ago that its end waits no longer for its destination."""
        cancelled = cast(bytes | None, self.redis.hget(batch_key(batch), r.CANCELLED))
        return is_given_up(cancelled, redis_time(self.redis))

    def has_others(self, close: ActiveClose) -> bool:
        """Whether another job of the batch is being drawn, or taken, or waits to be told that it is too late."""
        queue = batch_queue(self.redis, close.batch)
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.zrange(queue.started_job_registry.key, 0, -1)
            pipe.lrange(queue.intermediate_queue_key, 0, -1)  # where workers of the release before have them
            pipe.lrange(queue.key, 0, 1)
            jobs = {entry.decode(errors="replace").partition(":")[0] for entries in pipe.execute() for entry in entries}
        return bool(jobs - {close.id})

    def reopen(self, close: ActiveClose, lost: Iterable[int]) -> None:
        """Shards that count as written are gone: they are to be drawn again, which `reconcile` sees to."""
        with self.redis.pipeline() as pipe:
            for shard in lost:
                pipe.setbit(done_key(close.batch), shard, 0)
            pipe.hincrby(batch_key(close.batch), r.REVISION, 1)
            pipe.delete(Job.key_for(close.id))
            pipe.execute()

    def lost(self, items: Iterable[OfBatch]) -> list[OfBatch]:
        """Those that are not this worker's any more: a sweep took them while its lease had run out."""
        items = list(items)
        with self.redis.pipeline(transaction=False) as pipe:
            for item in items:
                pipe.zscore(batch_queue(self.redis, item.batch).started_job_registry.key, item.taken.member)
            return [item for item, score in zip(items, pipe.execute(), strict=True) if score is None]
