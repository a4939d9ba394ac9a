"""What a batch takes of Redis, measured; and that nothing grows by names that are gone."""

from __future__ import annotations

import asyncio
import time
from typing import cast

from redis import Redis

from tests.queue.driver import MODEL, draw_job, enqueue_arguments, enqueue_head, run
from tests.service.batch_hand import BatchHand, spec_of
from tests.service.by_hand import ByHand, described
from tests.support.tiny_model import tiny_model
from tests.support.valkey import Valkey
from unikat.queue.batches.budget import bytes_of
from unikat.queue.batches.keys import batch_id_of
from unikat.queue.connection import Connection
from unikat.queue.draws import ring
from unikat.queue.keys import queue_name, queues_key
from unikat.queue.registry import forget_announcements
from unikat.queue.workers import MODELS_KEY, WORKERS_KEY, WorkerStatus, worker_key
from unikat_service.catalogue import Catalogue


def taken_by(redis: Redis, batch: str) -> int:
    """Bytes of the keys of a batch."""
    return sum(cast(int, redis.memory_usage(key, samples=0)) for key in redis.keys(f"*{batch}*"))


def test_a_shard_that_waits_takes_less_than_thirty_bytes(redis: Redis) -> None:
    hand = BatchHand(redis)
    for shards in (1, 10_000):
        spec, batch = spec_of(f"to{shards}", shards, shard_size=1), batch_id_of(f"{shards}")
        hand.store.create(batch, spec, "c" * 64)
        taken = taken_by(redis, batch)
        counted = bytes_of(*spec.to_json(), spec.shard_count)
        print(f"{shards} shards: {taken} bytes, counted as {counted}")
        assert taken <= counted, "what is counted is not less than what is taken"
        assert taken < 3000 + 30 * shards


def test_jobs_of_shards_are_whole_when_a_worker_has_them(redis: Redis) -> None:
    hand = BatchHand(redis)
    spec = spec_of("to", 3, 7)
    hand.store.create("b1", spec, "content")
    assert not redis.keys("rq:job:*")
    assert [hand.take_shard() for _ in range(3)] == [spec.shard_job("b1", shard) for shard in range(3)]


def test_what_thousands_of_workers_announced_is_forgotten_with_them(redis: Redis) -> None:
    for number in range(3000):
        name, digest = f"worker-{number}", f"sha256:{number}"
        redis.hset(MODELS_KEY, digest, "{}")
        if number < 10:
            status = WorkerStatus(name, {"tiny@1": digest}, "cpu", "", "", 1.0, 1.0, time.time())
            redis.set(worker_key(name), status.to_json())
            redis.zadd(WORKERS_KEY, {name: time.time()})
    unserved = forget_announcements(redis, set())
    assert redis.hlen(MODELS_KEY) == 3000, "a worker may be starting"
    assert len(unserved) == 2990
    forget_announcements(redis, unserved)
    assert redis.hlen(MODELS_KEY) == 10


def test_queues_of_thousands_of_callers_are_forgotten_when_they_are_empty(redis: Redis) -> None:
    for number in range(2000):
        queue = queue_name(MODEL, f"caller-{number}")
        run(redis, "enqueue", *enqueue_head(), *enqueue_arguments(f"j{number}", draw_job(), queue=queue))
        redis.sadd(f"rq:workers:{queue}", "killed")
        redis.delete(f"rq:queue:{queue}")
    redis.delete(*redis.keys("rq:job:*"), *redis.keys("unikat:calls:*"))
    ring(redis, MODEL)
    assert not redis.exists(queues_key(MODEL))
    assert not redis.keys("rq:workers:*")


def test_a_service_forgets_models_that_nobody_serves(valkey: Valkey, redis: Redis) -> None:
    async def sizes() -> set[tuple[int, int]]:
        connection, seen = Connection(valkey.url, "test"), set()
        catalogue = Catalogue(connection, grace=0.0)
        for number in range(100):
            hand = ByHand(redis)
            hand.announce(*(described(tiny_model(f"m{number}-{each}")) for each in range(20)))
            await catalogue.refresh()
            assert len(catalogue.snapshot.models) == 20
            seen.add((len(catalogue._parsed), len(catalogue._names)))
        await connection.close()
        return seen

    assert asyncio.run(sizes()) == {(20, 20)}
