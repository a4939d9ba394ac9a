"""Batches in Redis: created, read, cancelled, retried, deleted. Thread-safe; everything here blocks.

What must happen together happens in one transaction; what may happen twice, because a process died in between, is such
that twice is as good as once.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, cast

from redis import Redis
from redis.client import Pipeline
from redis.lock import Lock
from rq.job import Job

from unikat.batches import record as r
from unikat.batches.record import BatchRecord
from unikat.batches.spec import BatchSpec
from unikat.queue.batches.jobs import (
    NoSuchBatch,
    batch_queue,
    enqueue_close,
    enqueue_shards,
    enter_turns,
    text_of,
    transact,
    watched_fields,
)
from unikat.queue.batches.keys import (
    BATCHES,
    DESTINATIONS,
    QUEUE_PREFIX,
    batch_key,
    cells_key,
    creating_key,
    destination_key,
    done_key,
    failed_key,
    pace_key,
    queue_name,
    shard_job_id,
)
from unikat.queue.batches.places import around, in_the_way
from unikat.queue.clock import redis_time
from unikat.queue.draws import run_script
from unikat.queue.keys import QUEUES_KEY
from unikat.queue.replicas import wait_for_replica

# Jobs that one round trip writes or deletes: between two of them, Redis does what others want.
_SLICE: Final = 200
# Seconds without another slice after which a creation counts as given up: a twin of its call waits for so long where
# the service died in the middle of it.
_CREATING_S: Final = 5


class WrongState(Exception):
    """The batch is in a state in which this cannot be done; the message says in which, and what can."""


class BatchStore:
    """All batches. Methods raise what redis-py raises."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def create(self, batch: str, spec: BatchSpec, content: str) -> str:
        """Queue a batch, whole or not at all; `content` is a digest of the request.

        Returns the content of the batch of this id: what was given, or, if there is one already, that one's; a replica,
        if there is one, has it by then. Raises DestinationTaken.
        """
        lock = self.redis.lock(creating_key(batch), timeout=_CREATING_S, thread_local=False)
        with lock:  # a twin of this call waits, and finds the batch
            there = self._there(batch, spec.destination)
            if there is None:
                self._enqueue(batch, spec, lock)
                there = self._record(batch, spec, content)
        wait_for_replica(self.redis, batch_key(batch))
        return there

    def _there(self, batch: str, destination: str) -> str | None:
        """The content of the batch of this id, if there is one. Raises DestinationTaken."""
        # In this order: a twin of this call that is faster is seen as the same batch, not as one in the way.
        taken = in_the_way(self.redis, batch, destination)
        there = self.content(batch)
        if there is None and taken is not None:
            raise taken
        return there

    def _enqueue(self, batch: str, spec: BatchSpec, lock: Lock) -> None:
        """Write the shards' jobs in slices. No worker sees them before the batch is in its owner's turns."""
        queue = batch_queue(self.redis, batch)
        for first in range(0, spec.shard_count, _SLICE):
            lock.reacquire()
            with self.redis.pipeline(transaction=False) as pipe:
                if first == 0:
                    # What a creation that was given up has left, and a worker that was slow to hear of a deletion.
                    pipe.delete(queue.key, *(key(batch) for key in (batch_key, done_key, failed_key, pace_key)))
                enqueue_shards(pipe, queue, batch, spec, range(first, min(first + _SLICE, spec.shard_count)))
                pipe.execute()

    def _record(self, batch: str, spec: BatchSpec, content: str) -> str:
        """Make the batch visible, with its last slice."""
        destination = spec.destination

        def attempt(pipe: Pipeline) -> str:
            pipe.watch(*map(destination_key, (destination, *around(destination))))
            taken = in_the_way(pipe, batch, destination)
            if taken is not None:
                self._drop(batch)
                raise taken
            moment = redis_time(pipe)
            head, cells = spec.to_json()
            pipe.multi()
            pipe.hset(
                batch_key(batch),
                mapping={
                    r.HEAD: head, r.CONTENT: content, r.TOTAL: spec.total, r.SHARDS: spec.shard_count,
                    r.CREATED: moment, r.ROUND: 0, r.REVISION: 1,
                },
            )  # fmt: skip
            pipe.set(cells_key(batch), cells)
            pipe.zadd(BATCHES, {batch: moment})
            pipe.set(destination_key(destination), batch)
            pipe.zadd(DESTINATIONS, {destination: 0})
            enter_turns(pipe, batch, spec.owner)
            pipe.execute()
            return content

        return transact(self.redis, attempt)

    def _drop(self, batch: str) -> None:
        """Delete the jobs of a batch that nobody has begun."""
        while run_script("drop_jobs", self.redis, queue_name(batch), _SLICE) == _SLICE:
            continue

    def read(self, batch: str) -> BatchRecord:
        """One batch. Raises NoSuchBatch."""
        found = self.read_many([batch])
        if not found:
            raise NoSuchBatch(batch)
        return found[0]

    def read_many(self, batches: Sequence[str]) -> list[BatchRecord]:
        """The batches of these ids that there are, in their order."""
        with self.redis.pipeline(transaction=False) as pipe:
            for batch in batches:
                pipe.hgetall(batch_key(batch))
                pipe.get(done_key(batch))
                pipe.hgetall(failed_key(batch))
                pipe.lrange(pace_key(batch), 0, -1)
            replies = iter(pipe.execute())
        records = []
        for batch, raw, done, failed, pace in zip(batches, replies, replies, replies, replies, strict=True):
            if r.HEAD.encode() not in raw:
                continue
            fields = text_of(raw)
            shards = int(fields[r.SHARDS])
            written = _written(done, shards)
            records.append(
                BatchRecord(
                    id=batch,
                    fields=fields,
                    done=len(written),
                    last_done=shards - 1 in written,
                    failed=_failed(failed, shards),
                    pace=[_pace(entry) for entry in pace],
                )
            )
        return records

    def revisions(self, batches: Sequence[str]) -> list[int | None]:
        """For each batch its revision, None where there is none: cheap, to see what changed."""
        with self.redis.pipeline(transaction=False) as pipe:
            for batch in batches:
                # A worker that was slow to hear of a deletion may have left a revision, but no content.
                pipe.hmget(batch_key(batch), r.REVISION, r.CONTENT)
            return [None if content is None else int(revision) for revision, content in pipe.execute()]

    def content(self, batch: str) -> str | None:
        """The digest of the request that a batch was created with; None if there is no such batch."""
        content = cast(bytes | None, self.redis.hget(batch_key(batch), r.CONTENT))
        return None if content is None else content.decode()

    def written(self, record: BatchRecord) -> list[int]:
        """The shards of a batch that are in their files, in their order."""
        return sorted(_written(cast(bytes | None, self.redis.get(done_key(record.id))), record.shards))

    def newest(self, limit: int, before: tuple[float, str] | None = None) -> list[tuple[float, str]]:
        """(Unix time of creation, batch), newest first: at most `limit`, all of them behind `before`."""
        start = "+inf" if before is None else before[0]
        # Of several of one moment, some may lie before `before`.
        more = 0 if before is None else self.redis.zcount(BATCHES, before[0], before[0])
        reply = self.redis.zrange(
            BATCHES, start, "-inf", byscore=True, desc=True, offset=0, num=limit + more, withscores=True
        )  # fmt: skip
        found = cast(list[tuple[bytes, float]], reply)
        places = [(created, batch.decode()) for batch, created in found]
        return [place for place in places if before is None or place < before][:limit]

    def spec(self, batch: str) -> BatchSpec:
        """What a batch draws. Raises NoSuchBatch."""
        with self.redis.pipeline(transaction=False) as pipe:
            pipe.hget(batch_key(batch), r.HEAD)
            pipe.get(cells_key(batch))
            head, cells = pipe.execute()
        if head is None or cells is None:
            raise NoSuchBatch(batch)
        return BatchSpec.from_json(head, cells)

    def cancel(self, batch: str) -> None:
        """Call a batch off: what waits is dropped, what is drawn at this moment finds out, the manifest is written.

        Raises NoSuchBatch, and WrongState for a batch that has ended otherwise.
        """
        reply = cast(bytes, run_script("cancel_batch", self.redis, batch))
        match reply.decode():
            case "missing":
                raise NoSuchBatch(batch)
            case "ended":
                raise WrongState(f"batch {batch} has ended already; there is nothing to cancel")
            case "cancelled":
                return
            case round:  # whoever dies here leaves it to `BatchProgress.reconcile`
                self._drop(batch)
                enqueue_close(self.redis, batch, int(round))

    def retry(self, batch: str) -> None:
        """Enqueue what failed once more. Raises NoSuchBatch, and WrongState unless the batch has ended so."""
        spec = self.spec(batch)
        queue = batch_queue(self.redis, batch)

        def attempt(pipe: Pipeline) -> None:
            pipe.watch(batch_key(batch), failed_key(batch))
            fields = watched_fields(pipe, batch)
            failed = sorted(_failed(cast(dict[bytes, bytes], pipe.hgetall(failed_key(batch))), int(fields[r.SHARDS])))
            if r.CANCELLED in fields or r.ENDED not in fields or not failed:
                raise WrongState(f"batch {batch} is not FAILED; only what failed can be retried")
            pipe.multi()
            pipe.hdel(batch_key(batch), r.ENDED, r.MANIFEST)
            pipe.hincrby(batch_key(batch), r.ROUND, 1)
            pipe.hincrby(batch_key(batch), r.REVISION, 1)
            pipe.delete(failed_key(batch), pace_key(batch))
            for shard in failed:
                pipe.zrem(queue.failed_job_registry.key, shard_job_id(batch, shard))
            enter_turns(pipe, batch, spec.owner)
            for shard in failed:  # what is left of the last try
                pipe.delete(Job.key_for(shard_job_id(batch, shard)))
            enqueue_shards(pipe, queue, batch, spec, failed)
            pipe.execute()

        transact(self.redis, attempt)

    def delete(self, batch: str) -> None:
        """Forget a batch that has ended. Raises NoSuchBatch and WrongState."""
        queue = batch_queue(self.redis, batch)
        lists = (queue.key, queue.intermediate_queue_key)  # a close job of a batch that another one ended meanwhile
        registries = (
            queue.failed_job_registry, queue.finished_job_registry, queue.canceled_job_registry,
            queue.scheduled_job_registry,
        )  # fmt: skip

        def attempt(pipe: Pipeline) -> list[bytes]:
            pipe.watch(batch_key(batch))
            fields = watched_fields(pipe, batch)
            if r.ENDED not in fields:
                raise WrongState(f"batch {batch} has not ended; cancel it, and wait for its manifest")
            destination = BatchSpec.from_json(fields[r.HEAD], "[]").destination
            jobs = [job for each in registries for job in cast(list[bytes], pipe.zrange(each.key, 0, -1))]
            jobs += [job for place in lists for job in cast(list[bytes], pipe.lrange(place, 0, -1))]
            pipe.multi()
            pipe.delete(*(registry.key for registry in registries), *lists)
            pipe.delete(*(key(batch) for key in (batch_key, cells_key, done_key, failed_key, pace_key)))
            pipe.srem(queue.redis_queues_keys, queue.key)
            pipe.zrem(BATCHES, batch)
            pipe.delete(destination_key(destination))
            pipe.zrem(DESTINATIONS, destination)
            pipe.execute()
            return jobs

        jobs = [Job.key_for(job.decode(errors="replace")) for job in transact(self.redis, attempt)]
        for first in range(0, len(jobs), _SLICE):  # who dies here leaves them to expire
            self.redis.delete(*jobs[first : first + _SLICE])

    def forget_unfinished(self) -> None:
        """Delete what a creation has left that was given up before the batch was there."""
        for key in cast(set[bytes], self.redis.smembers(QUEUES_KEY)):
            name = key.decode(errors="replace").removeprefix("rq:queue:")
            batch = name.removeprefix(QUEUE_PREFIX)
            if batch != name and not self.redis.exists(batch_key(batch), creating_key(batch)):
                self._drop(batch)
                self.redis.srem(QUEUES_KEY, key)


def _written(bitmap: bytes | None, shards: int) -> set[int]:
    """The shards whose bits are set."""
    bits = f"{int.from_bytes(bitmap or b''):0{8 * len(bitmap or b'')}b}"
    return {shard for shard, bit in enumerate(bits[:shards]) if bit == "1"}


def _failed(fields: dict[bytes, bytes], shards: int) -> dict[int, str]:
    """Shards that failed, and why; a job written by hand can fail under a number that the batch does not have."""
    return {int(shard): why.decode() for shard, why in fields.items() if int(shard) < shards}


def _pace(entry: bytes) -> tuple[float, int]:
    moment, images = entry.decode().split(":")
    return float(moment), int(images)
