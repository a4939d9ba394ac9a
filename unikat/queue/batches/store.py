"""Batches in Redis: created, read, cancelled, retried, deleted. Thread-safe; everything here blocks.

What must happen together happens in one transaction; what may happen twice, because a process died in between, is such
that twice is as good as once.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final, cast

from redis import Redis
from redis.client import Pipeline
from rq.job import Job

from unikat.batches import record as r
from unikat.batches.record import BatchRecord
from unikat.batches.spec import BatchSpec
from unikat.queue.batches.budget import Allowance, BudgetSpent, bytes_of
from unikat.queue.batches.jobs import (
    NoSuchBatch,
    batch_queue,
    enqueue_close,
    enqueue_shards,
    enter_turns,
    transact,
    watched_fields,
)
from unikat.queue.batches.keys import (
    BATCHES,
    DESTINATIONS,
    OF_OWNER,
    OWNERS,
    QUEUE_PREFIX,
    batch_key,
    cells_key,
    creating_key,
    destination_key,
    done_key,
    failed_key,
    pace_key,
    queue_name,
    refused_key,
    shard_job_id,
)
from unikat.queue.batches.places import DestinationTaken, around, inside
from unikat.queue.batches.reading import DAMAGED, ended_before, failed_shards, left_of, record_of, written_shards
from unikat.queue.clock import redis_time
from unikat.queue.draws import run_script
from unikat.queue.keys import QUEUES_KEY
from unikat.queue.replicas import wait_for_replica
from unikat.queue.scripts import Argument

# Jobs that one round trip writes or deletes: between two of them, Redis does what others want.
_SLICE: Final = 200
_EXPIRED_LOOK: Final = 250  # batches looked at in one round trip

log = logging.getLogger(__name__)


class WrongState(Exception):
    """The batch is in a state in which this cannot be done; the message says in which, and what can."""


class BatchStore:
    """All batches. Methods raise what redis-py raises."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis

    def create(self, batch: str, spec: BatchSpec, content: str, allowance: Allowance = Allowance()) -> str:  # noqa: B008  # immutable
        """Queue a batch, whole or not at all; `content` is a digest of the request.

        Returns the content of the batch of this id: what was given, or, if there is one already, that one's; a replica,
        if there is one, has it by then. Raises DestinationTaken and BudgetSpent.
        """
        head, cells = spec.to_json()
        budgets = [limit for of in (allowance.own, allowance.all) for limit in (of.open, of.bytes, of.seconds)]
        size = bytes_of(head, cells, spec.shard_count)
        facts = (batch, spec.owner, spec.destination, size, f"{allowance.seconds(spec):.3f}", *budgets)
        outer, inner = around(spec.destination), inside(spec.destination)
        described: list[Argument] = [head, cells, content, spec.total, spec.shard_count, len(outer)]
        state, *found = cast(list[bytes], run_script("create_batch", self.redis, *facts, *described, *outer, *inner))
        if state == b"taken":
            raise DestinationTaken(*(each.decode() for each in found))
        if state == b"refused":
            what, whose, used, limit = (each.decode() for each in found)
            raise BudgetSpent(what, whose, int(used), float(limit))
        wait_for_replica(self.redis, batch_key(batch))
        return found[0].decode()

    def work_left(self) -> float:
        """Seconds of work that are left of open batches, as `create_batch.lua` counts them."""
        owners = cast(list[bytes], self.redis.lrange(OWNERS, 0, -1))
        pipe = self.redis.pipeline(transaction=False)
        for owner in owners:
            pipe.lrange(OF_OWNER + owner.decode(errors="replace"), 0, -1)
        batches = [batch.decode(errors="replace") for found in pipe.execute() for batch in found]
        for batch in batches:
            pipe.hmget(batch_key(batch), "seconds", r.SHARDS)
            pipe.bitcount(done_key(batch))
        replies = iter(pipe.execute())
        found = zip(*[replies] * 2, strict=True)
        return sum(left_of(seconds, shards, done) for (seconds, shards), done in found)

    def drop(self, batch: str) -> None:
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
                pipe.hgetall(refused_key(batch))
            replies = iter(pipe.execute())
        records = []
        for batch, raw, *rest in zip(batches, *[replies] * 5, strict=True):
            if r.HEAD.encode() not in raw:
                continue
            try:
                records.append(record_of(batch, raw, *rest))
            except DAMAGED as error:
                log.warning("batch %s: what Redis holds of it is damaged: %s: %s", batch, type(error).__name__, error)
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
        return sorted(written_shards(cast(bytes | None, self.redis.get(done_key(record.id))), record.shards))

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
                self.drop(batch)
                enqueue_close(self.redis, batch, int(round))

    def retry(self, batch: str) -> None:
        """Enqueue what failed once more. Raises NoSuchBatch, and WrongState unless the batch has ended so."""
        spec = self.spec(batch)
        queue = batch_queue(self.redis, batch)

        def attempt(pipe: Pipeline) -> None:
            pipe.watch(batch_key(batch), failed_key(batch))
            fields = watched_fields(pipe, batch)
            failed = sorted(
                failed_shards(cast(dict[bytes, bytes], pipe.hgetall(failed_key(batch))), int(fields[r.SHARDS]))
            )
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
            enqueue_shards(pipe, queue, batch, failed)
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
            spec = BatchSpec.from_json(fields[r.HEAD], "[]")
            jobs = [job for each in registries for job in cast(list[bytes], pipe.zrange(each.key, 0, -1))]
            jobs += [job for place in lists for job in cast(list[bytes], pipe.lrange(place, 0, -1))]
            pipe.multi()
            pipe.delete(*(registry.key for registry in registries), *lists)
            pipe.delete(*(key(batch) for key in (batch_key, cells_key, done_key, failed_key, pace_key, refused_key)))
            pipe.srem(queue.redis_queues_keys, queue.key)
            pipe.zrem(BATCHES, batch)
            pipe.delete(destination_key(spec.destination))
            pipe.zrem(DESTINATIONS, spec.destination)
            run_script("batch_bytes", pipe, spec.owner, int(fields.get(r.BYTES, 0)))
            pipe.execute()
            return jobs

        jobs = [Job.key_for(job.decode(errors="replace")) for job in transact(self.redis, attempt)]
        for first in range(0, len(jobs), _SLICE):  # who dies here leaves them to expire
            self.redis.delete(*jobs[first : first + _SLICE])

    def expire(self, seconds: float) -> list[str]:
        """Forget batches that ended at least `seconds` ago; their files stay. Returns them."""
        before = redis_time(self.redis) - seconds
        expired: list[str] = []
        first = 0
        while True:  # who ended so long ago was created before that
            found = cast(
                list[bytes],
                self.redis.zrange(BATCHES, "-inf", before, byscore=True, offset=first, num=_EXPIRED_LOOK),
            )
            with self.redis.pipeline(transaction=False) as pipe:
                for created in found:
                    pipe.hget(batch_key(created.decode(errors="replace")), r.ENDED)
                ends = pipe.execute()
            due = [b.decode(errors="replace") for b, end in zip(found, ends, strict=True) if ended_before(end, before)]
            due = [ended for ended in due if self._forget(ended)]
            expired += due
            first += len(found) - len(due)
            if len(found) < _EXPIRED_LOOK:
                return expired

    def _forget(self, batch: str) -> bool:
        """Delete an ended batch; False where it stays, since its owner retries it or what Redis holds is damaged."""
        try:
            self.delete(batch)
        except NoSuchBatch:  # another service was faster
            return True
        except WrongState:
            return False
        except DAMAGED as error:
            log.warning("batch %s: what Redis holds of it is damaged: %s: %s", batch, type(error).__name__, error)
            return False
        return True

    def forget_unfinished(self) -> None:
        """Delete what a creation of the release before has left that was given up before the batch was there."""
        for key in cast(set[bytes], self.redis.smembers(QUEUES_KEY)):
            name = key.decode(errors="replace").removeprefix("rq:queue:")
            batch = name.removeprefix(QUEUE_PREFIX)
            if batch != name and not self.redis.exists(batch_key(batch), creating_key(batch)):
                self.drop(batch)
                self.redis.srem(QUEUES_KEY, key)
