"""What RQ is told of jobs by its own methods: what is rare, and the jobs of batches.

What every draw job goes through is done by scripts (`unikat.queue`). What a worker holds, it holds as long as its
lease, a key that it renews (`heartbeat.py`). The entries in RQ's registries, by contrast, last a day: every look at the
StartedJobRegistry (`rq info`, a dashboard) fails the jobs whose entry ran out, and a worker's death must not be found
by a looker-on who spends the retries.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol, cast
from uuid import uuid4

from google.rpc.status_pb2 import Status
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, ResponseError
from rq import Queue, SimpleWorker
from rq.exceptions import DeserializationError, InvalidJobOperation, NoSuchJobError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.utils import now

from unikat.queue.draws import RECORD_TTL, announce, close, model_of, ring
from unikat_worker.active import ActiveJob, Ending
from unikat_worker.admission import Refused
from unikat_worker.away import AWAY
from unikat_worker.statuses import deadline_status, failed_status, stopped_status

# Fields of a job's hash beside RQ's own.
ATTEMPTS: Final = "unikat_attempts"  # times it was begun
CRASHES: Final = "unikat_crashes"  # workers that it was lost with, in a row, without one more image
CRASHED_AT: Final = "unikat_crashed_at"  # images in the stream at the last of them

log = logging.getLogger(__name__)


class RefusedJob(ValueError):
    """A payload that must not or cannot be drawn. `job` is what RQ knows of it."""

    def __init__(self, job: Job, message: str) -> None:
        super().__init__(message)
        self.job = job


class Held(Protocol):
    """A job that a worker has in hand: what is to be drawn does not matter here."""

    rq: Job
    execution: Execution
    attempts: int
    prepared: bool
    ending: Ending | None
    error: BaseException | None

    @property
    def outcome(self) -> dict[str, Any]:
        """What RQ's tools show as the result of the job once it is finished: JSON values."""


def number(fields: dict[bytes, bytes], name: str, default: int = 0) -> int:
    """One of these fields; the default also where something else was written there by hand."""
    try:
        return int(fields[name.encode()])
    except (KeyError, ValueError):
        return default


class Settlement:
    """Settles jobs of one worker and its queue."""

    def __init__(self, worker: SimpleWorker, queue: Queue, result_ttl_s: int) -> None:
        self._worker = worker
        self._queue = queue
        self._redis: Redis = worker.connection
        self._result_ttl_s = result_ttl_s

    def new_execution(self, job: Job) -> Execution:
        """An execution of this worker; nothing is written yet."""
        execution = Execution(uuid4().hex, job.id, self._worker.connection, self._worker.name)
        execution._job = job
        return execution

    def begin(self, job: Held) -> None:
        """The job is STARTED, this worker's and off the intermediate list: all of that, or, if Redis is full, none."""
        execution = job.execution
        with self._redis.pipeline() as pipeline:
            execution.save(ttl=RECORD_TTL, pipeline=pipeline)
            ExecutionRegistry(job.rq.id, connection=pipeline).add(execution, ttl=RECORD_TTL, pipeline=pipeline)
            self._queue.started_job_registry.add_execution(execution, pipeline=pipeline, ttl=RECORD_TTL)
            pipeline.sadd(execution.worker_executions_key, execution.composite_key)
            job.rq.prepare_for_execution(self._worker.name, pipeline=pipeline)
            pipeline.hset(job.rq.key, ATTEMPTS, str(job.attempts))
            pipeline.persist(job.rq.key)
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job.rq.id)
            pipeline.execute()
        job.prepared = True
        self._worker.executions[execution.id] = execution

    def forget(self, job_id: str) -> None:
        """A job leaves the intermediate list: there is nothing to do for it."""
        self._redis.lrem(self._queue.intermediate_queue_key, 1, job_id)

    def finish(self, job: Held) -> None:
        """The job is FINISHED: RQ's own way, with repeats, rate limits and dependents."""
        job.rq.ended_at, job.rq._result = now(), job.outcome
        self._worker.handle_job_success(job.rq, self._queue, self._queue.started_job_registry, job.execution)

    def finish_within(self, pipeline: Pipeline, job: Held) -> None:
        """The job is FINISHED, as a part of a transaction; no other job depends on it."""
        job.rq.cleanup(self._record_success(pipeline, job), pipeline=pipeline, remove_from_queue=False)
        pipeline.lrem(self._queue.intermediate_queue_key, 1, job.rq.id)

    def _record_success(self, pipeline: Pipeline, job: Held) -> int:
        rq = job.rq
        rq.ended_at, rq._result = now(), job.outcome
        self._worker.increment_successful_job_count(pipeline=pipeline)
        if rq.started_at is not None:
            self._worker.increment_total_working_time(rq.ended_at - rq.started_at, pipeline)
        ttl = rq.get_result_ttl(self._result_ttl_s)
        if ttl != 0:
            rq._handle_success(
                ttl,
                pipeline=pipeline,
                worker_name=self._worker.name,
                execution_id=job.execution.id,
                execution_started_at=job.execution.created_at,
                execution_ended_at=rq.ended_at,
            )
        self._worker.cleanup_execution(rq, pipeline=pipeline, execution=job.execution)
        return ttl

    def cancel(self, job: Held) -> None:
        """The job is CANCELED, if whoever closed its stream has not seen to that."""
        with suppress(InvalidJobOperation, NoSuchJobError):  # it was cancelled, or deleted
            if job.rq.get_status() != JobStatus.CANCELED:
                job.rq.cancel()
            job.rq.cleanup(self._result_ttl_s, remove_from_queue=False)
        self.release(job)  # last: until then a sweep would find it

    def fail(self, job: Held, error: BaseException, stopped: bool = False) -> None:
        """The job is enqueued again if it has retries left, else FAILED (STOPPED where an operator wanted it)."""
        retries_left = job.rq.retries_left
        if stopped:
            self._worker._stopped_job_id = job.rq.id
        try:
            self._worker._finalize_failure(
                job.rq, self._queue, job.execution, (type(error), error, error.__traceback__)
            )
            # RQ logs a connection that is lost in its last step, and goes on.
            if self._redis.zscore(self._queue.started_job_registry.key, job.execution.composite_key) is not None:
                raise ConnectionError(f"the failure of job {job.rq.id} was not recorded")
        except Exception:
            job.rq.retries_left = retries_left  # it is told again, and spends one retry only
            raise

    def refuse(self, job: Job, error: BaseException) -> None:
        """The job is FAILED without a try: no retry makes its payload better."""
        disarm(job)
        execution = self.new_execution(job)
        self._worker._finalize_failure(job, self._queue, execution, (type(error), error, error.__traceback__))

    def give_back(self, pipeline: Pipeline, job: Held, at_front: bool = True) -> None:
        """The job goes back to the queue: another worker goes on after its last image."""
        requeue(self._queue, job.rq, pipeline, at_front)
        if not job.prepared:
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job.rq.id)
        self._worker.cleanup_execution(job.rq, pipeline=pipeline, execution=job.execution)

    def release(self, job: Held) -> None:
        """Let the job go and say nothing of it: somebody else does."""
        with self._worker.connection.pipeline(transaction=False) as pipeline:
            self._worker.cleanup_execution(job.rq, pipeline=pipeline, execution=job.execution)
            pipeline.execute()


def disarm(job: Job) -> None:
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
        log.warning("job %r is not one, and left alone: %s: %s", job_id, type(error).__name__, error)
        return None
    return job


def is_waiting(job: Job) -> bool:
    """Whether there is anything to do: a cancelled job may still be in the list, a finished one come twice."""
    return job.get_status(refresh=False) in (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.CREATED)


def check_callbacks(job: Job) -> None:
    """Raise RefusedJob for a job whose end would run code that a name in Redis chooses."""
    if any((job._success_callback_name, job._failure_callback_name, job._stopped_callback_name, job.webhooks)):
        raise RefusedJob(job, "callbacks and webhooks are not run: what is in Redis must not choose code to run")


def checked_kwargs(job: Job, functions: Collection[str]) -> dict[str, Any]:
    """The keyword arguments of a job that calls one of `functions`; nothing is unpickled. Raises RefusedJob."""
    try:
        name, args, kwargs = job.func_name, job.args, job.kwargs
    except DeserializationError as error:
        raise RefusedJob(job, "its payload is not JSON; pickle is never read") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedJob(job, f"its payload is not a call: {error}") from error
    try:
        json.dumps([args, kwargs], ensure_ascii=False).encode()  # half a character cannot even be reported
    except UnicodeEncodeError as error:
        raise RefusedJob(job, "its payload holds text that is not Unicode") from error
    if name not in functions or args or not isinstance(kwargs, dict):
        allowed = " and ".join(functions)
        raise RefusedJob(job, f"it calls {name!r}; this queue is for {allowed} with keyword arguments")
    check_callbacks(job)
    return kwargs


@dataclass(eq=False)
class HeldJob:
    """A draw job, as RQ's methods want it."""

    rq: Job
    execution: Execution
    attempts: int
    outcome: dict[str, Any]
    prepared: bool = True
    ending: Ending | None = None
    error: BaseException | None = None


class Settler:
    """Settles draw jobs that did not simply finish."""

    def __init__(self, worker: SimpleWorker, result_ttl_s: int) -> None:
        self._worker = worker
        self._redis: Redis = worker.connection
        self._result_ttl_s = result_ttl_s

    def settle(self, job: ActiveJob) -> None:
        """End the job's stream where it is open, and tell RQ. Twice is as good as once. Raises RedisError."""
        held = self._held(job)
        settlement = Settlement(self._worker, self._queue(job), self._result_ttl_s)
        if held is None:
            return
        if job.ending is Ending.FINISHED:
            settlement.finish(held)
        elif job.ending is Ending.CANCELLED:
            self._close(job, deadline_status(job.id))
            settlement.cancel(held)
        elif job.ending is Ending.STOPPED:
            self._close(job, stopped_status(job.id))
            held.rq.retries_left = None
            settlement.fail(held, RuntimeError("stopped by an operator"), stopped=True)
        elif job.ending is Ending.LOST:
            settlement.release(held)
        elif job.ending is Ending.RETURNED:
            self._return(job, held, settlement)
        else:
            self._fail(job, held, settlement)

    def give_back(self, jobs: Collection[ActiveJob]) -> None:
        """Unfinished jobs go to the front of their queues, in their order. Raises RedisError."""
        for job in reversed(list(jobs)):
            held = self._held(job)
            if held is None:
                continue
            with self._redis.pipeline() as pipe:
                Settlement(self._worker, self._queue(job), self._result_ttl_s).give_back(pipe, held)
                pipe.execute()
            log.info("job %s goes back to the queue after image %d", job.id, job.published)
        for model in {model for job in jobs if (model := model_of(job.taken.queue))}:
            ring(self._redis, model)

    def _return(self, job: ActiveJob, held: HeldJob, settlement: Settlement) -> None:
        """The job waits behind the others for a worker that has its model; this one has drawn nothing of it."""
        with self._redis.pipeline() as pipe:
            pipe.watch(held.rq.key)
            mine = self._redis.hget(held.rq.key, "worker_name") == self._worker.name.encode()
            if mine and held.rq.get_status() == JobStatus.STARTED:  # nobody has cancelled or recovered it meanwhile
                pipe.multi()
                settlement.give_back(pipe, held, at_front=False)
                pipe.hincrby(held.rq.key, ATTEMPTS, -1)
                pipe.execute()
                log.info("job %s goes back to the queue: there is no %s here", job.id, job.draw.model)
        settlement.release(held)
        if model := model_of(job.taken.queue):
            ring(self._redis, model)

    def _fail(self, job: ActiveJob, held: HeldJob, settlement: Settlement) -> None:
        error = job.error or RuntimeError("its stream says that it failed")
        if isinstance(error, Refused):
            log.error("job %s is refused: %s", job.id, error)
            disarm(held.rq)
        elif job.error is None:
            held.rq.retries_left = None  # its stream is closed: another try could tell nobody
        retries = held.rq.should_retry
        if not retries:
            # First the caller, then RQ: after a crash in between, the next worker finds the stream ended.
            self._close(job, failed_status(job.id, error))
        settlement.fail(held, error)
        model = model_of(job.taken.queue)
        if retries and model:
            ring(self._redis, model)

    def _close(self, job: ActiveJob, status: Status) -> None:
        try:
            close(self._redis, job.id, job.draw.count, status, self._result_ttl_s)
        except AWAY:
            raise
        except ResponseError as error:  # somebody put something else under one of its names
            log.warning("the stream of job %s cannot be ended: %s", job.id, error)

    def _queue(self, job: ActiveJob) -> Queue:
        return Queue(job.taken.queue, connection=self._redis, serializer=JSONSerializer)

    def _held(self, job: ActiveJob) -> HeldJob | None:
        queue = self._queue(job)
        rq = restored(queue, job.id, cast(dict[bytes, bytes], self._redis.hgetall(Job.key_for(job.id))))
        execution = Execution(job.taken.execution, job.id, self._redis, self._worker.name)
        if rq is None:  # deleted meanwhile
            rq = Job(job.id, connection=self._redis, serializer=JSONSerializer)
            rq.origin = job.taken.queue
            with self._redis.pipeline(transaction=False) as pipe:
                execution.delete(rq, pipe)
                pipe.execute()
            return None
        execution._job = rq
        execution.created_at = datetime.fromtimestamp(job.taken_at, UTC)
        return HeldJob(rq, execution, job.taken.attempts, job.outcome)
