"""Small parts: settings, processors, rates, identity, the function that plain RQ workers run into."""

from __future__ import annotations

import struct
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from rq import Queue, SimpleWorker
from rq.job import JobStatus
from rq.results import Result
from rq.serializers import JSONSerializer
from typer.testing import CliRunner

from tests.queue.driver import draw_job
from tests.worker.bench import Bench
from tests.worker.test_catalogue import catalogue_of
from unikat.bundle import Bundle
from unikat.identity import artwork_digest, short_id
from unikat.queue.activity import STAGES, Activity, Running
from unikat.queue.draws import Taken
from unikat_worker.__main__ import app
from unikat_worker.active import ActiveJob
from unikat_worker.metrics import WorkerMetrics
from unikat_worker.processors import usable_cores
from unikat_worker.rates import Rates
from unikat_worker.settings import Settings

PIXELS = np.random.default_rng(1).integers(0, 255, (16, 16, 3), dtype=np.uint8)


def test_every_setting_is_a_documented_flag_and_an_environment_variable() -> None:
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "300"}).output
    for field in fields(Settings):
        assert f"--{field.name.replace('_', '-')}" in text
    assert "UNIKAT_MAX_BATCH" in text


def test_a_setting_out_of_range_is_refused() -> None:
    result = CliRunner().invoke(app, ["--max-batch", "0"])
    assert result.exit_code == 2
    assert "--max-batch" in result.output


def test_a_destination_that_is_no_prefix_is_refused_at_the_start() -> None:
    result = CliRunner().invoke(app, ["--destinations", "file:///srv/../etc"])
    assert result.exit_code == 1
    assert "--destinations" in str(result.exception)


def test_the_cpu_quota_is_respected(tmp_path: Path) -> None:
    free = usable_cores(tmp_path)
    (tmp_path / "cpu.max").write_text("50000 100000\n")
    assert usable_cores(tmp_path) == 1
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert usable_cores(tmp_path) == free
    (tmp_path / "cpu.max").unlink()
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu/cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 1


def test_rates_are_averages_over_busy_time() -> None:
    rates = Rates()
    rates.update()
    assert rates.images_per_second == 0
    rates.set_busy(True)
    rates._busy_since = (rates._busy_since or 0) - 2.0
    rates.count(images=100, jobs=10)
    rates.set_busy(False)
    rates.update()
    assert rates.images_per_second == pytest.approx(50, rel=0.1)
    assert rates.jobs_per_second == pytest.approx(5, rel=0.1)
    before = rates.images_per_second
    rates.update()
    assert rates.images_per_second == before  # idle is not slow


def test_a_beat_says_the_times_of_the_last_64_jobs() -> None:
    rates = Rates()
    for number in range(300):
        rates.finished((number + 0.123456,) * len(STAGES))
    activity = Activity(loaded=["tiny@1"], oldest=[Running("c-1", "tiny@1", "anna", 4, 1, 0.5)], recent=rates.recent())
    assert activity.recent == [[number + 0.1235] * len(STAGES) for number in range(236, 300)]
    assert Activity.from_json(activity.to_json()) == activity


def test_images_that_another_worker_drew_are_none_that_this_one_published(bundle: Bundle) -> None:
    registry = CollectorRegistry()
    metrics = WorkerMetrics(registry, catalogue_of(bundle.path.parents[1]))
    taken = Taken("id", "queue", "execution", b"", b"", b"", 2, 0, 0, -1, 600, 0, 0.0)
    metrics.published(ActiveJob(taken, draw_job()), 2)  # its stream says so, though no batch of it was drawn here
    assert not [sample for family in registry.collect() for sample in family.samples if sample.value]


def test_an_identity_is_what_its_documentation_says() -> None:
    import hashlib

    half = struct.pack(">f", 0.5).hex()
    text = f"sha256:abc\n7\n3\n3f800000\nstyle=ink:{half},oil:{half}\nsubject=sea:3f800000"
    weights = {"subject": {"sea": 1.0}, "style": {"oil": 0.5, "ink": 0.5, "chalk": 0.0}}
    assert short_id(artwork_digest("sha256:abc", weights, 7, 3, 1.0)) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_a_plain_rq_worker_fails_the_job_since_its_name_is_no_function(bench: Bench, bundle: Bundle) -> None:
    job = bench.enqueue(bundle.model.digest, retries=0)
    queue = Queue(bench.queue.name, connection=bench.redis, serializer=JSONSerializer)
    SimpleWorker([queue], connection=bench.redis, serializer=JSONSerializer).work(burst=True)
    result = job.latest_result()
    assert result is not None
    assert (job.get_status(), result.type) == (JobStatus.FAILED, Result.Type.FAILED)
    assert "Invalid attribute name: draw" in str(result.exc_string)
