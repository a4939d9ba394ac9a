"""Jobs in Redis, through RQ: taken, joined, cancelled. Everything here blocks, so it runs in threads.

A request_id stands for one job. If that job ended without having been of use to the one who asks again (it was
cancelled because its caller was gone, or its result has expired), the next *attempt* takes its place: a job of the
same content under an id of its own, because a worker that still draws the old one must not write into the new
stream. Images are pure functions, so an attempt goes on exactly where its predecessor was left.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, cast

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from redis import Redis
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError, NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from unikat.bundle import key_of
from unikat.errors import Reason, UnikatError, error_of, retry_later
from unikat.jobs import DRAW, FINGERPRINT, QUEUE, DrawJob, job_id_of
from unikat.stream import END_ID, STATUS, Progress, stream_key
from unikat_service.reader import RawEntries
from unikat_service.requests import Order, reused
from unikat_service.settings import Settings

# A lease of a call on its job; renewed by the keeper long before it ends.
LEASE_S: Final = 20.0
MAX_ATTEMPTS: Final = 256
# Admission without a measured rate, and bounds of what is told to callers.
DEFAULT_RATE: Final = 1.0
MIN_RETRY_S, MAX_RETRY_S = 0.5, 60.0

_ACTIVE: Final = {JobStatus.QUEUED, JobStatus.STARTED, JobStatus.SCHEDULED, JobStatus.DEFERRED, JobStatus.CREATED}

# Gives up a call's lease and, if no other call holds one and the job has not ended, ends its stream with a status
# that nothing can be published behind: atomic, so that a call that joins meanwhile either keeps the job alive or
# finds it ended. KEYS: stream, leases. ARGV: lease, now, count, field, status, TTL. Returns 1 if it ended the job.
_CLOSE: Final = """
redis.call("ZREM", KEYS[2], ARGV[1])
redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", ARGV[2])
if redis.call("ZCARD", KEYS[2]) > 0 then return 0 end
local last = redis.call("XREVRANGE", KEYS[1], "+", "-", "COUNT", 1)
if last[1] and tonumber(string.match(last[1][1], "^%d+")) > tonumber(ARGV[3]) then return 0 end
redis.call("XADD", KEYS[1], "{end_id}", ARGV[4], ARGV[5])
redis.call("EXPIRE", KEYS[1], ARGV[6])
return 1
""".replace("{end_id}", END_ID)


def leases_key(job_id: str) -> str:
    """Sorted set: the calls that wait for a job which others can join -> Unix time until which each counts."""
    return f"unikat:leases:{job_id}"


@dataclass(frozen=True)
class OpenJob:
    """A job that a call waits for. `lease` is empty where no other call can join."""

    job_id: str
    job: DrawJob
    lease: str
    position: int


class JobQueue:
    """The queue of draw jobs. Thread-safe: redis-py's client is, and RQ's queue holds nothing else."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
        self._close_script = redis.register_script(_CLOSE)

    def open(self, order: Order, deadline: float | None, rate: float) -> OpenJob:
        """Enqueue a job for an order, or join the one that its request_id stands for.

        `deadline` is a Unix time, `rate` the jobs a second that live workers settle. Raises UnikatError:
        RESOURCE_EXHAUSTED if the queue is full, ALREADY_EXISTS if the request_id stands for another content.
        """
        draw = _draw_job(order, deadline)
        lease = uuid.uuid4().hex if order.request.request_id else ""
        for job_id in _attempt_ids(order.request.request_id):
            waiting = self._take_lease(job_id, lease)
            try:
                if waiting >= self._settings.max_queue and not Job.exists(job_id, connection=self._redis):
                    raise _queue_full(waiting, rate)
                found = self._enqueue_or_join(job_id, draw, order.fingerprint)
            except BaseException:
                self.release(job_id, lease)
                raise
            if isinstance(found, OpenJob):
                return replace(found, lease=lease, position=waiting if found.job is draw else found.position)
            self.release(job_id, lease)
            if found is not None:
                draw = replace(found, enqueued_at=draw.enqueued_at, deadline=draw.deadline)
        text = f"this request_id was cancelled {MAX_ATTEMPTS} times in a short while; use a new one"
        raise error_of(retry_later(Code.RESOURCE_EXHAUSTED, text, Reason.CANCELLED, self._settings.result_ttl_s))

    def close(self, open_job: OpenJob, status: Status) -> bool:
        """End a job whose caller is gone, unless another call waits for it or it has ended. Whether it was ended."""
        job_id = open_job.job_id
        closed = self._close_script(
            keys=[stream_key(job_id), leases_key(job_id)],
            args=[
                open_job.lease,
                time.time(),
                open_job.job.count,
                STATUS,
                status.SerializeToString(),
                self._settings.result_ttl_s,
            ],
        )
        # Only one can take it off the queue: if a worker was first, the worker finds the stream ended and settles it.
        if closed and self._queue.remove(job_id):
            self._cancel(job_id)
        return bool(closed)

    def release(self, job_id: str, lease: str) -> None:
        """Give up a lease and leave the job as it is."""
        if lease:
            self._redis.zrem(leases_key(job_id), lease)

    def _take_lease(self, job_id: str, lease: str) -> int:
        """Jobs that wait, counted in the round trip that takes the lease and names the queue to RQ."""
        pipe = self._redis.pipeline(transaction=False)
        pipe.llen(self._queue.key)
        pipe.sadd(self._queue.redis_queues_keys, self._queue.key)  # RQ would make a round trip of its own of it
        if lease:
            pipe.zadd(leases_key(job_id), {lease: time.time() + LEASE_S})
            pipe.expire(leases_key(job_id), self._settings.result_ttl_s)
        waiting: int = pipe.execute()[0]
        return waiting

    def _enqueue_or_join(self, job_id: str, draw: DrawJob, fingerprint: str) -> OpenJob | DrawJob | None:
        """The job to wait for; or what an ended attempt was to draw; or None if it expired at this moment."""
        try:
            self._queue.enqueue(
                DRAW,
                kwargs=draw.to_kwargs(),
                job_id=job_id,
                unique=True,
                pipeline=self._redis.pipeline(),  # takes RQ's SADD, which `_take_lease` has sent; it is never executed
                retry=Retry(max=self._settings.retries),
                result_ttl=self._settings.result_ttl_s,
                failure_ttl=self._settings.failure_ttl_s,
                job_timeout=-1,  # the worker ends jobs by their deadline, and itself if a batch hangs
                meta={FINGERPRINT: fingerprint},
                description=f"{draw.count} of {draw.model}",
            )
        except DuplicateJobError:
            return self._join(job_id, fingerprint)
        return OpenJob(job_id, draw, "", 0)

    def _join(self, job_id: str, fingerprint: str) -> OpenJob | DrawJob | None:
        try:
            job = Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        except NoSuchJobError:
            return None
        if job.meta.get(FINGERPRINT) != fingerprint:
            raise reused()
        draw = DrawJob.from_kwargs(job.kwargs)
        last = cast(RawEntries, self._redis.xrevrange(stream_key(job_id), count=1))
        if _is_over(job, draw, last):
            return draw
        queued = job.get_status(refresh=False) == JobStatus.QUEUED
        return OpenJob(job_id, draw, "", (self._queue.get_job_position(job_id) or 0) if queued else 0)

    def _cancel(self, job_id: str) -> None:
        """RQ's cancel, with an expiry: RQ itself keeps cancelled jobs for good."""
        ttl = self._settings.result_ttl_s
        job = Job.fetch(job_id, connection=self._redis, serializer=JSONSerializer)
        registry = self._queue.canceled_job_registry
        pipe = self._redis.pipeline()
        job.cancel(pipeline=pipe)
        registry.add(job, ttl=ttl, pipeline=pipe)
        job.cleanup(ttl, pipeline=pipe)
        pipe.zremrangebyscore(registry.key, 0, time.time())
        pipe.execute()


def _draw_job(order: Order, deadline: float | None) -> DrawJob:
    return DrawJob(
        model=key_of(order.model),
        digest=order.model.digest,
        weights=order.weights,
        count=order.request.count,
        seed=order.seed,
        truncation=order.truncation,
        image_format=int(order.image_format),
        enqueued_at=time.time(),
        deadline=deadline,
        first=order.request.first_index,
    )


def _attempt_ids(request_id: str) -> Iterator[str]:
    if not request_id:
        yield "c-" + uuid.uuid4().hex
        return
    first = job_id_of(request_id)
    yield first
    yield from (f"{first}-{attempt}" for attempt in range(2, MAX_ATTEMPTS + 1))


def _is_over(job: Job, draw: DrawJob, last: RawEntries) -> bool:
    """Whether an attempt is of no use to a call that comes now."""
    if not last:  # nothing published yet, or everything expired
        return job.get_status(refresh=False) not in _ACTIVE
    entry_id, fields = last[0]
    if not Progress.of(entry_id, draw.count).ended or STATUS not in fields:
        return False
    # An earlier caller's cancellation or deadline; a failure stays one.
    return Status.FromString(fields[STATUS]).code in (Code.CANCELLED, Code.DEADLINE_EXCEEDED)


def _queue_full(waiting: int, rate: float) -> UnikatError:
    # The time in which a tenth of the queue is settled: later calls find room, and not all come back at once.
    seconds = min(max(waiting / (rate or DEFAULT_RATE) / 10, MIN_RETRY_S), MAX_RETRY_S)
    text = f"{waiting} jobs wait already; come back in {seconds:.1f} s"
    return error_of(retry_later(Code.RESOURCE_EXHAUSTED, text, Reason.QUEUE_FULL, seconds))
