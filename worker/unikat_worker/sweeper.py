"""Finds the jobs of dead workers and puts them back to the front of their queues.

RQ does this too, but every ten minutes, and it spends the retries that are meant for real failures. Here a crash is
free as long as the job gets on: only a job that ends worker after worker without one more image is failed.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import random
import re
import time
from typing import Final, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.job_lifecycle import record_job_failure
from rq.rate_limit import RateLimitRegistry
from rq.serializers import JSONSerializer
from rq.worker_registration import clean_worker_registry

from unikat.queue.clock import redis_time
from unikat.queue.draws import TRIED, close, model_of, ring
from unikat.queue.registry import forget_announcements
from unikat.queue.stream import Progress, stream_key
from unikat.queue.unready import wrong_type_passed_over
from unikat.queue.workers import lease_key
from unikat_worker.batches.maintenance import Maintenance
from unikat_worker.settlement import CRASHED_AT, CRASHES, SUSPECT, UNTRIED, number, requeue, restored
from unikat_worker.statuses import lost_status

LOCK: Final = "unikat:sweep"  # one sweep a period is enough, however many workers there are

_CLEAN_EVERY: Final = 60.0  # seconds
_ENTRY: Final = re.compile(rb"[A-Za-z0-9_-]+:[A-Za-z0-9_-]+")  # job id and execution id
_QUEUE: Final = b"rq:queue:unikat:"
_IN_COMPANY: Final = 10  # times as many deaths are needed where the job was only there
_NEVER: Final = 2**53  # number of an entry that no stream has
_WAITING: Final = (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.CREATED)

log = logging.getLogger(__name__)


class WorkerLost(RuntimeError):
    """A job ended worker after worker."""


class Sweeper:
    """Sweeps the queues of draw jobs and of all batches. Called by one thread."""

    def __init__(self, redis: Redis, lease_s: float, max_crashes: int, result_ttl_s: int) -> None:
        self._redis = redis
        self._batches = Maintenance(redis)
        self._max_crashes = max_crashes
        self._result_ttl_s = result_ttl_s
        self._patience = lease_s / 2  # seconds that a live worker may take from the queue to the registry
        self._first_seen: dict[tuple[str, bytes], float] = {}
        self._cleaned_at = time.monotonic()
        self._unserved: set[bytes] = set()  # digests that nobody served when it was last looked
        self.recovered = self.given_up = 0  # jobs of dead workers

    def sweep(self, period: float) -> None:
        """Once per `period` (seconds) of all workers together."""
        if not self._redis.set(LOCK, "1", nx=True, px=max(1, int(period * 1000))):
            return
        draws = self._draw_queues()
        queues = [*draws, *self._batches.queues()]
        with self._redis.pipeline(transaction=False) as pipeline:
            for queue in queues:
                pipeline.zrange(queue.started_job_registry.key, 0, -1)
                pipeline.lrange(queue.intermediate_queue_key, 0, -1)
            replies = iter(pipeline.execute())
        taken = []
        for queue, started, moved in zip(queues, replies, replies, strict=False):
            self._sweep_started(queue, started)
            taken += [(queue, job_id) for job_id in moved]
        self._sweep_taken(taken)
        for model in sorted({model for queue in draws if (model := model_of(queue.name))}):
            ring(self._redis, model)
        self._batches.tend()
        if time.monotonic() - self._cleaned_at > _CLEAN_EVERY:
            self._cleaned_at = time.monotonic()
            self.clean()

    def _draw_queues(self) -> list[Queue]:
        known = cast(set[bytes], self._redis.smembers(Queue.redis_queues_keys))
        names = sorted(
            key.decode(errors="replace").removeprefix("rq:queue:") for key in known if key.startswith(_QUEUE)
        )
        return [Queue(name, connection=self._redis, serializer=JSONSerializer) for name in names]

    def _sweep_started(self, queue: Queue, members: list[bytes]) -> None:
        strange = [member for member in members if not _ENTRY.fullmatch(member)]
        if strange:  # written by hand; nobody would ever take them away
            self._redis.zrem(queue.started_job_registry.key, *strange)
        entries = [member.decode() for member in members if member not in strange]
        if not entries:
            return
        executions = [Execution.from_composite_key(entry, connection=self._redis) for entry in entries]
        with self._redis.pipeline(transaction=False) as pipeline:
            for execution in executions:
                pipeline.hget(execution.key, "worker_name")
            names = pipeline.execute()
            for execution, name in zip(executions, names, strict=True):
                execution.worker_name = name.decode(errors="replace") if name else ""
                pipeline.exists(lease_key(execution.worker_name))
            alive = pipeline.execute()
        lost = [execution for execution, lives in zip(executions, alive, strict=True) if not lives]
        random.shuffle(lost)  # a job that kills its worker must not always come before the same others
        for execution in lost:
            self._reclaim(queue, execution)

    def _sweep_taken(self, jobs: list[tuple[Queue, bytes]]) -> None:
        """Jobs that a worker moved to the intermediate list and then died."""
        moment = time.monotonic()
        seen = {(queue.name, job_id): queue for queue, job_id in jobs}
        self._first_seen = {place: self._first_seen.get(place, moment) for place in seen}
        for (name, job_id), queue in seen.items():
            if moment - self._first_seen[name, job_id] > self._patience:
                self._recover(queue, job_id)
                del self._first_seen[name, job_id]

    def clean(self) -> None:
        """RQ's own maintenance: entries of jobs that have expired leave the registries."""
        draws = self._draw_queues()
        for queue in draws:
            clean_worker_registry(queue)
        self._batches.forget_unfinished()
        self._unserved = forget_announcements(self._redis, self._unserved)
        moment = redis_time(self._redis)  # `rq.registry.clean_registries` takes this machine's
        for queue in (*draws, *self._batches.queues()):
            for registry in (queue.finished_job_registry, queue.started_job_registry, queue.failed_job_registry):
                registry.cleanup(moment)
            queue.ready_job_registry.cleanup()
            # The one registry that RQ never cleans: its entries bear the time of the cancellation.
            canceled = queue.canceled_job_registry.key
            self._redis.zremrangebyscore(canceled, "-inf", moment - self._result_ttl_s)
        for limit in RateLimitRegistry.all(self._redis):
            limit.cleanup()

    def _reclaim(self, queue: Queue, execution: Execution) -> None:
        with self._redis.pipeline() as pipeline:
            try:
                # Two sweepers, or a worker that wakes up: whoever comes second finds the job changed.
                lease = lease_key(execution.worker_name)
                pipeline.watch(Job.key_for(execution.job_id), lease)
                if pipeline.exists(lease):
                    return
                if pipeline.zscore(queue.started_job_registry.key, execution.composite_key) is None:
                    return
                self._settle(pipeline, queue, execution)
            except WatchError:
                log.debug("job %s: somebody else took care of it", execution.job_id)

    def _settle(self, pipeline: Pipeline, queue: Queue, execution: Execution) -> None:
        fields = _fields(pipeline, execution.job_id)
        newest = pipeline.xrevrange(stream_key(execution.job_id), count=1)
        tried = pipeline.hexists(execution.key, TRIED)
        job = restored(queue, execution.job_id, fields)
        pipeline.multi()
        if job is None:
            pipeline.zrem(queue.started_job_registry.key, execution.composite_key)
            pipeline.execute()
            return
        recovered = given_up = 0
        if job.get_status(refresh=False) == JobStatus.STARTED:
            progress = Progress.of(newest[0][0] if newest else None, 2**63 - 1)
            published = progress.published
            crashes, untried = _crashes(fields, published, tried)
            if crashes > self._max_crashes or untried > _IN_COMPANY * self._max_crashes:
                self._fail(pipeline, queue, job, crashes + untried)
                given_up = 1
            else:
                how = "its stream has ended" if progress.ended else f"goes on at image {published}"
                log.warning(
                    "job %s: its worker %s is gone; %s", job.id, execution.worker_name, how, extra={"job": job.id}
                )
                pipeline.hset(job.key, mapping={CRASHES: crashes, UNTRIED: untried, CRASHED_AT: published})
                requeue(queue, job, pipeline)
                recovered = 1
        execution.delete(job, pipeline)
        pipeline.execute()
        self.recovered += recovered
        self.given_up += given_up

    def _fail(self, pipeline: Pipeline, queue: Queue, job: Job, crashes: int) -> None:
        error = WorkerLost(f"{crashes} workers in a row were lost with this job, without one more image")
        log.error("job %s: %s; it is failed", job.id, error, extra={"job": job.id})
        if model_of(queue.name):
            close(pipeline, job.id, _NEVER, lost_status(job.id, error), self._result_ttl_s)
        else:
            self._batches.fail(pipeline, queue, job.id, error)
        record_job_failure(job, f"{type(error).__name__}: {error}", pipeline)

    def _recover(self, queue: Queue, entry: bytes) -> None:
        job_id = entry.decode(errors="replace")  # what somebody wrote there by hand need not be text
        with self._redis.pipeline() as pipeline:
            try:
                pipeline.watch(Job.key_for(job_id))
                job = restored(queue, job_id, _fields(pipeline, job_id))
                pipeline.multi()
                recovered = 0
                if job is not None and job.get_status(refresh=False) in _WAITING:
                    text = "job %s: taken from the queue and never begun; it goes back to the front"
                    log.warning(text, job_id, extra={"job": job_id})
                    requeue(queue, job, pipeline)
                    recovered = 1
                pipeline.execute_command(
                    "LREM", queue.intermediate_queue_key, 1, entry
                )  # the signature knows text only
                pipeline.execute()
                self.recovered += recovered
            except WatchError:
                log.debug("job %s: somebody else took care of it", job_id)


def _fields(pipeline: Pipeline, job_id: str) -> dict[bytes, bytes]:
    """A job's hash, read at once (the pipeline is watching); empty where there is none."""
    with wrong_type_passed_over():
        return cast(dict[bytes, bytes], pipeline.hgetall(Job.key_for(job_id)))
    return {}


def _crashes(fields: dict[bytes, bytes], published: int, tried: bool) -> tuple[int, int]:
    """CRASHES and UNTRIED, this crash included: in a row without one more image.

    Of jobs that were there twice, workers draw one at a time and say which (`tried`): the others are not to blame.
    """
    if published > number(fields, CRASHED_AT, -1):
        return 1, 0
    crashes, untried = number(fields, CRASHES), number(fields, UNTRIED)
    if tried or crashes < SUSPECT:
        return crashes + 1, untried
    return crashes, untried + 1
