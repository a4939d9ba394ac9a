"""From the queue to the rota: jobs are moved, read, checked, and made active, or refused."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Collection
from typing import Any

from redis import Redis
from rq import Queue
from rq.exceptions import DeserializationError
from rq.job import Job, JobStatus

from unikat.queue.job import DrawJob
from unikat.queue.keys import DRAW
from unikat.queue.stream import stream_key
from unikat_worker.active import ActiveJob
from unikat_worker.exchange import Exchange
from unikat_worker.settlement import ATTEMPTS, CRASHES, Settlement, number
from unikat_worker.stream import AWAY, Entry, Stream, observe

log = logging.getLogger(__name__)

_SUSPECT = 2  # crashes after which a job is drawn in batches of its own


class Refused(ValueError):
    """A payload that must not or cannot be drawn. `job` is what RQ knows of it."""

    def __init__(self, job: Job, message: str) -> None:
        super().__init__(message)
        self.job = job


class Intake:
    """Jobs that this worker has moved to the intermediate list and not begun.

    `refused` are to be failed, `void` are ids with nothing to do behind them.
    """

    def __init__(self, queue: Queue, settlement: Settlement, stream: Stream) -> None:
        self.refused: list[Refused] = []
        self.void: list[str] = []
        self._redis: Redis = queue.connection
        self._queue = queue
        self._settlement = settlement
        self._stream = stream
        self._arrived: list[str] = []
        self._guess = 1  # jobs that are probably in the queue

    def deliver(self, job_id: str) -> None:
        """The fetcher moved a job."""
        self._arrived.append(job_id)

    def drain(self, exchange: Exchange, room: int) -> None:
        """Move jobs without waiting, about as many as came lately, so that few commands find nothing."""
        asked = min(self._guess, room - len(self._arrived))
        moved: list[bytes | None] = []

        def take_in(job_id: bytes | Exception | None) -> None:
            if isinstance(job_id, Exception):  # Redis is full: even this is refused
                raise job_id
            moved.append(job_id)
            if job_id is not None:
                self._arrived.append(job_id.decode(errors="replace"))  # no text: no job; the sweeper removes it
            if len(moved) == asked:
                came = sum(each is not None for each in moved)
                self._guess = 2 * asked if came == asked else max(1, came)

        for _ in range(asked):
            exchange.pipeline.lmove(self._queue.key, self._queue.intermediate_queue_key)
            exchange.on_reply(take_in)

    def take(self, stale: set[ActiveJob], room: int) -> list[ActiveJob]:
        """Read what arrived and make it active, until the queue is empty or `room` is used up.

        On the way, the streams of `stale` jobs are read again.
        """
        taken: list[ActiveJob] = []
        while self._arrived or stale:
            exchange = Exchange(self._redis)
            for job in stale:
                self._stream.read_last(exchange, job)
            reading, self._arrived = self._arrived, []
            try:
                for job_id in reading:
                    self._read(exchange, job_id, taken)
                self.drain(exchange, room - len(taken) - len(reading))
                exchange.execute()
            except Exception:
                self._arrived = reading + self._arrived  # nothing was read: once more, when Redis is back
                raise
            stale.clear()
        return taken

    def put_back(self) -> None:
        """Return what was not read to the front of the queue."""
        with self._redis.pipeline() as pipeline:
            for job_id in reversed(self._arrived):
                pipeline.lpush(self._queue.key, job_id)
                pipeline.lrem(self._queue.intermediate_queue_key, 1, job_id)
            pipeline.execute()
        self._arrived.clear()

    def _read(self, exchange: Exchange, job_id: str, taken: list[ActiveJob]) -> None:
        replies: list[Any] = []
        exchange.pipeline.hgetall(Job.key_for(job_id))
        exchange.on_reply(replies.append)
        exchange.pipeline.xrevrange(stream_key(job_id), count=1)
        exchange.on_reply(lambda newest: self._sort(job_id, replies[0], newest, taken))

    def _sort(
        self,
        job_id: str,
        fields: dict[bytes, bytes] | Exception,
        newest: list[Entry] | Exception,
        taken: list[ActiveJob],
    ) -> None:
        for reply in (fields, newest):
            if isinstance(reply, AWAY):
                raise reply
        job = None if isinstance(fields, Exception) else restored(self._queue, job_id, fields)
        if isinstance(fields, Exception) or job is None or not is_waiting(job):
            self.void.append(job_id)
            return
        if isinstance(newest, Exception):
            self.refused.append(Refused(job, f"its stream cannot be read: {newest}"))
            return
        try:
            taken.append(admit(job, fields, newest, self._settlement))
        except Refused as refused:
            self.refused.append(refused)


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


def admit(job: Job, fields: dict[bytes, bytes], newest: list[Entry], settlement: Settlement) -> ActiveJob:
    """The active job, going on after what its stream holds.

    `fields` is the job's hash, `newest` the last entry of its stream. Raises Refused.
    """
    active = ActiveJob(
        rq=job,
        execution=settlement.new_execution(job),
        draw=_draw_job(job),
        published=0,
        attempts=number(fields, ATTEMPTS) + 1,
        solo=number(fields, CRASHES) >= _SUSPECT,
    )
    observe(active, newest[0] if newest else None)
    return active


def is_late(job: ActiveJob) -> bool:
    """Whether its deadline has passed."""
    return job.draw.deadline is not None and job.draw.deadline < time.time()


def checked_kwargs(job: Job, functions: Collection[str]) -> dict[str, Any]:
    """The keyword arguments of a job that calls one of `functions`; nothing is unpickled. Raises Refused."""
    try:
        name, args, kwargs = job.func_name, job.args, job.kwargs
    except DeserializationError as error:
        raise Refused(job, "its payload is not JSON; pickle is never read") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused(job, f"its payload is not a call: {error}") from error
    try:
        json.dumps([args, kwargs], ensure_ascii=False).encode()  # half a character cannot even be reported
    except UnicodeEncodeError as error:
        raise Refused(job, "its payload holds text that is not Unicode") from error
    if name not in functions or args or not isinstance(kwargs, dict):
        allowed = " and ".join(functions)
        raise Refused(job, f"it calls {name!r}; this queue is for {allowed} with keyword arguments")
    if any((job._success_callback_name, job._failure_callback_name, job._stopped_callback_name, job.webhooks)):
        raise Refused(job, "callbacks and webhooks are not run here: what is in Redis must not choose code to run")
    return kwargs


def _draw_job(job: Job) -> DrawJob:
    try:
        return DrawJob.from_kwargs(checked_kwargs(job, [DRAW]))
    except Refused:
        raise
    except ValueError as error:
        raise Refused(job, str(error)) from error
