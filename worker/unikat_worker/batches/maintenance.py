"""What somebody has to do for batches now and then: enqueue what is due again, find what got lost, end what is settled.

Done by whichever worker sweeps (`unikat_worker.sweeper`), so by one at a time.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue
from rq.job import Job, JobStatus

from unikat.queue.batches.jobs import NoSuchBatch, batch_queue
from unikat.queue.batches.keys import QUEUE_PREFIX, shard_of
from unikat.queue.batches.progress import BatchProgress
from unikat.queue.batches.reading import DAMAGED
from unikat.queue.clock import redis_time
from unikat.queue.unready import wrong_type_passed_over
from unikat_worker.batches.settlement import why
from unikat_worker.settlement import restored

_LOOK: Final = 3.0  # seconds for which a batch must have had nothing in RQ until it counts as lost
_REMEMBERED: Final = 60.0  # seconds for which the queue of a batch that has ended is still swept

log = logging.getLogger(__name__)


@contextmanager
def _readable(batch: str) -> Iterator[None]:
    """Leaves a batch alone that is not there, or of which Redis holds what nobody of ours wrote: others go on."""
    try:
        yield
    except NoSuchBatch:
        return
    except DAMAGED as error:
        text = "batch %s: what Redis holds of it is damaged: %s: %s"
        log.warning(text, batch, type(error).__name__, error, extra={"batch": batch})


class Maintenance:
    """Called by the sweeper's thread."""

    def __init__(self, redis: Redis, look_s: float = _LOOK) -> None:
        self._redis = redis
        self._look_s = look_s
        self._progress = BatchProgress(redis)
        self._active: list[str] = []
        self._seen_at: dict[str, float] = {}
        self._empty_since: dict[str, float] = {}
        self._failed_of: set[str] = set()

    def queues(self) -> list[Queue]:
        """The queues of all batches in which something may be left."""
        moment = time.monotonic()
        self._active = self._progress.active()
        self._seen_at |= dict.fromkeys(self._active, moment)
        self._seen_at = {batch: at for batch, at in self._seen_at.items() if moment - at < _REMEMBERED}
        return [batch_queue(self._redis, batch) for batch in self._seen_at]

    def forget_unfinished(self) -> None:
        """Delete what creations have left that were given up."""
        self._progress.store.forget_unfinished()

    def fail(self, pipeline: Pipeline, queue: Queue, job_id: str, error: BaseException) -> None:
        """As a part of a transaction: a shard is given up. What follows from that, `tend` does."""
        batch = queue.name.removeprefix(QUEUE_PREFIX)
        shard = shard_of(batch, job_id)
        if shard is not None:
            self._progress.mark_failed(pipeline, batch, shard, why(error))
            self._failed_of.add(batch)

    def tend(self) -> None:
        """Once a sweep."""
        for batch in self._failed_of:
            with _readable(batch):
                self._progress.close_if_settled(batch)
        self._failed_of.clear()
        if not self._active:
            self._empty_since.clear()
            return
        self._empty_since = {batch: at for batch, at in self._empty_since.items() if batch in self._active}
        moment = redis_time(self._redis)
        queues = [batch_queue(self._redis, batch) for batch in self._active]
        with self._redis.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.zrangebyscore(queue.scheduled_job_registry.key, 0, moment)
                pipeline.exists(queue.key, queue.intermediate_queue_key)
                pipeline.exists(queue.started_job_registry.key, queue.scheduled_job_registry.key)
            replies = iter(pipeline.execute())
        for queue, due, waiting, running in zip(queues, replies, replies, replies, strict=True):
            for job_id in due:
                self._enqueue_again(queue, job_id)
            self._look_for_lost(queue.name.removeprefix(QUEUE_PREFIX), bool(waiting or running))

    def _enqueue_again(self, queue: Queue, entry: bytes) -> None:
        """A job whose pause before the next try is over; what RQ's own scheduler does, in one transaction."""
        registry = queue.scheduled_job_registry
        job_id = entry.decode(errors="replace")  # what somebody wrote there by hand need not be text
        with self._redis.pipeline() as pipeline:
            try:
                pipeline.watch(registry.key, Job.key_for(job_id))
                if pipeline.zscore(registry.key, entry) is None:
                    return
                job = self._job(queue, job_id)
                pipeline.multi()
                pipeline.zrem(registry.key, entry)
                if job is not None and job.get_status(refresh=False) == JobStatus.SCHEDULED:
                    queue._enqueue_job(job, pipeline=pipeline)
                pipeline.execute()
            except WatchError:
                log.debug("job %s: somebody else took care of it", job_id)

    def _job(self, queue: Queue, job_id: str) -> Job | None:
        with wrong_type_passed_over():
            return restored(queue, job_id, cast(dict[bytes, bytes], self._redis.hgetall(Job.key_for(job_id))))
        return None

    def _look_for_lost(self, batch: str, is_busy: bool) -> None:
        if is_busy:
            self._empty_since.pop(batch, None)
            return
        moment = time.monotonic()
        since = self._empty_since.setdefault(batch, moment)
        if moment - since < self._look_s:
            return
        del self._empty_since[batch]
        with _readable(batch):
            missing = self._progress.reconcile(batch)
            what = f"{len(missing)} shards" if missing else "the job that ends it"
            log.warning("batch %s had nothing in RQ: %s enqueued again", batch, what, extra={"batch": batch})
