"""What RQ is told of a job: begun, finished, cancelled, failed, given back. All by RQ's own methods.

RQ spends a round trip for each of its steps; here the steps of all jobs of a batch share one, wherever RQ's methods
take a pipeline. What a worker holds, it holds as long as its lease, a key that it renews
(`unikat_worker.heartbeat`). The entries in RQ's registries, by contrast, last a day: every look at the
StartedJobRegistry (`rq info`, a dashboard) fails the jobs whose entry ran out, and a
worker's death must not be found by a looker-on who spends the retries.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, Final, Protocol
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError
from rq import Queue, SimpleWorker
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.executions import Execution, ExecutionRegistry
from rq.job import Job, JobStatus
from rq.utils import now

from unikat_worker.active import Ending
from unikat_worker.exchange import Exchange

# Fields of a job's hash beside RQ's own.
ATTEMPTS: Final = "unikat_attempts"  # times it was begun
CRASHES: Final = "unikat_crashes"  # workers that it was lost with, in a row, without one more image
CRASHED_AT: Final = "unikat_crashed_at"  # images in the stream at the last of them

_RECORD_TTL: Final = 24 * 3600  # seconds in RQ's registries, for a job whose workers all died

log = logging.getLogger(__name__)


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


def lease_key(worker: str) -> str:
    """Key that exists while a worker is alive; without it, what the worker holds is up for grabs."""
    return f"unikat:lease:{worker}"


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

    def begin(self, exchange: Exchange, job: Held) -> None:
        """The job is STARTED, this worker's and off the intermediate list: all of that, or, if Redis is full, none."""
        pipeline, execution = exchange.pipeline, job.execution
        pipeline.execute_command("MULTI")
        execution.save(ttl=_RECORD_TTL, pipeline=pipeline)
        ExecutionRegistry(job.rq.id, connection=pipeline).add(execution, ttl=_RECORD_TTL, pipeline=pipeline)
        self._queue.started_job_registry.add_execution(execution, pipeline=pipeline, ttl=_RECORD_TTL)
        pipeline.sadd(execution.worker_executions_key, execution.composite_key)
        job.rq.prepare_for_execution(self._worker.name, pipeline=pipeline)
        pipeline.hset(job.rq.key, ATTEMPTS, str(job.attempts))
        pipeline.persist(job.rq.key)
        self.forget(exchange, job.rq.id)
        pipeline.execute_command("EXEC")

        def begun(reply: object) -> None:
            if not isinstance(reply, Exception):  # what was refused raises an error of its own
                job.prepared = True
                self._worker.executions[execution.id] = execution

        exchange.on_reply(begun)

    def forget(self, exchange: Exchange, job_id: str) -> None:
        """A job leaves the intermediate list: it is begun, or there is nothing to do for it."""
        exchange.pipeline.lrem(self._queue.intermediate_queue_key, 1, job_id)

    def finish(self, exchange: Exchange, job: Held) -> None:
        """The job is FINISHED."""
        rq, pipeline = job.rq, exchange.pipeline
        if rq.repeats_left or rq.has_rate_limit:  # not what our service enqueues: RQ's own, slower way
            rq.ended_at, rq._result = now(), job.outcome
            registry = self._queue.started_job_registry
            self._worker.handle_job_success(rq, self._queue, registry, job.execution)
            return
        ttl = self._record_success(pipeline, job)
        # A dependent that registers itself from now on finds the job finished; the others are here.
        pipeline.smembers(rq.dependents_key)
        exchange.on_reply(lambda dependents: self._enqueue_dependents(rq, bool(dependents)))
        rq.cleanup(ttl, pipeline=pipeline, remove_from_queue=False)

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

    def _enqueue_dependents(self, job: Job, there_are: bool) -> None:
        if there_are:
            self._queue.enqueue_dependents(job)

    def cancel(self, job: Held) -> None:
        """The job is CANCELED, if whoever closed its stream has not seen to that."""
        self.release(job)
        with suppress(InvalidJobOperation, NoSuchJobError):  # it was cancelled, or deleted
            if job.rq.get_status() != JobStatus.CANCELED:
                job.rq.cancel()
            job.rq.cleanup(self._result_ttl_s, remove_from_queue=False)

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
        job.retries_left = None
        # A name in Redis must not choose what code a worker runs, nor an address whom it talks to.
        job._success_callback_name = job._failure_callback_name = job._stopped_callback_name = None
        job.webhooks = []
        execution = self.new_execution(job)
        self._worker._finalize_failure(job, self._queue, execution, (type(error), error, error.__traceback__))

    def give_back(self, pipeline: Pipeline, job: Held) -> None:
        """The job goes to the front of the queue: another worker goes on after its last image."""
        requeue(self._queue, job.rq, pipeline)
        if not job.prepared:
            pipeline.lrem(self._queue.intermediate_queue_key, 1, job.rq.id)
        self._worker.cleanup_execution(job.rq, pipeline=pipeline, execution=job.execution)

    def release(self, job: Held) -> None:
        """Let the job go and say nothing of it: somebody else does."""
        with self._worker.connection.pipeline(transaction=False) as pipeline:
            self._worker.cleanup_execution(job.rq, pipeline=pipeline, execution=job.execution)
            pipeline.execute()

    def settle(self, exchange: Exchange, job: Held) -> None:
        """Tell RQ of a job that has ended."""
        if job.ending is Ending.FINISHED:
            self.finish(exchange, job)
        elif job.ending is Ending.CANCELLED:
            self.cancel(job)
        elif job.ending is Ending.LOST:
            self.release(job)
        else:
            error = job.error or RuntimeError("its stream says that it failed")
            self.fail(job, error, stopped=job.ending is Ending.STOPPED)


def requeue(queue: Queue, job: Job, pipeline: Pipeline) -> None:
    """Put a job that was begun back to the front; no retry is spent."""
    job.started_at = None
    job.ended_at = None
    job.worker_name = None
    queue._enqueue_job(job, pipeline=pipeline, at_front=True)
