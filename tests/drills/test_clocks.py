"""Machines whose clocks are wrong by minutes or hours, or step while calls and batches run.

Two services and two workers: one of each is ahead of Redis, the others are as far behind it.
"""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from tests.end_to_end.shop import plan
from tests.support.batch_calls import BatchCalls
from tests.support.clocks import REREAD_S, MachineClock
from tests.support.processes import Program, eventually, free_port, stopped
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import running_valkey
from unikat import Studio
from unikat.batches.verify import verify
from unikat.errors import DeadlineExceeded
from unikat.queue.batches.jobs import RESULT_TTL_S, RETRY_AFTER_S, batch_queue, enqueue_whole
from unikat.queue.batches.keys import shard_job_id
from unikat.queue.batches.store import BatchStore
from unikat.queue.clock import redis_time
from unikat.queue.draws import RECORD_TTL
from unikat.queue.workers import WORKERS_KEY
from unikat.v1 import batches_pb2 as pb

SLOW = 500  # 256 x 256 products an image: some 1 ms
DEADLINE_S = 20.0  # of calls that are to be complete
KEPT_S = {"wip": RECORD_TTL, "finished": RESULT_TTL_S, "canceled": 600, "scheduled": RETRY_AFTER_S[-1]}


@dataclass(frozen=True)
class Machines:
    """Redis, and what runs on machines with wrong clocks, from `began` on (Redis' time, s)."""

    redis: Redis
    clocks: list[MachineClock]
    targets: list[str]
    workers: list[Program]
    open_folder: Path
    began: float

    def step(self, ahead: float) -> None:
        """The clocks of the one half are ahead by so much now, those of the others behind; returns when all know."""
        for clock, sign in zip(self.clocks, (1, -1), strict=True):
            clock.step(sign * ahead)
        time.sleep(REREAD_S)


@contextmanager
def machines(folder: Path, ahead: float) -> Iterator[Machines]:
    """Two of each, ready."""
    models, open_folder = folder / "models", folder / "open"
    open_folder.mkdir(parents=True)
    write_tiny_bundle(models, work=SLOW)
    clocks = [MachineClock(folder / name, sign * ahead) for name, sign in (("early", 1), ("late", -1))]
    with ExitStack() as exits:
        valkey = exits.enter_context(running_valkey("always"))
        env = {
            "UNIKAT_REDIS_URL": valkey.url, "UNIKAT_MODELS": str(models), "UNIKAT_THREADS": "1", "UNIKAT_LEASE_S": "2",
            "UNIKAT_DESTINATIONS": f"file://{open_folder}", "UNIKAT_MAX_BATCH": "8",
        }  # fmt: skip
        workers = [exits.enter_context(Program("unikat_worker", env=env | clock.env)) for clock in clocks]
        targets = [f"127.0.0.1:{free_port()}" for _ in clocks]
        services = [
            exits.enter_context(Program("unikat_service", env=env | clock.env | {"UNIKAT_LISTEN": target}))
            for clock, target in zip(clocks, targets, strict=True)
        ]
        for program in (*services, *workers):
            program.wait_for_line("ready")
        redis = exits.enter_context(valkey.client())
        yield Machines(redis, clocks, targets, workers, open_folder, redis_time(redis))


@pytest.mark.timeout(900)
def test_clocks_that_are_wrong_or_step_are_not_noticed(tmp_path: Path, is_long: bool) -> None:
    for ahead in (17, 60, 3600, 2 * 3600) if is_long else (2 * 3600,):
        with machines(tmp_path / str(ahead), ahead) as those:
            calls_are_complete(those, seed=1)
            a_cancel_takes_nothing_from_another_caller(those)
            a_call_ends_at_its_deadline(those)
            a_cancelled_batch_waits_for_its_destination(those)
            a_shard_that_fails_is_tried_again_at_its_time(those)
            steps = (-ahead, 3600, -3600, 17, -60, 0) if is_long else (-3600,)
            for number, step in enumerate(steps):
                work_goes_on_through_a_step(those, step, number)
            print(
                f"clocks {ahead} s ahead and behind, then {len(steps)} steps: nothing failed, no time was out of order"
            )


def work_goes_on_through_a_step(those: Machines, ahead: float, number: int) -> None:
    """Calls and a batch, in whose course the clocks step."""
    with ThreadPoolExecutor(2) as threads:
        calls = threads.submit(calls_are_complete, those, 10 + number, 300)
        batch = threads.submit(a_batch_tells_its_times_in_order, those, f"stepped-{number}")
        those.step(ahead)
        calls.result()
        batch.result()
    scores_are_times_of_redis(those)


def calls_are_complete(those: Machines, seed: int, count: int = 16) -> None:
    """By both services, with a deadline: the same images; what is told of their times is less than they took."""
    found = []
    for target in those.targets:
        began = time.monotonic()
        with Studio(target) as studio:
            generation = studio.generate("tiny", count=count, seed=seed, timeout=DEADLINE_S)
            found.append([artwork.data for artwork in generation])
            took = time.monotonic() - began
            assert len(found[-1]) == count
            assert generation.finished is not None
            # What a service knows of Redis' clock is as old as one reply; the clocks are 17 s apart or more.
            assert 0 < generation.finished.elapsed < took + 1
    assert found[0] == found[1]


def a_cancel_takes_nothing_from_another_caller(those: Machines) -> None:
    """Two callers of one request at two services: the one that goes takes nothing from the one that stays."""
    with ExitStack() as exits:
        studios = [exits.enter_context(Studio(target)) for target in those.targets]
        for staying, going in ((0, 1), (1, 0)):
            request: dict[str, Any] = {"count": 200, "seed": 5, "request_id": f"shared-{going}", "timeout": DEADLINE_S}
            stays, goes = studios[staying].generate("tiny", **request), studios[going].generate("tiny", **request)
            assert stays.accepted.job_id == goes.accepted.job_id
            next(goes)
            goes.cancel()
            assert len(list(stays)) == 200


def a_call_ends_at_its_deadline(those: Machines) -> None:
    """Not before, and not long after."""
    for target in those.targets:
        began = time.monotonic()
        with Studio(target) as studio, pytest.raises(DeadlineExceeded):
            list(studio.generate("tiny", count=4000, seed=3, timeout=1.0))
        assert 0.9 < time.monotonic() - began < 5


def a_cancelled_batch_waits_for_its_destination(those: Machines) -> None:
    """A minute; it is back before, so the manifest is written."""
    folder = those.open_folder / "broken"
    with BatchCalls(those.targets[0]) as calls:
        batch = calls.create(batch_request(folder, plan(20_000)))
        calls.wait(batch.id, lambda found: found.drawn_count > 0)
        with stopped(*those.workers):  # they would make the folder again in between
            aside = folder.rename(folder.with_name("aside"))
            folder.write_text("There is no folder any more.")
        paused = calls.wait(batch.id, lambda found: found.HasField("pause"))
        assert abs(paused.pause.since.ToMicroseconds() / 1e6 - redis_time(those.redis)) < 5
        calls.cancel(batch.id)
        time.sleep(2)  # in which a worker whose clock is ahead must not give the destination up
        assert not calls.get(batch.id).HasField("end_time")
        with stopped(*those.workers):
            folder.unlink()
            aside.rename(folder)
        ended = calls.wait(batch.id, lambda found: found.HasField("end_time"))
    assert ended.manifest
    assert_in_order(ended)


def a_shard_that_fails_is_tried_again_at_its_time(those: Machines) -> None:
    """A second after its first try by Redis' clock, whichever worker had it, and whichever looks after it."""
    folder = those.open_folder / "tried-again"
    for worker in those.workers:
        worker.signal_group(signal.SIGSTOP)
    with BatchCalls(those.targets[1]) as calls:
        batch = calls.create(batch_request(folder, plan(8)))
        job_id = shard_job_id(batch.id, 0)
        with those.redis.pipeline() as pipe:  # the job as it is when it waits for another try
            pipe.lrem(batch_queue(those.redis, batch.id).key, 1, job_id)
            enqueue_whole(
                pipe, batch_queue(those.redis, batch.id), batch.id, BatchStore(those.redis).spec(batch.id), [0]
            )
            pipe.execute()
        digest = with_digest(those, job_id, "sha256:" + 64 * "0")
        for worker in those.workers:
            worker.signal_group(signal.SIGCONT)
        registry = batch_queue(those.redis, batch.id).scheduled_job_registry.key
        due = eventually(lambda: those.redis.zscore(registry, job_id))
        assert due is not None
        assert abs(due - redis_time(those.redis)) <= RETRY_AFTER_S[0] + 1
        with_digest(those, job_id, digest)
        calls.finish(batch.id, deadline=20)


def a_batch_tells_its_times_in_order(those: Machines, name: str) -> None:
    """It is complete, and both services say that it was created, started and ended, one after the other, just now."""
    folder = those.open_folder / name
    with BatchCalls(those.targets[0]) as calls:
        batch = calls.create(batch_request(folder, plan(600)))
        ended = calls.finish(batch.id)
    assert_in_order(ended)
    assert abs(ended.end_time.ToMicroseconds() / 1e6 - redis_time(those.redis)) < 10
    assert ended.images_per_second > 1
    report = verify(str(folder))
    assert report.is_complete, report
    assert report.extra == []


def scores_are_times_of_redis(those: Machines) -> None:
    """Entries of RQ's registries last as long as they are meant to; both workers are known, and the one is not gone."""
    assert those.redis.zcard(WORKERS_KEY) == 2
    now = redis_time(those.redis)
    for registry in those.redis.scan_iter("rq:*:unikat*"):
        kind = registry.decode().split(":")[1]
        if kind in KEPT_S and those.redis.type(registry) == b"zset":
            entries = cast(list[tuple[bytes, float]], those.redis.zrange(registry, 0, -1, withscores=True))
            for _, score in entries:
                assert those.began < score < now + KEPT_S[kind] + 1, (registry, score - now)


def batch_request(folder: Path, plans: list[pb.Plan], shard_size: int = 64) -> pb.CreateBatchRequest:
    """A batch into a folder."""
    return pb.CreateBatchRequest(
        model="tiny", seed=11, request_id=folder.name, destination=str(folder), plans=plans, shard_size=shard_size
    )


def assert_in_order(batch: pb.Batch) -> None:
    """The times of a batch that has ended."""
    times = [stamp.ToMicroseconds() for stamp in (batch.create_time, batch.start_time, batch.end_time)]
    assert times == sorted(times)


def with_digest(those: Machines, job_id: str, digest: str) -> str:
    """Let a shard's job want the model of another digest; returns the one that it wanted."""
    job = Job.fetch(job_id, connection=those.redis, serializer=JSONSerializer)
    before: str = job.kwargs["digest"]
    job.kwargs = job.kwargs | {"digest": digest}
    those.redis.hset(job.key, "data", job.data)
    return before
