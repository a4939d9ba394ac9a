"""Stock RQ tools read what we write."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from prometheus_client.parser import text_string_to_metric_families
from rq import Worker

from tests.end_to_end.stack import running_stack
from tests.support.processes import eventually, free_port, spawn
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.queue.keys import DRAW


def test_rq_and_its_dashboard_show_the_jobs(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    with running_stack(tmp_path) as stack, Studio(stack.target) as studio:
        for seed in range(3):
            list(studio.generate("tiny", count=4, seed=seed))
        queue = stack.queue()
        eventually(lambda: queue.finished_job_registry.count == 3)  # RQ is told after the caller
        finished = queue.finished_job_registry.get_job_ids()
        assert queue.started_job_registry.count == 0
        assert queue.failed_job_registry.count == 0
        job = queue.fetch_job(finished[0])
        assert job is not None
        assert job.func_name == DRAW
        assert job.kwargs["count"] == 4
        assert job.ended_at is not None
        (worker,) = Worker.all(connection=stack.redis)
        assert worker.successful_job_count == 3

        command = [sys.executable, "-m", "rq.cli", "info", "--url", stack.valkey.url, "--raw"]

        def info() -> str:
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

        assert f"queue {queue.name} 0" in info()
        eventually(lambda: f"worker {worker.name}" in info())  # a worker learns of a new caller's queue with its beat


def test_the_dashboard_lists_finished_jobs(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    with running_stack(tmp_path) as stack, Studio(stack.target) as studio:
        generation = studio.generate("tiny", count=2, seed=1)
        list(generation)
        queue = stack.queue()
        eventually(lambda: queue.finished_job_registry.count == 1)
        page = dashboard_jobs(stack.valkey.tcp_url, queue.name)
        assert generation.accepted.job_id in page
        assert "2 of tiny@1" in page


def dashboard_jobs(url: str, queue: str) -> str:
    """What a stock `rq-dashboard --json` answers for the finished jobs."""
    port = free_port()
    args = ["--json", "--bind", "127.0.0.1", "--port", str(port), "--redis-url", url]
    address = f"http://127.0.0.1:{port}/0/data/jobs/{quote(queue)}/finished/10/asc/1.json"

    def answer() -> str | None:
        try:
            with urllib.request.urlopen(address, timeout=5) as response:
                return str(response.read().decode())
        except OSError:
            return None

    with spawn("rq_dashboard", *args) as _:
        found = eventually(answer)
        assert found is not None
        return found


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_exporter_counts_shards_and_jobs(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models", work=8000)
    (tmp_path / "out").mkdir()
    program = tmp_path / "venv" / "bin" / "rq-exporter"  # it wants an RQ before 3
    subprocess.run([sys.executable, "-m", "venv", program.parent.parent], check=True)
    subprocess.run([program.with_name("pip"), "install", "-q", "rq-exporter==3.1.0"], check=True)
    settings = {"UNIKAT_DESTINATIONS": str(tmp_path / "out")}
    with running_stack(tmp_path / "models", 1, **settings) as stack, Studio(stack.target) as studio:
        batch = studio.create_batch("tiny", to=tmp_path / "out" / "new", count=400, shard_size=20)
        port = free_port()
        with subprocess.Popen([program, "--port", str(port), "--redis-url", stack.valkey.tcp_url]) as exporter:
            try:
                counted = partial(_counted, port, f"unikat-batch-{batch.id}")
                found = eventually(counted)
                assert found["started"] >= 1
                assert found["queued"] + found["started"] + found["finished"] == 20
                *_, last = studio.watch_batch(batch.id, timeout=120)
                assert last.state == "SUCCEEDED"
                eventually(lambda: counted().get("finished") == 21)  # with the one that closes the batch
                studio.draw("tiny")
                eventually(lambda: _counted(port, stack.queue().name).get("finished") == 1)
            finally:
                exporter.terminate()


def _counted(port: int, queue: str) -> dict[str, float]:
    """What rq-exporter says of the jobs of a queue, by their states."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
            families = list(text_string_to_metric_families(response.read().decode()))
    except OSError:
        return {}
    jobs = [sample for family in families if family.name == "rq_jobs" for sample in family.samples]
    return {each.labels["status"]: each.value for each in jobs if each.labels["queue"] == queue}
