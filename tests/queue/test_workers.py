"""Workers as processes on one Valkey: what each takes, what it leaves to others, and RQ's tools beside them."""

# RQ annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest
from redis import Redis
from rq import Queue
from rq.command import send_stop_job_command
from rq.job import Job
from rq.registry import FailedJobRegistry
from rq.serializers import JSONSerializer

from tests.queue.driver import enqueue_arguments, enqueue_head, run
from tests.support.processes import eventually, free_port, spawn, stopped
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey
from tests.worker.batching import Batches
from tests.worker.bench import Bench, assert_complete
from unikat.bundle import Bundle, key_of
from unikat.encoders import newest_encoder
from unikat.queue.job import DrawJob
from unikat.queue.keys import model_key, queue_name
from unikat.queue.workers import WORKERS_KEY
from unikat.v1.studio_pb2 import ImageFormat
from unikat_worker.sweeper import Sweeper

pytestmark = pytest.mark.xdist_group("queue-workers")


class Jobs:
    """Enqueues jobs as services do, of this release and of the one before."""

    def __init__(self, valkey: Valkey, redis: Redis, folder: Path) -> None:
        self.redis = redis
        self.valkey = valkey
        self._folder = folder

    def bench(self, name: str) -> Bench:
        """A models folder, and workers on it."""
        return Bench(self.valkey, self.redis, self._folder / name)

    def enqueue(self, name: str, bundle: Bundle, seed: int = 1, count: int = 2, caller: str = "ada") -> Job:
        """By enqueue.lua."""
        job = draw_job(bundle, seed, count)
        model = model_key(job.model, job.digest)
        arguments = enqueue_arguments(name, job, model=model, queue=queue_name(model, caller))
        assert run(self.redis, "enqueue", *enqueue_head(), *arguments)[0][0] == b"queued"
        return self.job(name)

    def job(self, name: str) -> Job:
        """As Redis has it."""
        return Job.fetch(name, connection=self.redis, serializer=JSONSerializer)


@pytest.fixture
def jobs(valkey: Valkey, redis: Redis, tmp_path: Path) -> Jobs:
    return Jobs(valkey, redis, tmp_path)


def test_each_worker_draws_what_it_has(jobs: Jobs, tmp_path: Path) -> None:
    bundles = {
        "left": write_tiny_bundle(tmp_path / "left", "brush"),
        "right": write_tiny_bundle(tmp_path / "right", "chalk", work=3),
    }
    with jobs.bench("left").worker(worker_name="left"), jobs.bench("right").worker(worker_name="right"):
        sides = [("left", "right")[number % 2] for number in range(200)]
        enqueued = [
            jobs.enqueue(f"{side}-{number}", bundles[side], seed=number, caller=f"caller-{number % 7}")
            for number, side in enumerate(sides)
        ]
        for side, job in zip(sides, enqueued, strict=True):
            outcome = jobs.bench(side).outcome(job)
            assert_complete(outcome, 2)
            assert {artwork.model_digest for artwork in outcome.artworks} == {bundles[side].model.digest}
            jobs.bench(side).wait_for_state(job, "finished")
            assert hash_of(jobs, job, "worker_name", "unikat_attempts", "retries_left") == [side, "1", "3"]


def test_names_of_workers_that_were_killed_do_not_stay(redis: Redis) -> None:
    queue = "unikat:tiny@1.0123456789ab.ada"
    redis.sadd("rq:queues", f"rq:queue:{queue}")
    for name in ("dead", "alive"):
        redis.sadd(f"rq:workers:{queue}", f"rq:worker:{name}")
    redis.hset("rq:worker:alive", "birth", "")
    redis.zadd(WORKERS_KEY, {"alive": time.time()})
    Sweeper(redis, lease_s=1, max_crashes=1, result_ttl_s=600).clean()
    assert redis.smembers(f"rq:workers:{queue}") == {b"rq:worker:alive"}


def test_one_version_of_two_digests_gives_each_job_its_own_pictures(jobs: Jobs, tmp_path: Path) -> None:
    old = write_tiny_bundle(tmp_path / "old", "tiny")
    new = write_tiny_bundle(tmp_path / "new", "tiny", work=3)
    assert key_of(old.model) == key_of(new.model)
    with jobs.bench("old").worker(), jobs.bench("new").worker():
        pairs = [
            (jobs.enqueue(f"old-{seed}", old, seed), jobs.enqueue(f"new-{seed}", new, seed)) for seed in range(100)
        ]
        for pair in pairs:
            images = []
            for job, bundle in zip(pair, (old, new), strict=True):
                outcome = jobs.bench("old").outcome(job)
                assert_complete(outcome, 2)
                assert {artwork.model_digest for artwork in outcome.artworks} == {bundle.model.digest}
                images.append(outcome.images)
            assert images[0] != images[1]


def test_a_worker_without_the_model_leaves_batches_to_others_and_no_shard_spends_a_try(
    jobs: Jobs, tmp_path: Path
) -> None:
    write_tiny_bundle(tmp_path / "left", "brush")
    batches = Batches(jobs.redis, write_tiny_bundle(tmp_path / "right", "chalk", work=3), tmp_path / "out")
    with (
        jobs.bench("left").worker(destinations=batches.opened) as left,
        jobs.bench("right").worker(destinations=batches.opened) as right,
    ):
        with stopped(right):  # it could draw all of them before the other one looks
            created = [batches.create(owner=owner) for owner in ("ann", "bob")]
            left.wait_for_line("left to workers that have its model")
        for batch in created:
            batches.assert_complete(batch)
            shards = [jobs.job(f"b-{batch}-{shard:05}") for shard in range(7)]
            assert [shard.retries_left for shard in shards] == [3] * 7
            assert [shard.return_value() for shard in shards[:6]] == [{"images": 16, "attempts": 1}] * 6


@pytest.mark.parametrize("replaced", [False, True])
def test_a_version_goes_while_its_jobs_wait(jobs: Jobs, tmp_path: Path, replaced: bool) -> None:
    bundle = write_tiny_bundle(tmp_path / "first", "tiny", 1)
    write_tiny_bundle(tmp_path / "first", "tiny", 2)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    news = write_tiny_bundle(tmp_path / "other", "tiny", 1, work=3)
    with jobs.bench("first").worker(worker_name="first") as first:
        with stopped(first):
            enqueued = [jobs.enqueue(f"picture-{number}", bundle, number) for number in range(20)]
            shutil.rmtree(tmp_path / "first" / "tiny" / "1")  # never drawn here, so it is not in memory
            if replaced:
                shutil.copytree(news.path, tmp_path / "first" / "tiny" / "1")
        first.wait_for_line(f"serving tiny@1 .*{news.model.digest}" if replaced else "no longer serving tiny@1")
        eventually(lambda: all(jobs.bench("first").state(job) == "queued" for job in enqueued))
        with jobs.bench("second").worker(worker_name="second"):
            for job in enqueued:
                outcome = jobs.bench("second").outcome(job)
                assert_complete(outcome, 2)
                assert {artwork.model_digest for artwork in outcome.artworks} == {bundle.model.digest}
                jobs.bench("second").wait_for_state(job, "finished")
                assert hash_of(jobs, job, "worker_name", "unikat_attempts", "retries_left") == ["second", "1", "3"]
        assert first.process.poll() is None


def test_a_failed_job_and_a_stopped_one_are_drawn_again_after_rq_requeue(jobs: Jobs, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "models", "tiny", work=60)
    bench = jobs.bench("models")
    broken = jobs.enqueue("broken", bundle)
    whole = jobs.redis.hget(broken.key, "data")
    assert isinstance(whole, bytes)
    jobs.redis.hset(broken.key, "data", b"not a payload")
    with bench.worker():
        stopped = jobs.enqueue("stopped", bundle, count=3000)
        bench.wait_for_state(broken, "failed")
        bench.wait_for_state(stopped, "started")
        eventually(lambda: bench.published(stopped) > 5)
        send_stop_job_command(jobs.redis, stopped.id, serializer=JSONSerializer)
        bench.wait_for_state(stopped, "stopped")
        assert all(bench.outcome(job).status is not None for job in (broken, stopped))
        jobs.redis.hset(broken.key, "data", whole)  # mended by hand
        rq(jobs, "requeue", "--queue", broken.origin, "-S", "rq.serializers.JSONSerializer", broken.id, stopped.id)
        for job, count in ((broken, 2), (stopped, 3000)):
            bench.wait_for_state(job, "finished", deadline=60)
            assert_complete(bench.outcome(job), count)
        assert len(FailedJobRegistry(queue=Queue(broken.origin, connection=jobs.redis))) == 0


def test_rq_info_and_the_dashboard_show_the_queues_of_callers(jobs: Jobs, tmp_path: Path) -> None:
    here = write_tiny_bundle(tmp_path / "here", "tiny")
    elsewhere = write_tiny_bundle(tmp_path / "elsewhere", "tiny", work=3)
    with jobs.bench("here").worker(worker_name="easel"):
        done = jobs.enqueue("done", here, caller="bob")
        jobs.bench("here").wait_for_state(done, "finished")
        waiting = [jobs.enqueue(f"waiting-{number}", elsewhere) for number in range(3)]
        info = rq(jobs, "info", "--raw")
        assert f"queue {waiting[0].origin} 3" in info
        assert f"queue {done.origin} 0, 0 executing, 1 finished" in info
        assert re.search(r"worker easel .* idle unikat\. jobs: 1 finished, 0 failed", info)
        with dashboard(jobs.valkey.tcp_url) as page:
            assert done.id in page(f"jobs/{quote(done.origin, safe='')}/finished/10/asc/1.json")
            assert all(job.id in page(f"jobs/{quote(job.origin, safe='')}/queued/10/asc/1.json") for job in waiting)
            assert done.origin in page("queues.json")
            assert "easel" in page("workers.json")


@contextmanager
def dashboard(url: str) -> Iterator[Callable[[str], str]]:
    """A stock rq-dashboard: what it answers for a page of its data."""
    port = str(free_port())

    def page(path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/0/data/{path}", timeout=10) as response:
            return str(response.read().decode())

    def answers() -> bool:
        try:
            return bool(page("queues.json"))
        except OSError:
            return False

    with spawn("rq_dashboard", "--json", "--bind", "127.0.0.1", "--port", port, "--redis-url", url):
        eventually(answers)
        yield page


def draw_job(bundle: Bundle, seed: int, count: int) -> DrawJob:
    """Of a bundle's model."""
    model, weights = key_of(bundle.model), {"style": {"ink": 1.0}}
    image_format = ImageFormat.IMAGE_FORMAT_PNG
    encoder = newest_encoder(image_format)
    return DrawJob(model, bundle.model.digest, weights, count, seed, 0.8, image_format, time.time(), encoder=encoder)


def hash_of(jobs: Jobs, job: Job, *names: str) -> list[str]:
    """Fields of a job's hash."""
    return [value.decode() if isinstance(value, bytes) else "" for value in jobs.redis.hmget(job.key, names)]


def rq(jobs: Jobs, command: str, *arguments: str) -> str:
    """RQ's command line."""
    line = [sys.executable, "-m", "rq.cli", command, "--url", jobs.valkey.url, *arguments]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
