"""Batches in Redis: created, read, cancelled, retried, deleted. Thread-safe; everything here blocks.

What must happen together happens in one transaction; what may happen twice, because a process died in between, is such
that twice is as good as once.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from typing import Final, cast

from redis import Redis
from redis.client import Pipeline
from rq.job import Job

from unikat.batches import record as r
from unikat.batches.enqueue import (
    NoSuchBatch,
    batch_queue,
    enqueue_close,
    enqueue_shards,
    enter_turns,
    text_of,
    transact,
    watched_fields,
)
from unikat.batches.keys import (
    BATCHES,
    OF_OWNER,
    batch_key,
    cells_key,
    destination_key,
    done_key,
    failed_key,
    pace_key,
    shard_job_id,
)
from unikat.batches.record import BatchRecord
from unikat.batches.spec import BatchSpec

# A script and no WATCH: workers change the batch and its queue so often that a transaction might never get through.
# KEYS: batch, queue, scheduled jobs. ARGV: batch id, time, prefix of jobs, prefix of owners' batches.
# Returns the round that is to be closed, or why there is nothing to do.
_CANCEL: Final = """
local head = redis.call("HGET", KEYS[1], "{head}")
if not head then return "missing" end
if redis.call("HEXISTS", KEYS[1], "{cancelled}") == 1 then return "cancelled" end
if redis.call("HEXISTS", KEYS[1], "{ended}") == 1 then return "ended" end
redis.call("HSET", KEYS[1], "{cancelled}", ARGV[2])
redis.call("HDEL", KEYS[1], "{paused}", "{since}", "{until}")
redis.call("HINCRBY", KEYS[1], "{revision}", 1)
for _, job in ipairs(redis.call("LRANGE", KEYS[2], 0, -1)) do redis.call("DEL", ARGV[3] .. job) end
for _, job in ipairs(redis.call("ZRANGE", KEYS[3], 0, -1)) do redis.call("DEL", ARGV[3] .. job) end
redis.call("DEL", KEYS[2], KEYS[3])
local of_owner = ARGV[4] .. cjson.decode(head).owner
redis.call("LREM", of_owner, 0, ARGV[1])
redis.call("LPUSH", of_owner, ARGV[1]) -- its end does not wait for the owner's older batches
return redis.call("HGET", KEYS[1], "{round}") or "0"
"""


class DestinationTaken(Exception):
    """Another batch writes to the destination. `batch` is its id."""

    def __init__(self, batch: str) -> None:
        super().__init__(f"batch {batch} writes there")
        self.batch = batch


class WrongState(Exception):
    """The batch is in a state in which this cannot be done; the message says in which, and what can."""


class BatchStore:
    """All batches. Methods raise what redis-py raises."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        names = {
            "head": r.HEAD, "cancelled": r.CANCELLED, "ended": r.ENDED, "paused": r.PAUSED, "since": r.PAUSED_SINCE,
            "until": r.PAUSED_UNTIL, "revision": r.REVISION, "round": r.ROUND,
        }  # fmt: skip
        self._cancel = redis.register_script(re.sub(r"\{(\w+)\}", lambda name: names[name[1]], _CANCEL))

    def create(self, batch: str, spec: BatchSpec, content: str) -> str:
        """Queue a batch, whole or not at all; `content` is a digest of the request.

        Returns the content of the batch of this id: what was given, or, if there is one already, that one's. Raises
        DestinationTaken.
        """
        queue = batch_queue(self.redis, batch)
        taken = destination_key(spec.destination)

        def attempt(pipe: Pipeline) -> str:
            pipe.watch(batch_key(batch), taken)
            # In this order: a twin of this call that is faster is seen as the same batch, not as one in the way.
            holder = cast(bytes | None, pipe.get(taken))
            there = cast(bytes | None, pipe.hget(batch_key(batch), r.CONTENT))
            if there is not None:
                return there.decode()
            if holder is not None and holder.decode() != batch:
                raise DestinationTaken(holder.decode())
            moment = time.time()
            head, cells = spec.to_json()
            shards = spec.shard_count
            pipe.multi()
            # What a worker may have left that was slow to hear of the deletion of a batch with the same request_id.
            pipe.delete(*(key(batch) for key in (batch_key, done_key, failed_key, pace_key)))
            pipe.hset(
                batch_key(batch),
                mapping={
                    r.HEAD: head, r.CONTENT: content, r.TOTAL: spec.total, r.SHARDS: shards, r.CREATED: moment,
                    r.ROUND: 0, r.REVISION: 1,
                },
            )  # fmt: skip
            pipe.set(cells_key(batch), cells)
            pipe.zadd(BATCHES, {batch: moment})
            pipe.set(taken, batch)
            enter_turns(pipe, batch, spec.owner)
            enqueue_shards(pipe, queue, batch, spec, range(shards))
            pipe.execute()
            return content

        return transact(self.redis, attempt)

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
                pipe.bitcount(done_key(batch))
                pipe.hgetall(failed_key(batch))
                pipe.lrange(pace_key(batch), 0, -1)
            replies = iter(pipe.execute())
            found = []
            for batch, fields, done, failed, pace in zip(batches, replies, replies, replies, replies, strict=True):
                if r.HEAD.encode() in fields:
                    found.append((batch, text_of(fields), done, failed, pace))
            for batch, fields, *_ in found:
                pipe.getbit(done_key(batch), int(fields[r.SHARDS]) - 1)
            last = pipe.execute()
        return [
            BatchRecord(
                id=batch,
                fields=fields,
                done=done,
                last_done=bool(last_done),
                failed=_failed(failed, int(fields[r.SHARDS])),
                pace=[_pace(entry) for entry in pace],
            )
            for (batch, fields, done, failed, pace), last_done in zip(found, last, strict=True)
        ]

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
        bitmap = cast(bytes | None, self.redis.get(done_key(record.id))) or b""
        bits = f"{int.from_bytes(bitmap):0{8 * len(bitmap)}b}"
        return [shard for shard, bit in enumerate(bits[: record.shards]) if bit == "1"]

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
        queue = batch_queue(self.redis, batch)
        keys = [batch_key(batch), queue.key, queue.scheduled_job_registry.key]
        reply = cast(bytes, self._cancel(keys=keys, args=[batch, str(time.time()), Job.key_for(""), OF_OWNER]))
        match reply.decode():
            case "missing":
                raise NoSuchBatch(batch)
            case "ended":
                raise WrongState(f"batch {batch} has ended already; there is nothing to cancel")
            case "cancelled":
                return
            case round:  # whoever dies here leaves it to `Ledger.reconcile`
                with self.redis.pipeline() as pipe:
                    enqueue_close(pipe, queue, batch, int(round))
                    pipe.execute()

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

        def attempt(pipe: Pipeline) -> None:
            pipe.watch(batch_key(batch))
            fields = watched_fields(pipe, batch)
            if r.ENDED not in fields:
                raise WrongState(f"batch {batch} has not ended; cancel it, and wait for its manifest")
            destination = BatchSpec.from_json(fields[r.HEAD], "[]").destination
            jobs = [
                job.decode(errors="replace")
                for reg in registries
                for job in cast(list[bytes], pipe.zrange(reg.key, 0, -1))
            ]
            jobs += [
                job.decode(errors="replace") for place in lists for job in cast(list[bytes], pipe.lrange(place, 0, -1))
            ]
            pipe.multi()
            for job_id in jobs:
                pipe.delete(Job.key_for(job_id))
            pipe.delete(*(registry.key for registry in registries), *lists)
            pipe.delete(*(key(batch) for key in (batch_key, cells_key, done_key, failed_key, pace_key)))
            pipe.srem(queue.redis_queues_keys, queue.key)
            pipe.zrem(BATCHES, batch)
            pipe.delete(destination_key(destination))
            pipe.execute()

        transact(self.redis, attempt)


def _failed(fields: dict[bytes, bytes], shards: int) -> dict[int, str]:
    """Shards that failed, and why; a job written by hand can fail under a number that the batch does not have."""
    return {int(shard): why.decode() for shard, why in fields.items() if int(shard) < shards}


def _pace(entry: bytes) -> tuple[float, int]:
    moment, images = entry.decode().split(":")
    return float(moment), int(images)
