"""What RQ is told of jobs by its own methods: what is rare.

What every job goes through is done by scripts (`unikat.queue`). What a worker holds, it holds as long as its lease, a
key that it renews (`heartbeat.py`). The entries in RQ's registries, by contrast, last a day: every look at the
StartedJobRegistry (`rq info`, a dashboard) fails the jobs whose entry ran out, and a worker's death must not be found
by a looker-on who spends the retries.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from google.rpc.status_pb2 import Status
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, ResponseError
from rq import Queue, SimpleWorker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from unikat.queue.clock import redis_time
from unikat.queue.draws import announce, close, model_of, ring
from unikat.queue.unready import PASSING
from unikat_worker.active import ActiveJob, Ending, Item, Refused
from unikat_worker.statuses import deadline_status, failed_status, stopped_status

# Fields of a job's hash beside RQ's own.
ATTEMPTS: Final = "unikat_attempts"  # times it was begun
CRASHES: Final = "unikat_crashes"  # workers that it was lost with, in a row, without one more image
CRASHED_AT: Final = "unikat_crashed_at"  # images in the stream at the last of them
UNTRIED: Final = "unikat_untried"  # workers that it was lost with since, before they drew anything of it
SUSPECT: Final = 2  # crashes from which on a job is drawn in batches of its own, and one such job at a time

log = logging.getLogger(__name__)


def number(fields: dict[bytes, bytes], name: str, default: int = 0) -> int:
    """One of these fields; the default also where something else was written there by hand."""
    try:
        return int(fields[name.encode()])
    except (KeyError, ValueError):
        return default


class _Queue(Queue):
    """Schedules by Redis' clock what RQ schedules by this machine's: whoever enqueues it again goes by Redis'."""

    def schedule_job(self, job: Job, datetime: datetime, pipeline: Pipeline | None = None, unique: bool = False) -> Job:
        ahead = timedelta(seconds=redis_time(self.connection) - time.time())  # noqa: TID251  (RQ's)
        return super().schedule_job(job, datetime + ahead, pipeline, unique)


class HeldJob:
    """A job that this worker has begun, as RQ's methods want it."""

    def __init__(self, worker: SimpleWorker, item: Item, rq: Job, result_ttl_s: int) -> None:
        self.rq = rq
        self.queue = _Queue(item.taken.queue, connection=worker.connection, serializer=JSONSerializer)
        self._item = item
        self._worker = worker
        self._redis: Redis = worker.connection
        self._result_ttl_s = result_ttl_s
        self._execution = Execution(item.taken.execution, item.id, worker.connection, worker.name)
        self._execution._job = rq
        self._execution.created_at = datetime.fromtimestamp(item.taken.begun_at, UTC)
        if isinstance(item.error, Refused):
            _disarm(rq)

    @classmethod
    def of(cls, worker: SimpleWorker, item: Item, result_ttl_s: int) -> HeldJob | None:
        """None for a job that was deleted meanwhile."""
        redis = worker.connection
        queue = Queue(item.taken.queue, connection=redis, serializer=JSONSerializer)
        rq = restored(queue, item.id, cast(dict[bytes, bytes], redis.hgetall(Job.key_for(item.id))))
        if rq is not None:
            return cls(worker, item, rq, result_ttl_s)
        rq = Job(item.id, connection=redis, serializer=JSONSerializer)
        rq.origin = item.taken.queue
        with redis.pipeline(transaction=False) as pipe:
            Execution(item.taken.execution, item.id, redis, worker.name).delete(rq, pipe)
            pipe.execute()
        return None

    def finish(self) -> None:
        """The job is FINISHED: RQ's own way, with repeats, rate limits and dependents."""
        self.rq.ended_at = datetime.fromtimestamp(redis_time(self._redis), UTC)
        self.rq._result = self._item.outcome
        self._worker.handle_job_success(self.rq, self.queue, self.queue.started_job_registry, self._execution)

    def cancel(self) -> None:
        """The job is CANCELED, if whoever closed its stream has not seen to that."""
        with suppress(InvalidJobOperation, NoSuchJobError):  # it was cancelled, or deleted
            # First: once it is cancelled no sweep finds it, and RQ keeps cancelled jobs for good.
            self.rq.cleanup(self._result_ttl_s, remove_from_queue=False)
            if self.rq.get_status() != JobStatus.CANCELED:
                self._forget_lost_executions()
                self.rq.cancel()
                moment = redis_time(self._redis)  # RQ took this machine's
                self._redis.zadd(self.queue.canceled_job_registry.key, {self.rq.id: moment}, xx=True)
        self.release()  # last: until then a sweep would find it

    def _forget_lost_executions(self) -> None:
        """What the job's registry lists, and a sweep or time has deleted: RQ cannot cancel a job that has one."""
        key = self.rq.execution_registry.key
        for execution in cast(list[bytes], self._redis.zrange(key, 0, -1)):
            if not self._redis.exists(f"rq:execution:{self.rq.id}:{execution.decode()}"):
                self._redis.zrem(key, execution)

    def fail(self, error: BaseException, stopped: bool = False) -> None:
        """The job is enqueued again if it has retries left, else FAILED (STOPPED where an operator wanted it)."""
        if not self._is_mine():  # this was told before, or somebody else has it
            self.release()
            return
        if stopped:
            self._worker._stopped_job_id = self.rq.id
            self.rq.retries_left = None
        self._worker._finalize_failure(self.rq, self.queue, self._execution, (type(error), error, error.__traceback__))
        if self._is_mine():  # RQ logs a connection that is lost in its last step, and goes on
            raise ConnectionError(f"the failure of job {self.rq.id} was not recorded")

    def give_back(self, pipe: Pipeline, at_front: bool = True) -> None:
        """The job goes back to the queue: another worker goes on after its last image."""
        requeue(self.queue, self.rq, pipe, at_front)
        self._worker.cleanup_execution(self.rq, pipeline=pipe, execution=self._execution)

    def leave_to_others(self, at_front: bool) -> None:
        """The job waits for another worker; this one has drawn nothing of it, which is no attempt."""
        with self._redis.pipeline() as pipe:
            pipe.watch(self.rq.key)
            mine = self._redis.hget(self.rq.key, "worker_name") == self._worker.name.encode()
            if mine and self.rq.get_status() == JobStatus.STARTED:  # nobody has cancelled or recovered it meanwhile
                pipe.multi()
                self.give_back(pipe, at_front)
                pipe.hincrby(self.rq.key, ATTEMPTS, -1)
                pipe.execute()
        self.release()

    def _is_mine(self) -> bool:
        registry = self.queue.started_job_registry.key
        return self._redis.zscore(registry, self._execution.composite_key) is not None

    def release(self) -> None:
        """Let the job go and say nothing of it: somebody else does."""
        with self._redis.pipeline(transaction=False) as pipe:
            self._worker.cleanup_execution(self.rq, pipeline=pipe, execution=self._execution)
            pipe.execute()


def _disarm(job: Job) -> None:
    """A refused job is not tried again, and its failure calls nothing.

    A name in Redis must not choose what code a worker runs, nor an address whom it talks to.
    """
    job.retries_left = None
    job._success_callback_name = job._failure_callback_name = job._stopped_callback_name = None
    job.webhooks = []


def requeue(queue: Queue, job: Job, pipeline: Pipeline, at_front: bool = True) -> None:
    """Put a job that was begun back into its queue; no retry is spent."""
    job.started_at = None
    job.ended_at = None
    job.worker_name = None
    queue._enqueue_job(job, pipeline=pipeline, at_front=at_front)
    announce(pipeline, queue.name)


def restored(queue: Queue, job_id: str, fields: dict[bytes, bytes]) -> Job | None:
    """The job, as its hash says; None if there is none, or what is there is not one of RQ's.

    What somebody wrote by hand may be wrong in any way, and must not end worker after worker.
    """
    if not fields:
        return None
    try:
        job = Job(job_id, connection=queue.connection, serializer=queue.serializer)
        job.restore(fields)
    except Exception as error:
        text = "job %r is not one, and left alone: %s: %s"
        log.warning(text, job_id, type(error).__name__, error, extra={"job": job_id})
        return None
    return job


class Settler:
    """Settles draw jobs that did not simply finish."""

    def __init__(self, worker: SimpleWorker, result_ttl_s: int) -> None:
        self.worker = worker
        self._redis: Redis = worker.connection
        self._result_ttl_s = result_ttl_s
        self.retries = 0

    def held(self, item: Item) -> HeldJob | None:
        """A job as RQ's methods want it; None for one that was deleted. Raises RedisError."""
        return HeldJob.of(self.worker, item, self._result_ttl_s)

    def settle(self, job: ActiveJob) -> None:
        """End the job's stream where it is open, and tell RQ. Twice is as good as once. Raises RedisError."""
        held = self.held(job)
        if held is None:
            return
        if job.ending is Ending.FINISHED:
            held.finish()
        elif job.ending is Ending.CANCELLED:
            self._close(job, deadline_status(job.id))
            held.cancel()
        elif job.ending is Ending.STOPPED:
            self._close(job, stopped_status(job.id))
            held.fail(RuntimeError("stopped by an operator"), stopped=True)
        elif job.ending is Ending.LOST:
            held.release()
        elif job.ending is Ending.RETURNED:
            log.info("job %s goes back to the queue: there is no %s here", job.id, job.draw.model, extra=job.fields)
            held.leave_to_others(at_front=False)
            self._ring(job)
        else:
            self._fail(job, held)

    def give_back(self, jobs: Collection[ActiveJob]) -> None:
        """Unfinished jobs go to the front of their queues, in their order. Raises RedisError."""
        for job in reversed(list(jobs)):
            held = self.held(job)
            if held is None:
                continue
            with self._redis.pipeline() as pipe:
                held.give_back(pipe)
                pipe.execute()
            log.info("job %s goes back to the queue after image %d", job.id, job.published, extra=job.fields)
            self._ring(job)

    def _fail(self, job: ActiveJob, held: HeldJob) -> None:
        error = job.error or RuntimeError("its stream says that it failed")
        if isinstance(error, Refused):
            log.error("job %s is refused: %s", job.id, error, extra=job.fields)
        elif job.error is None:
            held.rq.retries_left = None  # its stream is closed: another try could tell nobody
        retries = held.rq.should_retry
        if not retries:
            # First the caller, then RQ: after a crash in between, the next worker finds the stream ended.
            self._close(job, failed_status(job.id, error))
        held.fail(error)
        if retries:
            self.retries += 1
            self._ring(job)

    def _close(self, job: ActiveJob, status: Status) -> None:
        try:
            close(self._redis, job.id, job.count, status, self._result_ttl_s)
        except PASSING:
            raise
        except ResponseError as error:  # somebody put something else under one of its names
            log.warning("the stream of job %s cannot be ended: %s", job.id, error, extra=job.fields)

    def _ring(self, job: ActiveJob) -> None:
        if model := model_of(job.taken.queue):
            ring(self._redis, model)
