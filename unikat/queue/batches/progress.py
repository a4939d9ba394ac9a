"""How far batches are: what workers take, settle and end.

A shard is done in the same step in which RQ hears that its job is finished; it failed, and a batch has ended, after RQ
has heard: a worker that dies in between leaves a batch that `reconcile` looks after.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, cast
from uuid import uuid4

from redis import Redis
from redis.client import Pipeline
from rq.job import Job

from unikat.batches import record as r
from unikat.batches.spec import DRAW_SHARD, BatchSpec
from unikat.queue.batches.jobs import (
    batch_queue,
    enqueue_close,
    enqueue_whole,
    is_short,
    shard_fields,
    shard_payload,
    transact,
    watched_fields,
)
from unikat.queue.batches.keys import (
    OF_OWNER,
    OWNERS,
    batch_key,
    done_key,
    failed_key,
    shard_of,
)
from unikat.queue.batches.reading import DAMAGED
from unikat.queue.batches.store import BatchStore
from unikat.queue.clock import redis_time
from unikat.queue.draws import RECORD_TTL, Completion, Taken, run_script, taken_from

_PACE_KEPT: Final = 64
_SPECS_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class TakenOfBatch:
    """A job of a batch that this worker has begun, and what is known of the batch.

    `head` is the batch's as JSON, empty for one that was deleted; `cancelled` the Unix time (s) at which it was called
    off, or empty; `written` are shards in their files, `is_written`: the job's is.
    """

    job: Taken
    batch: str
    head: bytes
    shards: int
    round: int
    cancelled: bytes
    has_ended: bool
    written: int
    is_written: bool


class BatchProgress:
    """All batches, as a worker keeps account of them. Thread-safe; everything here blocks."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.store = BatchStore(redis)
        self._fields = shard_fields(redis)
        self._specs: OrderedDict[tuple[str, bytes], BatchSpec] = OrderedDict()  # used by the thread that takes

    def take(self, worker: str, without_owners: Iterable[str] = (), without: Iterable[str] = ()) -> TakenOfBatch | None:
        """The next shard by the owners' turns, or the job that closes a batch; a worker has begun it.

        Not of certain owners, nor of the batches `without`.
        """
        left_out = [*(f"owner {owner}" for owner in without_owners), *(f"batch {batch}" for batch in without)]
        begun = (worker, RECORD_TTL, uuid4().hex)
        reply = run_script("next_shard", self.redis, *begun, len(self._fields) // 2, *self._fields, *left_out)
        if not reply:
            return None
        batch, head, shards, cancelled, ended, round, written, is_written, job, content = reply
        return TakenOfBatch(
            job=self._filled_in(taken_from(job), batch.decode(), content if head else b""),
            batch=batch.decode(),
            head=head,
            shards=int(shards or 0),
            round=int(round or 0),
            cancelled=cancelled,
            has_ended=bool(ended),
            written=written,
            is_written=bool(is_written),
        )

    def _filled_in(self, job: Taken, batch: str, content: bytes) -> Taken:
        """The job with its whole payload, which workers of the release before need if this one is lost with it.

        As it is where it was whole, and where the batch (of that `content`; empty: none) was deleted.
        """
        shard = shard_of(batch, job.id)
        if shard is None or not content or not is_short(job.data, batch, shard):
            return job
        try:
            payload, text = shard_payload(batch, self._spec(batch, content), shard)
        except (*DAMAGED, IndexError):  # deleted, or written by hand: admission refuses the short payload
            return job
        data = json.dumps([DRAW_SHARD, None, [], payload]).encode()
        self.redis.hset(Job.key_for(job.id), mapping={"data": data, "description": text})
        return replace(job, data=data)

    def _spec(self, batch: str, content: bytes) -> BatchSpec:
        """What a batch draws, kept of the few whose shards were taken last. Raises NoSuchBatch."""
        key = (batch, content)
        if key not in self._specs:
            self._specs[key] = self.store.spec(batch)
        self._specs.move_to_end(key)
        while len(self._specs) > _SPECS_KEPT:
            self._specs.popitem(last=False)
        return self._specs[key]

    def finish(self, worker: str, taken: TakenOfBatch, images: int, done: Completion, refused: int = 0) -> str:
        """The job's files are there: its shard counts as written, and RQ hears of it. Twice is as good as once.

        `images` are the shard's, `refused` those of them that have no file. Returns what RQ was told: "finished", or as
        `publish.lua` says.
        """
        job, shard = taken.job, None if taken.is_written else shard_of(taken.batch, taken.job.id)
        of_batch = (taken.batch, "" if shard is None else shard, images, refused, _PACE_KEPT)
        rq = (job.id, job.queue, job.execution, *done.arguments)
        state, may_be_closed = run_script("finish_shard", self.redis, worker, *of_batch, *rq)
        if may_be_closed or taken.is_written:
            self.close_if_settled(taken.batch)
        return cast(bytes, state).decode()

    def active(self) -> list[str]:
        """The batches that have not ended."""
        owners = cast(list[bytes], self.redis.lrange(OWNERS, 0, -1))
        with self.redis.pipeline(transaction=False) as pipe:
            for owner in owners:
                pipe.lrange(OF_OWNER + owner.decode(errors="replace"), 0, -1)
            return [batch.decode(errors="replace") for batches in pipe.execute() for batch in batches]

    def digests(self) -> set[str]:
        """Of the models of batches that have not ended; those that are damaged in Redis are left out."""
        with self.redis.pipeline(transaction=False) as pipe:
            for batch in self.active():
                pipe.hget(batch_key(batch), r.HEAD)
            heads = pipe.execute()
        found = set()
        for head in heads:
            with suppress(*DAMAGED):
                found.add(BatchSpec.from_json(head or b"", "[]").digest)
        return found

    def is_done(self, batch: str, shard: int) -> bool:
        """Whether a shard is written."""
        return bool(self.redis.getbit(done_key(batch), shard))

    def mark_failed(self, redis: Redis | Pipeline, batch: str, shard: int, why: str) -> None:
        """A shard failed for good; to be called after RQ was told, so that a crash in between loses nothing.

        Not so for a shard that another worker has written meanwhile: it would be counted twice.
        """
        run_script("fail_shard", redis, batch, shard, why)

    def pause(self, batch: str, why: str, seconds: float) -> None:
        """The destination does not work: for so long, workers take no shard of the batch."""
        before = cast(bytes | None, self.redis.hget(batch_key(batch), r.PAUSED))
        moment = redis_time(self.redis)
        with self.redis.pipeline() as pipe:
            pipe.hset(batch_key(batch), mapping={r.PAUSED: why, r.PAUSED_UNTIL: str(moment + seconds)})
            pipe.hsetnx(batch_key(batch), r.PAUSED_SINCE, str(moment))
            if before is None or before.decode() != why:
                pipe.hincrby(batch_key(batch), r.REVISION, 1)
            pipe.execute()

    def close_if_settled(self, batch: str) -> bool:
        """If every shard is written or failed, enqueue the job that writes the manifest. Twice is as good as once.

        False for a batch that has ended, has shards that are neither, or was deleted.
        """
        round = cast(bytes | None, self.redis.hget(batch_key(batch), r.ROUND))
        return round is not None and enqueue_close(self.redis, batch, int(round))

    def end(self, batch: str, round: int, manifest: str) -> bool:
        """The manifest is written and nothing more is to come; False if that was known, or of an earlier round.

        False too if there are jobs of it: a Redis that went back a moment may have some that were through.
        The batch goes on then, and `reconcile` has it closed again; once it has ended, nobody looks for its jobs.
        """
        places, registries = self._in_rq(batch)

        def attempt(pipe: Pipeline) -> bool:
            pipe.watch(batch_key(batch), *places, *registries)
            fields = watched_fields(pipe, batch)
            if r.ENDED in fields or int(fields.get(r.ROUND, 0)) != round or _is_busy(pipe, places, registries):
                return False
            owner = BatchSpec.from_json(fields[r.HEAD], "[]").owner
            moment = redis_time(pipe)
            pipe.multi()
            pipe.hset(batch_key(batch), mapping={r.ENDED: str(moment), r.MANIFEST: manifest})
            pipe.hdel(batch_key(batch), r.PAUSED, r.PAUSED_SINCE, r.PAUSED_UNTIL)
            pipe.hincrby(batch_key(batch), r.REVISION, 1)
            pipe.lrem(OF_OWNER + owner, 0, batch)
            pipe.execute()
            return True

        if self.redis.hexists(
            batch_key(batch), r.CANCELLED
        ):  # its canceller may have died before it dropped what waits
            self.store.drop(batch)
        return transact(self.redis, attempt)

    def reconcile(self, batch: str) -> list[int]:
        """Enqueue the shards of a batch that are neither written, nor failed, nor anywhere in RQ; returns them.

        There are none unless somebody emptied the queue by hand, or Redis lost what it had acknowledged. To be called
        when the batch has had nothing in RQ for a while, because shards on their way have a moment in between.
        """
        queue = batch_queue(self.redis, batch)
        places, registries = self._in_rq(batch)

        def attempt(pipe: Pipeline) -> list[int]:
            pipe.watch(batch_key(batch), done_key(batch), failed_key(batch), *places, *registries)
            record = self.store.read(batch)
            if record.has_ended or _is_busy(pipe, places, registries):
                return []
            if record.is_settled or record.is_cancelled:
                enqueue_close(self.redis, batch, record.round, again=True)
                return []
            missing = sorted({*range(record.shards)} - {*record.failed, *self.store.written(record)})
            spec = self.store.spec(batch)
            pipe.multi()
            enqueue_whole(pipe, queue, batch, spec, missing)
            pipe.execute()
            return missing

        return transact(self.redis, attempt)

    def _in_rq(self, batch: str) -> tuple[tuple[str, str], tuple[str, str]]:
        """Keys of the lists and of the sorted sets with jobs of a batch that are not through."""
        queue = batch_queue(self.redis, batch)
        lists = queue.key, queue.intermediate_queue_key
        return lists, (queue.started_job_registry.key, queue.scheduled_job_registry.key)


def _is_busy(pipe: Pipeline, lists: Iterable[str], registries: Iterable[str]) -> bool:
    """Whether there is anything in one of them; the pipeline watches."""
    return any(pipe.llen(each) for each in lists) or any(pipe.zcard(each) for each in registries)
