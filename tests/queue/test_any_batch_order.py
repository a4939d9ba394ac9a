"""Batches in any order of events: what was acknowledged ends, with every shard in its files or failed for a reason.

A worker may die at any command to Redis, before it is done or before its reply is read.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from redis import Redis
from redis.connection import ConnectionPool

from tests.queue.batch_driver import BatchWorker, Died, Mortal
from tests.queue.driver import MODEL
from tests.queue.order import Order, run_orders
from tests.support.valkey import running_valkey
from unikat.batches.spec import BatchSpec, Cell
from unikat.queue.batches.jobs import NoSuchBatch
from unikat.queue.batches.keys import BATCHES, creating_key
from unikat.queue.batches.progress import BatchProgress
from unikat.queue.batches.store import WrongState
from unikat.v1.batches_pb2 import Batch
from unikat_worker.active import ActiveClose, ActiveShard, Ending
from unikat_worker.batches.maintenance import Maintenance
from unikat_worker.sweeper import Sweeper

OWNERS = ("ann", "bob")
MOST = 2  # batches that have not ended: what happens then happens to them
# Sends and replies that a program still lives to see; most live on.
DEATH = st.one_of(st.none(), st.none(), st.none(), st.integers(0, 40))


@dataclass
class Asked:
    """What a caller was told of a batch. `failing`: shards that failed at least once, as far as anybody knows."""

    shards: int
    failing: set[int] = field(default_factory=set)
    is_cancelled: bool = False
    is_deleted: bool = False


class BatchOrder(Order):
    """Services, too: batches are created, called off, retried and deleted. Files outlive what Redis forgets."""

    def __init__(self) -> None:
        self.acknowledged: dict[str, Asked] = {}
        self.files: dict[str, set[int]] = defaultdict(set)
        self.manifests: dict[str, list[int]] = {}
        self.pools: list[ConnectionPool] = []
        super().__init__()
        self.sweeper._batches = Maintenance(self.redis, look_s=0.0)
        self.progress = BatchProgress(self.redis)
        self.store = self.progress.store

    def new_worker(self, name: str) -> BatchWorker:
        """See `Order`."""
        return BatchWorker(self.mortal(), name, self.sweeper)

    def mortal(self) -> Redis:
        """Connections of a program that may die."""
        self.pools.append(ConnectionPool(Mortal, path=self.path))
        return Redis(connection_pool=self.pools[-1])

    @property
    def path(self) -> str:
        """Of the server's socket."""
        return str(self.redis.get_connection_kwargs()["path"])

    @contextmanager
    def dying(self, data: st.DataObject, after: int | None, *, busy: bool = True) -> Iterator[BatchWorker]:
        """One of the workers, `busy`: that have something in hand; it may die in the block."""
        worker = cast(BatchWorker, data.draw(st.sampled_from([each for each in self.workers if each.hand or not busy])))
        Mortal.left = after
        try:
            yield worker
        except Died:
            self.bury(worker)
        finally:
            Mortal.left = None

    def new_batch(self) -> str:
        """An id that there never was."""
        self.name("batch")
        return f"{self.names:016x}"

    @rule(shards=st.integers(1, 2), owner=st.sampled_from(OWNERS), twice=st.booleans())
    @precondition(lambda self: self.open() < MOST)
    def create(self, shards: int, owner: str, twice: bool) -> None:
        batch = self.new_batch()
        for _ in range(1 + twice):
            assert self.store.create(batch, spec(batch, shards, owner), "content") == "content"
        self.acknowledged[batch] = Asked(shards)

    @rule(shards=st.integers(1, 2), after=st.integers(0, 40))
    @precondition(lambda self: self.open() < MOST)
    def die_creating(self, shards: int, after: int) -> None:
        batch = self.new_batch()
        store = BatchProgress(self.mortal()).store
        Mortal.left = after
        try:
            store.create(batch, spec(batch, shards, "ann"), "content")
            self.acknowledged[batch] = Asked(shards)
        except Died:
            if self.store.content(batch) is not None:  # only the answer was lost
                self.acknowledged[batch] = Asked(shards)
        finally:
            Mortal.left = None
            self.redis.delete(creating_key(batch))  # some seconds later

    @rule(data=st.data(), after=DEATH)
    @precondition(lambda self: self.workers)
    def take(self, data: st.DataObject, after: int | None) -> None:
        with self.dying(data, after, busy=False) as worker:
            worker.look()
            worker.take()

    @rule(data=st.data(), after=DEATH)
    @precondition(lambda self: any(worker.hand for worker in self.workers))
    def write(self, data: st.DataObject, after: int | None) -> None:
        with self.dying(data, after) as worker:
            for item in list(worker.hand)[:1]:
                worker.write(item, self.files, self.manifests)

    @rule(data=st.data(), after=DEATH, is_final=st.booleans())
    @precondition(lambda self: any(worker.hand for worker in self.workers))
    def fail(self, data: st.DataObject, after: int | None, is_final: bool) -> None:
        with self.dying(data, after) as worker:
            for item in [item for item in worker.hand if isinstance(item, ActiveShard)][:1]:
                if is_final:
                    self.redis.hset(f"rq:job:{item.id}", "retries_left", 0)
                for asked in [self.acknowledged[item.batch]] if item.batch in self.acknowledged else []:
                    asked.failing.add(item.job.shard)
                item.error, item.ending = ValueError("no ink"), Ending.FAILED
                worker.settle(item)

    @rule(data=st.data(), after=DEATH)
    @precondition(lambda self: any(worker.hand for worker in self.workers))
    def pause(self, data: st.DataObject, after: int | None) -> None:
        with self.dying(data, after) as worker:
            for item in list(worker.hand)[:1]:
                worker.settler.pause(item, "the disk is full", 0.0)
                item.ending = Ending.RETURNED
                worker.settle(item)

    @rule(data=st.data())
    @precondition(lambda self: self.acknowledged)
    def cancel(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(sorted(self.acknowledged)))
        with suppress(NoSuchBatch, WrongState):
            self.store.cancel(batch)
            self.acknowledged[batch].is_cancelled = True

    @rule(data=st.data())
    @precondition(lambda self: self.open() < len(self.acknowledged))
    def retry(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(sorted(self.acknowledged)))
        with suppress(NoSuchBatch, WrongState):
            self.store.retry(batch)

    @rule(data=st.data())
    @precondition(lambda self: self.open() < len(self.acknowledged))
    def delete(self, data: st.DataObject) -> None:
        batch = data.draw(st.sampled_from(sorted(self.acknowledged)))
        with suppress(NoSuchBatch, WrongState):
            self.store.delete(batch)
            self.acknowledged[batch].is_deleted = True

    @rule()
    def time_passes(self) -> None:
        """Shards that are to be tried again are due, and what was given up is forgotten."""
        for key in cast("list[bytes]", self.redis.keys("rq:scheduled:*")):
            for job in cast("list[bytes]", self.redis.zrange(key, 0, -1)):
                self.redis.zadd(key, {job: 0})
        self.store.forget_unfinished()

    @invariant()
    def what_counts_as_written_is_in_its_files(self) -> None:
        for batch, asked in self.acknowledged.items():
            records = self.store.read_many([batch])
            assert bool(records) != asked.is_deleted, f"{batch} is gone" if not records else f"{batch} is back"
            for record in records:
                written = set(self.store.written(record))
                assert written <= self.files[batch]
                assert not written & set(record.failed)
                assert set(record.failed) <= asked.failing
                assert record.is_cancelled >= asked.is_cancelled

    def open(self) -> int:
        """Batches that have not ended."""
        return sum(not record.has_ended for record in self.store.read_many(list(self.acknowledged)))

    def teardown(self) -> None:
        self.leave_one()
        for _ in range(30):
            self.time_passes()
            self.sweep()
            (worker,) = self.workers
            worker.look()
            while worker.take() is not None:
                continue
            for item in list(worker.hand):
                worker.write(item, self.files, self.manifests)
        self.what_counts_as_written_is_in_its_files()
        for batch, asked in self.acknowledged.items():
            if asked.is_deleted:
                self.is_forgotten(batch)
            else:
                self.has_ended(batch, asked)
        for pattern in ("rq:wip:*", "rq:queue:*", "rq:scheduled:*", "unikat:batches:of:*"):
            assert not self.redis.keys(pattern), self.redis.keys(pattern)
        assert self.redis.zcard(BATCHES) == sum(not asked.is_deleted for asked in self.acknowledged.values())
        for pool in self.pools:
            pool.disconnect()

    def has_ended(self, batch: str, asked: Asked) -> None:
        """With every shard in its files and in the manifest, or failed, unless it was called off."""
        record = self.store.read(batch)
        written = self.store.written(record)
        assert record.has_ended, f"{batch} goes on for ever"
        assert self.manifests[batch] == written
        if record.is_cancelled:
            assert asked.is_cancelled
        else:
            assert {*written, *record.failed} == {*range(asked.shards)}
            assert record.state == (Batch.STATE_FAILED if record.failed else Batch.STATE_SUCCEEDED)

    def is_forgotten(self, batch: str) -> None:
        """Nothing of it stays that does not expire."""
        keys = cast("list[bytes]", self.redis.keys(f"*{batch}*"))
        assert [key for key in keys if self.redis.ttl(key) == -1] == []


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """Of all runs: each begins by flushing it."""
    with running_valkey() as server, server.client() as client:
        yield client


# A pipeline of a program that died wants to say UNWATCH, and cannot.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_batches_end_whole_in_any_order(redis: Redis, monkeypatch: pytest.MonkeyPatch, is_long: bool) -> None:
    run_orders(BatchOrder, redis, monkeypatch, 500 if is_long else 25)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_dies_while_it_ends_a_batch_leaves_nothing_in_rq(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BatchOrder, "redis", redis, raising=False)
    for lives in range(40):
        order = BatchOrder()
        order.create(shards=1, owner="ann", twice=False)
        (worker,) = order.workers
        for _ in range(2):  # the shard, and what closes the batch
            item = worker.take()
            if isinstance(item, ActiveClose):
                Mortal.left = lives
            try:
                worker.write(item, order.files, order.manifests)
            except Died:
                order.bury(worker)
            Mortal.left = None
        order.teardown()


def spec(batch: str, shards: int, owner: str) -> BatchSpec:
    """Shards of one image."""
    return BatchSpec(
        model="tiny@1", digest="sha256:" + MODEL.partition(".")[2].ljust(64, "0"), seed=1, truncation=0.8,
        image_format=2, layout=1, cells=(Cell({}, shards),), destination=f"file:///out/{batch}", shard_size=1,
        owner=owner,
    )  # fmt: skip


def test_a_batch_does_not_end_while_somebody_has_a_job_of_it(redis: Redis) -> None:
    """As where Redis came back as it was a moment ago, and a worker goes on as if a shard were through by now."""
    sweeper = Sweeper(redis, lease_s=1, max_crashes=3, result_ttl_s=600)
    one, other = (BatchWorker(redis, name, sweeper) for name in ("one", "other"))
    progress = BatchProgress(redis)
    progress.store.create("a" * 16, spec("a" * 16, 1, "ann"), "content")
    shard = one.take()
    progress.store.cancel("a" * 16)
    close = other.take()
    assert isinstance(shard, ActiveShard)
    assert isinstance(close, ActiveClose)
    close.ending = Ending.FINISHED
    other.settle(close)
    assert progress.active() == ["a" * 16], "its queue is swept until the shard is through"
    one.look()
    assert progress.reconcile("a" * 16) == []
    again = other.take()
    assert isinstance(again, ActiveClose)
    again.ending = Ending.FINISHED
    other.settle(again)
    assert progress.active() == []
    assert not redis.keys("rq:wip:*")
