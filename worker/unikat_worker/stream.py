"""A job's result stream, as the worker writes and reads it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, ResponseError, TimeoutError

from unikat.errors import Reason, make_status
from unikat.queue.stream import END_ID, RESPONSE, STATUS, Progress, artwork_id, finished_id, is_refusal
from unikat.v1.studio_pb2 import Finished, GenerateResponse
from unikat_worker.active import ActiveJob, Ending
from unikat_worker.exchange import Command, Exchange, Handler

# Redis is away, restarting, failing over or full: nothing to do but to try again.
AWAY: Final = (ConnectionError, TimeoutError, ReadOnlyError, OutOfMemoryError)

Entry: TypeAlias = tuple[bytes, dict[bytes, bytes]]


class Stream:
    """Adds entries to the streams of jobs and tells the jobs what became of them."""

    def __init__(self, ttl_s: int, refused: Callable[[ActiveJob], None]) -> None:
        """`refused` is called for a job whose stream holds more than this worker knew of."""
        self._ttl_ms = ttl_s * 1000
        self._refused = refused

    def publish(self, exchange: Exchange, job: ActiveJob) -> int:
        """Add the images that are due and, behind the last one, the end. Returns how many images."""
        if job.ending is not None:
            return 0
        due = job.due()
        entries: list[tuple[Command, Handler]] = [
            (("XADD", job.key, artwork_id(index), RESPONSE, job.ready[index]), self._published(job, index + 1))
            for index in due
        ]
        if job.published + len(due) == job.draw.count:
            end: Command = ("XADD", job.key, finished_id(job.draw.count), RESPONSE, _finished(job))
            entries.append((end, self._closed(job, Ending.FINISHED)))
        if entries:
            exchange.together(entries)  # an image behind one that Redis refused would leave a gap for good
            exchange.pipeline.pexpire(job.key, self._ttl_ms)
        return len(due)

    def close(self, exchange: Exchange, job: ActiveJob, status: Status, ending: Ending) -> None:
        """End a stream early."""
        exchange.pipeline.xadd(job.key, {STATUS: status.SerializeToString()}, id=END_ID)
        exchange.on_reply(self._closed(job, ending))
        exchange.pipeline.pexpire(job.key, self._ttl_ms)

    def look_for_end(self, exchange: Exchange, job: ActiveJob) -> None:
        """Ask whether somebody else ended the stream. The answer is empty while it is open: no image travels."""
        exchange.pipeline.xrange(job.key, min=finished_id(job.draw.count), max="+", count=1)
        exchange.on_reply(self._observer(job))

    def read_last(self, exchange: Exchange, job: ActiveJob) -> None:
        """Ask how far the stream is."""
        exchange.pipeline.xrevrange(job.key, count=1)
        exchange.on_reply(self._observer(job))

    def _published(self, job: ActiveJob, published: int) -> Callable[[Any], None]:
        def take_in(reply: object) -> None:
            if isinstance(reply, Exception):
                self._refuse(job, reply)
            elif not job.ending:
                job.advance(published)

        return take_in

    def _closed(self, job: ActiveJob, ending: Ending) -> Callable[[Any], None]:
        def take_in(reply: object) -> None:
            if isinstance(reply, Exception):
                self._refuse(job, reply)
            else:
                job.ending = ending

        return take_in

    def _observer(self, job: ActiveJob) -> Callable[[Any], None]:
        def take_in(entries: Any) -> None:  # noqa: ANN401  (a reply: entries, or an error)
            if isinstance(entries, Exception):
                self._refuse(job, entries)
            else:
                observe(job, entries[0] if entries else None)

        return take_in

    def _refuse(self, job: ActiveJob, error: Exception) -> None:
        if is_refusal(error):
            self._refused(job)
        elif isinstance(error, AWAY):
            raise error
        elif job.ending is None:  # for example, its key holds something else: no other job shall suffer
            job.error, job.ending = error, Ending.FAILED


def observe(job: ActiveJob, last: Entry | None) -> None:
    """Take in the last entry of a job's stream: whoever wrote it, it is what the caller saw."""
    progress = Progress.of(last[0] if last else None, job.draw.count)
    job.advance(progress.published)
    if progress.ended and last is not None:
        job.ending = ending_of(last)


def ending_of(entry: Entry) -> Ending:
    """What the last entry of an ended stream says."""
    fields = entry[1]
    if STATUS not in fields:
        return Ending.FINISHED
    code = Status.FromString(fields[STATUS]).code
    return Ending.CANCELLED if code in (Code.CANCELLED, Code.DEADLINE_EXCEEDED) else Ending.FAILED


def failed_status(job_id: str, error: BaseException) -> Status:
    """INTERNAL, with the job's id: the traceback is in RQ's FailedJobRegistry, not for callers."""
    message = f"job {job_id} failed: {type(error).__name__}"
    return make_status(Code.INTERNAL, message, Reason.JOB_FAILED, job_id=job_id)


def deadline_status(job_id: str) -> Status:
    """DEADLINE_EXCEEDED."""
    message = f"job {job_id} was not complete at its deadline"
    return make_status(Code.DEADLINE_EXCEEDED, message, Reason.DEADLINE_EXCEEDED, job_id=job_id)


def stopped_status(job_id: str) -> Status:
    """CANCELLED, by an operator's stop command."""
    return make_status(Code.CANCELLED, f"job {job_id} was stopped", Reason.CANCELLED, job_id=job_id)


def end_stream(redis: Redis | Pipeline, key: str, status: Status, ttl_s: int) -> bool:
    """Close a stream outside an exchange; False if it had ended or is none. In a pipeline the answer says nothing."""
    try:
        redis.xadd(key, {STATUS: status.SerializeToString()}, id=END_ID)
    except ResponseError as error:
        if isinstance(error, AWAY):
            raise
        return False
    redis.expire(key, ttl_s)
    return True


def _finished(job: ActiveJob) -> bytes:
    elapsed = Duration()
    elapsed.FromMicroseconds(max(0, round((time.time() - job.draw.enqueued_at) * 1e6)))
    finished = Finished(count=job.draw.count, elapsed=elapsed, attempts=job.attempts)
    return GenerateResponse(finished=finished).SerializeToString()
