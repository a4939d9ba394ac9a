"""Stock RQ tools read what we write."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import quote

from rq import Worker

from tests.end_to_end.stack import free_port, running_stack
from tests.support.processes import eventually, spawn
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
