"""The same jobs through RQ's own worker and through ours: every key in Redis, after every stage, is the same.

What is meant to differ is listed in INTENDED, with its reason; whatever else differs fails the test.
"""

# RQ annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import pytest
from redis import Redis
from rq import Queue, Retry, SimpleWorker
from rq.job import Job
from rq.registry import clean_registries
from rq.serializers import JSONSerializer
from rq.timeouts import TimerDeathPenalty

from tests.queue.driver import LIMITS, MODEL, QUEUE, Driver, draw_job, enqueue
from tests.queue.functions import draw, scene
from tests.queue.snapshot import Found, Parts, differences, snapshot
from tests.support.processes import eventually
from tests.support.valkey import running_valkey
from unikat.queue.draws import close, ring
from unikat.queue.job import DrawJob, Limits
from unikat.queue.stream import stream_key
from unikat_worker.active import Ending
from unikat_worker.statuses import stopped_status

JOB = "picture-1"
WORKER = "worker-1"


@dataclass(frozen=True)
class Intended:
    """Where we differ from RQ on purpose. The patterns are of a whole stage, key and part."""

    key: str
    part: str
    reason: str
    stage: str = ".*"

    def covers(self, found: Found) -> bool:
        """Whether this is what was found."""
        pairs = ((self.stage, found.stage), (self.key, found.key), (self.part, found.part))
        return all(re.fullmatch(pattern, text) for pattern, text in pairs)


INTENDED = (
    Intended(
        "unikat:(stream|calls|queues|turns|bell):.*", "type",
        "images, the calls that wait for them, and what queues of a model have jobs: RQ has none of it",
    ),
    Intended("rq:job:picture-1", "unikat", "what a worker of this release is told beside the payload"),
    Intended(
        "rq:job:picture-1", "unikat_attempts",
        "how often the job was begun; a return to the queue or a dead worker does not count as a retry of RQ's",
    ),
    Intended(
        "rq:(execution:picture-1:<execution>|executions:picture-1|wip:.*|worker:worker-1:executions)",
        "ttl|.*<execution>",
        "a worker's death is found by its lease; entries of RQ's that run out while it draws would be failed by any "
        "onlooker, so they last a day",
    ),
    Intended(
        "rq:job:picture-1", "exc_info",
        "RQ leaves it, empty, where a failed job was requeued: it is how a worker sees that it shall be drawn again",
        stage="(started|finished) after the (requeue|stop)",
    ),
    Intended(
        "rq:job:picture-1|rq:(finished|results):.*", "type|status|ended_at",
        "RQ's worker overwrites a cancellation with `finished`; here what was cancelled stays cancelled",
        stage="over after the cancellation",
    ),
    Intended(
        "rq:worker:worker-1", "successful_job_count|total_working_time", "the same: the worker did not finish it",
        stage="over after the cancellation",
    ),
    Intended("rq:worker:worker-1", "state|ttl", "busy or idle is said with the beat, not before and after each job"),
)  # fmt: skip


class Side(Protocol):
    """RQ, or we."""

    redis: Redis

    def enqueue(self, job: DrawJob, limits: Limits) -> None:
        """Enqueue the job JOB."""

    def work(self, during: Callable[[], None] = lambda: None, error: Exception | None = None) -> None:
        """Take a job, if there is one, let something happen while it is started, and end it."""

    def stop(self) -> None:
        """Take a job and stop it, as an operator does."""


class PlainWorker(SimpleWorker):
    """RQ's, without a signal, which the test's own time limit needs."""

    death_penalty_class = TimerDeathPenalty


class Rq:
    """RQ's queue and RQ's worker."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._queue = Queue(QUEUE, connection=redis, serializer=JSONSerializer)
        self._worker = PlainWorker([self._queue], name=WORKER, connection=redis, serializer=JSONSerializer)
        self._worker.register_birth()
        self._begun = 0

    def enqueue(self, job: DrawJob, limits: Limits) -> None:
        self._queue.enqueue(
            draw, kwargs=job.to_kwargs(), job_id=JOB, job_timeout=-1, result_ttl=limits.result_ttl,
            failure_ttl=limits.failure_ttl, retry=Retry(limits.retries) if limits.retries else None,
            meta={"fingerprint": "print"}, description=f"{job.count} of {job.model}",
        )  # fmt: skip

    def work(self, during: Callable[[], None] = lambda: None, error: Exception | None = None) -> None:
        def play() -> object:
            during()
            if error is not None:
                raise error
            return {"images": 2, "attempts": self._begun}

        self._run(play)

    def stop(self) -> None:
        def play() -> None:
            self._worker.request_stop_execution(self._worker.executions.copy().popitem()[0])
            raise RuntimeError("stopped by an operator")  # as the death of a work horse ends it

        self._run(play)

    def _run(self, play: Callable[[], object]) -> None:
        found = Queue.dequeue_any([self._queue], None, connection=self.redis, serializer=JSONSerializer)
        if found is not None:
            self._begun += 1
            scene.play = play
            self._worker.execute_job(*found)


class Ours:
    """The scripts, and what a worker of ours does with them."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._driver = Driver(redis, WORKER)

    def enqueue(self, job: DrawJob, limits: Limits) -> None:
        assert enqueue(self.redis, [(JOB, job)], limits) == ["queued"]

    def work(self, during: Callable[[], None] = lambda: None, error: Exception | None = None) -> None:
        job = self._driver.take()
        if job is None:
            return
        during()
        if error is None:
            self._driver.finish(job)
        else:
            self._driver.fail(job, error)

    def stop(self) -> None:
        job = self._driver.take()
        assert job is not None
        self._driver.stop(job)


Photo = Callable[[str], None]
Scenario = Callable[[Side, Photo], None]


def finishes(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), LIMITS)
    photo("enqueued")
    side.work(lambda: photo("started"))
    photo("finished")


def fails_with_retries_left(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), LIMITS)
    side.work(error=ValueError("no ink"))
    photo("to be retried")
    side.work(lambda: photo("started again"))


def fails_for_good(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), Limits(1, 600, 900))
    for _ in range(2):
        side.work(error=ValueError("no ink"))
    photo("failed")


def is_requeued(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), Limits(1, 600, 900))
    for _ in range(2):
        side.work(error=ValueError("no ink"))
    _requeue(side)
    photo("requeued")
    side.work(lambda: photo("started after the requeue"))
    photo("finished after the requeue")


def is_cancelled_while_it_waits(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), LIMITS)
    _job(side.redis).cancel()
    photo("cancelled while queued")
    side.work()
    photo("not drawn")


def is_cancelled_while_it_is_drawn(side: Side, photo: Photo) -> None:
    def cancel() -> None:
        _job(side.redis).cancel()
        close(side.redis, JOB, 3, stopped_status(JOB), 600) if isinstance(side, Ours) else None
        photo("cancelled while started")

    side.enqueue(draw_job(), LIMITS)
    side.work(cancel)
    photo("over after the cancellation")


def is_stopped(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), LIMITS)
    side.stop()
    photo("stopped")
    _requeue(side)
    photo("requeued after the stop")
    side.work()
    photo("finished after the stop")


def has_a_dependent(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), LIMITS)
    Queue(QUEUE, connection=side.redis, serializer=JSONSerializer).enqueue(draw, depends_on=JOB, job_id="picture-2")
    photo("enqueued with a dependent")
    side.work()
    photo("finished with a dependent")


def keeps_no_result(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), Limits(3, 0, 900))
    side.work()
    photo("finished without a trace")


def keeps_its_result(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), Limits(3, -1, 900))
    side.work()
    photo("finished for ever")


def expires(side: Side, photo: Photo) -> None:
    side.enqueue(draw_job(), Limits(3, 1, 1))
    side.work()
    photo("finished for a second")
    eventually(lambda: not side.redis.exists(f"rq:job:{JOB}", f"rq:results:{JOB}"), deadline=5)
    photo("expired")
    eventually(lambda: _clean(side.redis), deadline=5)
    photo("cleaned")


SCENARIOS: tuple[Scenario, ...] = (
    finishes, fails_with_retries_left, fails_for_good, is_requeued, is_cancelled_while_it_waits,
    is_cancelled_while_it_is_drawn, is_stopped, has_a_dependent, keeps_no_result,
    keeps_its_result, expires,
)  # fmt: skip


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, list[Found]]]:
    """What differs, by scenario. Both sides have databases of their own on one server."""
    logging.getLogger("rq").setLevel(logging.CRITICAL)
    with running_valkey() as server:
        sides: list[Redis] = [Redis(unix_socket_path=str(server.socket), db=number) for number in (0, 1)]
        yield {scenario.__name__: list(_compare(scenario, *sides)) for scenario in SCENARIOS}
        for side in sides:
            side.close()
    logging.getLogger("rq").setLevel(logging.NOTSET)


@pytest.mark.parametrize("scenario", [scenario.__name__ for scenario in SCENARIOS])
def test_a_job_leaves_in_redis_what_it_leaves_with_rqs_own_worker(found: dict[str, list[Found]], scenario: str) -> None:
    strange = [each for each in found[scenario] if not any(intended.covers(each) for intended in INTENDED)]
    assert not strange, "\n".join(map(str, strange))


@pytest.mark.parametrize("intended", INTENDED, ids=lambda intended: f"{intended.key} {intended.part}")
def test_what_is_said_to_differ_does(found: dict[str, list[Found]], intended: Intended) -> None:
    assert any(intended.covers(each) for several in found.values() for each in several)


def _compare(scenario: Scenario, rq: Redis, ours: Redis) -> Iterator[Found]:
    stages: list[dict[str, dict[str, Parts]]] = []
    for redis, kind in ((rq, Rq), (ours, Ours)):
        redis.flushdb()
        photos: dict[str, dict[str, Parts]] = {}

        def photo(stage: str, redis: Redis = redis, photos: dict[str, Any] = photos) -> None:
            photos[stage] = snapshot(redis)

        scenario(cast(Side, kind(redis)), photo)
        stages.append(photos)
    assert stages[0].keys() == stages[1].keys()
    for stage, parts in stages[0].items():
        yield from differences(stage, parts, stages[1][stage])


def _job(redis: Redis) -> Job:
    return Job.fetch(JOB, connection=redis, serializer=JSONSerializer)


def _requeue(side: Side) -> None:
    """`rq requeue`, and the sweep, which looks once a second into which queues RQ put jobs."""
    _job(side.redis).requeue()
    if isinstance(side, Ours):
        ring(side.redis, MODEL)


def _clean(redis: Redis) -> bool:
    clean_registries(Queue(QUEUE, connection=redis, serializer=JSONSerializer))
    return not redis.exists(f"rq:finished:{QUEUE}")


def test_a_stop_command_may_come_before_the_job_that_redis_has_given_to_this_worker(redis: Redis) -> None:
    enqueue(redis, [("picture", draw_job()), ("other", draw_job())])
    driver = Driver(redis, "worker-1")
    driver.scheduler.stop_job("picture")  # `take` was answered, and nobody has read the answer
    stopped, other = driver.take(), driver.take()
    assert stopped is not None
    assert stopped.ending is Ending.STOPPED
    assert other is not None
    assert other.ending is None
    driver.settle()
    assert redis.hget("rq:job:picture", "status") == b"stopped"
    assert redis.xlen(stream_key("picture")) == 1
