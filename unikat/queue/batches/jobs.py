"""A batch's jobs in RQ: every batch has a queue of its own, so that `rq info` shows how far each is.

Owners take turns, and an owner's batches follow one another (`unikat.queue.batches.progress.BatchProgress.take`).
A shard that waits is an id in the queue, 27 bytes: all that its job says follows from the batch and its number, and is
written when a worker takes it (`next_shard.lua`).
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, cast

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import WatchError
from rq import Queue, Retry
from rq.job import Job, JobStatus
from rq.queue import EnqueueData
from rq.serializers import JSONSerializer

from unikat.batches.record import HEAD
from unikat.batches.spec import CLOSE_BATCH, DRAW_SHARD, BatchSpec
from unikat.queue.batches.keys import OF_OWNER, OWNERS, batch_key, close_job_id, queue_name, shard_job_id
from unikat.queue.clock import redis_time
from unikat.queue.draws import run_script
from unikat.queue.job import call_of
from unikat.queue.scripts import Argument

# A shard that fails is tried again after so many seconds, then counts as failed.
RETRY_AFTER_S: Final = (1, 5, 25)
RESULT_TTL_S: Final = 60  # for RQ's tools to show
FAILURE_TTL_S: Final = 30 * 24 * 3600

_OWN: Final = ("data", "origin", "created_at", "enqueued_at")  # of a shard's job, as `next_shard.lua` writes them
_SLICE: Final = 1000  # ids in one command

T = TypeVar("T")


class NoSuchBatch(KeyError):
    """There is no batch of this id."""


def batch_queue(redis: Redis, batch: str) -> Queue:
    """The RQ queue of a batch's shards."""
    return Queue(queue_name(batch), connection=redis, serializer=JSONSerializer)


def enter_turns(pipe: Pipeline, batch: str, owner: str) -> None:
    """The batch's owner takes part in the turns."""
    pipe.rpush(OF_OWNER + owner, batch)
    pipe.lrem(OWNERS, 0, owner)
    pipe.rpush(OWNERS, owner)


def enqueue_shards(pipe: Pipeline, queue: Queue, batch: str, shards: Sequence[int]) -> None:
    """Add shards to a transaction, of which no job is left."""
    for first in range(0, len(shards), _SLICE):
        pipe.rpush(queue.key, *(shard_job_id(batch, shard) for shard in shards[first : first + _SLICE]))
    pipe.sadd(queue.redis_queues_keys, queue.key)


def enqueue_whole(pipe: Pipeline, queue: Queue, batch: str, spec: BatchSpec, shards: Iterable[int]) -> None:
    """Add shards with their whole jobs, which workers of the release before need, to a transaction."""
    data = []
    for shard in shards:
        payload, text = shard_payload(batch, spec, shard)
        data.append(_data(DRAW_SHARD, payload, shard_job_id(batch, shard), text))
    queue.enqueue_many(data, pipeline=pipe)


def shard_fields(redis: Redis) -> list[Argument]:
    """Fields and values of the hash of a shard's job, as RQ writes them; what differs is left out."""
    data = _data(DRAW_SHARD, {}, "", "a shard")
    job = _job(Queue(connection=redis, serializer=JSONSerializer), data, 0.0)
    fields = {name: value for name, value in job.to_dict().items() if name not in _OWN}
    return [part for pair in fields.items() for part in pair]


def is_short(data: bytes, batch: str, shard: int) -> bool:
    """Whether a shard's payload is the one that `next_shard.lua` makes; RQ may have compressed it since."""
    try:
        return call_of(data, (DRAW_SHARD,))[1] == {"batch": batch, "shard": shard}
    except ValueError:
        return False


def shard_payload(batch: str, spec: BatchSpec, shard: int) -> tuple[dict[str, Any], str]:
    """Keyword arguments of a shard's job, and its description. Raises IndexError for one that there is not."""
    images = spec.shard_range(shard)
    return spec.shard_job(batch, shard).to_kwargs(), f"images {images.start} to {images.stop - 1} of {spec.model}"


def enqueue_close(redis: Redis, batch: str, round: int, *, again: bool = False) -> bool:
    """Enqueue the job that writes the manifest, if every shard is settled or the batch was called off.

    Twice is as good as once; `again`: its queue was lost. Returns whether there is such a job now.
    """
    job_id, queue = close_job_id(batch, round), batch_queue(redis, batch)
    job = _job(
        queue, _data(CLOSE_BATCH, {"batch": batch, "round": round}, job_id, f"close batch {batch}"), redis_time(redis)
    )
    fields = [part for pair in job.to_dict().items() for part in pair]
    return bool(run_script("close_batch", redis, batch, round, job_id, int(again), *fields))


def transact(redis: Redis, attempt: Callable[[Pipeline], T]) -> T:
    """Run `attempt` with a pipeline on which it watches, again where somebody was faster."""
    while True:
        with redis.pipeline() as pipe:
            try:
                return attempt(pipe)
            except WatchError:
                continue


def watched_fields(pipe: Pipeline, batch: str) -> dict[str, str]:
    """A batch's hash, read at once (the pipeline is watching). Raises NoSuchBatch."""
    fields = text_of(cast(dict[bytes, bytes], pipe.hgetall(batch_key(batch))))
    if HEAD not in fields:
        raise NoSuchBatch(batch)
    return fields


def text_of(fields: dict[bytes, bytes]) -> dict[str, str]:
    """A hash as text."""
    return {name.decode(): value.decode() for name, value in fields.items()}


def _job(queue: Queue, data: EnqueueData, moment: float) -> Job:
    """A job that waits since a Unix time (s), not written yet."""
    job = queue.create_job(
        data.func, kwargs=data.kwargs, job_id=data.job_id or None, description=data.description, timeout=data.timeout,
        result_ttl=data.result_ttl, failure_ttl=data.failure_ttl, retry=data.retry, status=JobStatus.QUEUED,
    )  # fmt: skip
    job.created_at = job.enqueued_at = datetime.fromtimestamp(moment, UTC)
    return job


def _data(function: str, kwargs: dict[str, Any], job_id: str, description: str) -> EnqueueData:
    return Queue.prepare_data(
        function,
        kwargs=kwargs,
        job_id=job_id,
        description=description,
        timeout=-1,  # a worker that hangs ends itself
        result_ttl=RESULT_TTL_S,
        failure_ttl=FAILURE_TTL_S,
        retry=Retry(max=len(RETRY_AFTER_S), interval=list(RETRY_AFTER_S)),
    )
