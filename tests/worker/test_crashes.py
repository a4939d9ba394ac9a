"""Workers, and Redis, that die in the middle: what is lost is time, never an image."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest
from google.rpc.code_pb2 import Code
from rq import Worker
from rq.job import Job

from tests.support.processes import Program, eventually, stopped
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey
from tests.worker.bench import Bench, assert_complete
from unikat.bundle import Bundle
from unikat.queue.stream import stream_key
from unikat.queue.workers import WORKERS_KEY


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    """A slower one: about half a millisecond an image."""
    return write_tiny_bundle(tmp_path / "models", work=60)


def test_killed_workers_lose_no_image(bench: Bench, bundle: Bundle) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(bench.worker(lease_s=1, inference_threads=1, max_batch=4)) for _ in range(2)]
        expected = bench.outcome(bench.enqueue(bundle.model.digest, count=6000, seed=5)).images
        job = bench.enqueue(bundle.model.digest, count=6000, seed=5)
        killed = 0
        for threshold in (1, 500, 1000):
            eventually(partial(published_at_least, bench, job, threshold))
            victim = worker_of(bench, job, workers)
            victim.kill()
            killed += 1
            workers.remove(victim)
            workers.append(stack.enter_context(bench.worker(lease_s=1, inference_threads=1, max_batch=4)))
        outcome = bench.outcome(job)
        assert_complete(outcome, 6000)
        assert outcome.images == expected
        assert outcome.finished is not None
        assert outcome.finished.finished.attempts == killed + 1
        bench.wait_for_state(job, "finished")
        assert bench.redis.hget(job.key, "retries_left") == b"3"  # a crash spends no retry


def test_the_pause_after_a_kill_is_short(bench: Bench, bundle: Bundle) -> None:
    with (
        bench.worker(max_batch=4, inference_threads=1) as first,
        bench.worker(max_batch=4, inference_threads=1) as second,
    ):
        job = bench.enqueue(bundle.model.digest, count=4000)
        eventually(lambda: bench.published(job) > 0)
        worker_of(bench, job, [first, second]).kill()
        begun = time.monotonic()
        seen = bench.published(job)
        eventually(lambda: bench.published(job) > seen)
        assert time.monotonic() - begun < 10
        assert_complete(bench.outcome(job), 4000)


def test_a_worker_that_wakes_up_publishes_nothing_twice(bench: Bench, bundle: Bundle) -> None:
    with ExitStack() as stack:
        workers = [stack.enter_context(bench.worker(lease_s=1, inference_threads=1, max_batch=4)) for _ in range(2)]
        job = bench.enqueue(bundle.model.digest, count=4000)
        eventually(lambda: bench.published(job) > 0)
        sleeper = worker_of(bench, job, workers)
        with stopped(sleeper):
            name = worker_name(bench, job)
            eventually(lambda: worker_name(bench, job) not in ("", name))
        assert_complete(bench.outcome(job), 4000)
        bench.wait_for_state(job, "finished")
        probes = [bench.enqueue(bundle.model.digest, count=2, seed=seed) for seed in range(20)]
        for probe in probes:
            assert_complete(bench.outcome(probe), 2)
        assert sleeper.process.poll() is None


def test_a_job_taken_by_a_worker_that_died_at_once_is_recovered(bench: Bench, bundle: Bundle) -> None:
    job = bench.enqueue(bundle.model.digest, count=3)
    # What a worker leaves that dies right after it took the job.
    moved = bench.redis.lmove(bench.queue.key, bench.queue.intermediate_queue_key)
    assert moved == job.id.encode()
    with bench.worker(lease_s=2):
        assert_complete(bench.outcome(job, deadline=10), 3)
        bench.wait_for_state(job, "finished")
        assert bench.queue.intermediate_queue.get_job_ids() == []


def test_sigterm_gives_the_rest_to_another_worker(bench: Bench, bundle: Bundle) -> None:
    with bench.worker(inference_threads=2, max_batch=4) as first:
        jobs = [bench.enqueue(bundle.model.digest, count=2000, seed=seed) for seed in range(3)]
        eventually(lambda: all(bench.published(job) > 0 for job in jobs))
        begun = time.monotonic()
        assert first.terminate() == 0
        assert time.monotonic() - begun < 5
    assert [bench.state(job) for job in jobs] == ["queued"] * 3
    assert sorted(bench.queue.job_ids) == sorted(job.id for job in jobs)
    assert not bench.redis.zcard(WORKERS_KEY)
    assert not Worker.all(connection=bench.redis)
    assert not bench.redis.zcard(bench.queue.started_job_registry.key)
    published = [bench.published(job) for job in jobs]
    assert all(0 < count < 2000 for count in published)
    with bench.worker():
        for job in jobs:
            assert_complete(bench.outcome(job), 2000)


def test_an_idle_worker_ends_at_once(bench: Bench, bundle: Bundle) -> None:
    with bench.worker() as program:
        begun = time.monotonic()
        program.process.send_signal(signal.SIGINT)
        assert program.wait() == 0
        assert time.monotonic() - begun < 4


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc, and signals that are sent to a thread")
def test_a_signal_that_another_thread_gets_ends_it_too(bench: Bench, bundle: Bundle) -> None:
    with bench.worker() as worker:
        pid = worker.process.pid
        threads = {int(name) for name in os.listdir(f"/proc/{pid}/task")} - {pid}
        os.kill(min(threads), signal.SIGTERM)
        assert worker.wait(10) == 0


def test_a_job_that_kills_every_worker_is_failed(bench: Bench, tmp_path: Path) -> None:
    slow = write_tiny_bundle(tmp_path / "models", name="slow", work=60)
    job = bench.enqueue(slow.model.digest, count=2000)
    for _ in range(2):
        with bench.worker(lease_s=1, max_crashes=1) as program:
            eventually(partial(draws, program, bench, job), pause=0.002)
            program.kill()
            bench.redis.delete(stream_key(job.id))  # as if it had died before the first image
    with bench.worker(lease_s=1, max_crashes=1):
        outcome = bench.outcome(job)
        assert outcome.status is not None
        assert outcome.status.code == Code.INTERNAL
        bench.wait_for_state(job, "failed")
        assert job.id in bench.queue.failed_job_registry
        assert not bench.redis.zcard(bench.queue.started_job_registry.key)


def test_redis_is_killed_and_comes_back(durable_valkey: Valkey, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "models", work=60)
    with durable_valkey.client() as redis:
        bench = Bench(durable_valkey, redis, tmp_path / "models")
        with bench.worker(inference_threads=1, max_batch=4) as program:
            job = bench.enqueue(bundle.model.digest, count=1500)
            eventually(lambda: bench.published(job) > 50)
            durable_valkey.kill()
            program.wait_for_line("waiting for Redis")
            durable_valkey.start()
            assert_complete(bench.outcome(job), 1500)
            bench.wait_for_state(job, "finished")
            assert program.process.poll() is None


def test_a_worker_waits_for_redis(durable_valkey: Valkey, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "models")
    with durable_valkey.client() as redis:
        bench = Bench(durable_valkey, redis, tmp_path / "models")
        durable_valkey.stop()
        with late_worker(bench) as program:
            program.wait_for_line("waiting for Redis")
            durable_valkey.start()
            program.wait_for_line("worker ready")
            assert_complete(bench.outcome(bench.enqueue(bundle.model.digest, count=2)), 2)


@contextmanager
def late_worker(bench: Bench) -> Iterator[Program]:
    """A worker that cannot be ready yet."""
    env = {"UNIKAT_REDIS_URL": bench.valkey.url, "UNIKAT_MODELS": str(bench.models)}
    with Program("unikat_worker", env=env) as program:
        yield program


def worker_name(bench: Bench, job: Job) -> str:
    """Name of the worker that RQ says draws a job; "" while none does."""
    name = bench.redis.hget(job.key, "worker_name")
    return name.decode() if isinstance(name, bytes) else ""


def published_at_least(bench: Bench, job: Job, count: int) -> bool:
    """Whether a job has got so far."""
    return bench.published(job) >= count


def draws(program: Program, bench: Bench, job: Job) -> bool:
    """Whether it is this process that draws a job."""
    return f"name={worker_name(bench, job)} " in program.output


def worker_of(bench: Bench, job: Job, workers: list[Program]) -> Program:
    """The process of `workers` that draws a job. Until a sweep finds a dead one, RQ goes on naming that."""
    return eventually(lambda: [program for program in workers if draws(program, bench, job)])[0]
