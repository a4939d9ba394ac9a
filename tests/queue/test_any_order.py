"""Any script may run twice, any reply may be lost, any worker may die, and Redis may go back in time: in any order.

Hypothesis composes the orders; scripts, settlement, sweep and heartbeat are the real ones on a real Valkey.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.queue.driver import MODEL, Driver, draw_job, enqueue, publish_all, run, take_jobs
from tests.queue.order import Order, run_orders, status_of
from tests.support.valkey import running_valkey
from unikat.queue.draws import ring
from unikat.queue.job import Limits
from unikat.queue.stream import END_ID, STATUS, stream_key
from unikat_worker.active import ActiveJob, Ending
from unikat_worker.admission import admit
from unikat_worker.heartbeat import Heartbeat, Said
from unikat_worker.publication import publication, take_in
from unikat_worker.state import State
from unikat_worker.statuses import stopped_status
from unikat_worker.sweeper import Sweeper

COUNT = 6  # images of each job, published in parts of at most PART
PART = 2
END = stopped_status("gone").SerializeToString()


class Worker(Driver):
    """A live worker: what it has in hand, and its heartbeat."""

    def __init__(self, redis: Redis, name: str, sweeper: Sweeper) -> None:
        super().__init__(redis, name)
        self.name = name
        self.state = State()
        self.heartbeat = Heartbeat(
            self.worker, sweeper, self.state, lambda suspended: None, 60, Said(lambda: status_of(name))
        )
        self.heartbeat.beat()

    def take_some(self, most: int, lost: bool) -> None:
        """Take jobs; of a lost reply it knows nothing."""
        jobs = take_jobs(self.redis, self.worker.name, most)
        if not lost:
            self.state.executions.update({job.execution: job.member for job in jobs})
            self.scheduler.add([admit(job) for job in jobs])
        self.settle_all()

    def publish_some(self, images: int, lost: bool) -> None:
        """Draw and publish some images of each job."""
        jobs = self.scheduler.jobs
        for job in jobs:
            for index in range(job.published, min(COUNT, job.published + images)):
                job.ready[index] = image(job.id, index)
        replies = publish_all(self.redis, self.worker.name, [publication(job) for job in jobs])
        for job, reply in zip(jobs, replies, strict=True):
            if not lost and take_in(self.scheduler, job, reply):
                self.state.executions.pop(job.taken.execution, None)
        self.settle_all()

    def fail_one(self) -> None:
        """Its first job cannot be drawn."""
        for job in self.scheduler.jobs[:1]:
            job.error = ValueError("no ink")
            self.scheduler.end(job, Ending.FAILED)
        self.settle_all()

    def settle_all(self) -> None:
        """RQ is told of what has ended."""
        ended: list[ActiveJob] = []
        while (job := self.scheduler.next_ended()) is not None:
            ended.append(job)
        for job in ended:
            self.settler.settle(job)
            self.state.executions.pop(job.taken.execution, None)


class AnyOrder(Order):
    """Services, too: jobs are enqueued, cancelled and failed."""

    def __init__(self) -> None:
        self.acknowledged: set[str] = set()
        super().__init__()

    def new_worker(self, name: str) -> Worker:
        """See `Order`."""
        return Worker(self.redis, name, self.sweeper)

    @rule(jobs=st.integers(1, 3), twice=st.booleans(), retries=st.integers(0, 1))
    def enqueue_some(self, jobs: int, twice: bool, retries: int) -> None:
        names = [self.name("picture") for _ in range(jobs)]
        for _ in range(1 + twice):
            enqueue(self.redis, [(name, draw_job(COUNT)) for name in names], Limits(retries, 600, 900))
        self.acknowledged.update(names)

    @rule(data=st.data(), most=st.integers(1, 4), lost=st.booleans())
    @precondition(lambda self: self.workers)
    def take(self, data: st.DataObject, most: int, lost: bool) -> None:
        data.draw(st.sampled_from(self.workers)).take_some(most, lost)

    @rule(data=st.data(), images=st.integers(0, PART), lost=st.booleans())
    @precondition(lambda self: self.workers)
    def publish(self, data: st.DataObject, images: int, lost: bool) -> None:
        data.draw(st.sampled_from(self.workers)).publish_some(images, lost)

    @rule(data=st.data())
    @precondition(lambda self: self.workers)
    def fail(self, data: st.DataObject) -> None:
        data.draw(st.sampled_from(self.workers)).fail_one()

    @rule(data=st.data())
    @precondition(lambda self: self.acknowledged)
    def cancel(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.acknowledged)))
        run(self.redis, "release", 30, 600, name, "front/1", "gone", COUNT, END)

    @rule(data=st.data())
    @precondition(lambda self: self.failed())
    def requeue(self, data: st.DataObject) -> None:
        self.job(data.draw(st.sampled_from(self.failed()))).requeue()
        ring(self.redis, MODEL)

    @rule(data=st.data(), images=st.integers(1, PART))
    @precondition(lambda self: self.workers)
    def lose_what_was_just_published(self, data: st.DataObject, images: int) -> None:
        self.save()
        data.draw(st.sampled_from(self.workers)).publish_some(images, False)
        self.streams_have_no_hole_and_one_payload_an_id()
        self.go_back()

    @invariant()
    def streams_have_no_hole_and_one_payload_an_id(self) -> None:
        for key in cast("list[bytes]", self.redis.keys(stream_key("*"))):
            name = key.decode().rpartition(":")[2]
            for place, (entry, fields) in enumerate(self.entries(name)):
                if STATUS not in fields:
                    assert entry == f"{place + 1}-0"
                    assert place == COUNT or fields[b"r"] == image(name, place)

    @invariant()
    def what_is_started_or_queued_is_to_be_found(self) -> None:
        for name in self.acknowledged:
            status = self.status(name)
            assert status, f"{name} is gone"
            if status == "started":
                assert self.redis.exists(f"rq:executions:{name}")

    def teardown(self) -> None:
        self.leave_one()
        for _ in range(20):
            self.sweep()
            self.workers[0].take_some(100, False)
            self.workers[0].publish_some(COUNT, False)
        self.streams_have_no_hole_and_one_payload_an_id()
        for name in self.acknowledged:
            entries = self.entries(name)
            whole = [entry for entry, _ in entries] == [f"{number}-0" for number in range(1, COUNT + 2)]
            ended = bool(entries) and entries[-1][0] == END_ID
            assert (self.status(name), whole, ended) in (
                ("finished", True, False), ("canceled", False, True), ("failed", False, True),
            )  # fmt: skip
        assert not self.redis.keys("rq:wip:*")
        assert not self.redis.keys("rq:execution:*")
        assert not self.redis.keys("rq:queue:*")

    def job(self, name: str) -> Job:
        """As RQ has it."""
        return Job.fetch(name, connection=self.redis, serializer=JSONSerializer)

    def status(self, name: str) -> str:
        """RQ's."""
        return cast(bytes, self.redis.hget(f"rq:job:{name}", "status") or b"").decode()

    def failed(self) -> list[str]:
        """Jobs that RQ says have failed."""
        return sorted(name for name in self.acknowledged if self.status(name) == "failed")

    def entries(self, name: str) -> list[tuple[str, dict[bytes, bytes]]]:
        """Of a job's stream."""
        return [(entry.decode(), fields) for entry, fields in cast(Any, self.redis.xrange(stream_key(name)))]


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """Of all runs: each begins by flushing it."""
    with running_valkey() as server, server.client() as client:
        yield client


def test_nothing_is_lost_or_done_twice_in_any_order(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, is_long: bool
) -> None:
    run_orders(AnyOrder, redis, monkeypatch, 500 if is_long else 30)


def test_a_worker_goes_on_at_the_end_that_redis_went_back_to(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnyOrder, "redis", redis, raising=False)
    order = AnyOrder()
    order.enqueue_some(jobs=2, twice=True, retries=0)
    (worker,) = order.workers
    worker.take_some(2, False)
    order.save()
    worker.publish_some(2, False)
    order.go_back()
    worker.publish_some(2, False)
    order.streams_have_no_hole_and_one_payload_an_id()
    order.teardown()


def image(name: str, index: int) -> bytes:
    """A pure function of job and index."""
    return f"{name}/{index}".encode()
