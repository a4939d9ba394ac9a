"""A batch that busy workers keep changing can be called off all the same."""

from __future__ import annotations

import threading

from redis import Redis

from tests.service.batch_hand import BatchHand, spec_of
from tests.support.processes import eventually
from unikat.queue.batches.jobs import batch_queue

SHARDS = 5000


def test_workers_that_take_shard_after_shard_do_not_hold_a_cancellation_up(redis: Redis) -> None:
    hand, done = BatchHand(redis), threading.Event()
    store = hand.store
    store.create("b1", spec_of("a", 4 * SHARDS), "content")

    def work() -> None:
        shard = 0
        while not done.is_set() and hand.take() is not None:
            hand.written("b1", shard, 4)
            shard += 1

    worker = threading.Thread(target=work)
    worker.start()
    try:
        eventually(lambda: store.read("b1").done > 2)
        store.cancel("b1")
        left = redis.lrange(batch_queue(redis, "b1").key, 0, -1)
    finally:
        done.set()
        worker.join()
    drawn = store.read("b1").done
    assert 0 < drawn < SHARDS, "cancelled in the middle"
    assert left in ([b"b-b1-close-0"], []), "nothing waits but the end"
    waiting = list(redis.scan_iter("rq:job:b-b1-0*", count=1000))
    assert len(waiting) <= drawn + 1, "the jobs that waited are gone"
