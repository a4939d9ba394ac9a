"""A worker that loses one of its threads is no worker: it ends, and others take its jobs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.end_to_end.stack import running_stack
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio


def test_a_cancelled_job_with_an_execution_that_is_lost_costs_no_thread(tmp_path: Path) -> None:
    """A sweep deletes an execution between the two reads of RQ's cancel; here one is listed that never was."""
    write_tiny_bundle(tmp_path, work=1000)
    with running_stack(tmp_path) as stack, Studio(stack.target) as studio:
        generation = studio.generate("tiny", count=4000, seed=1)
        next(generation)
        job = generation.accepted.job_id
        stack.redis.zadd(f"rq:executions:{job}", {"lost": time.time() + 1000})
        generation.cancel()
        assert len(list(studio.generate("tiny", count=1, seed=2, timeout=20))) == 1
        (held,) = [each for each in stack.jobs() if each.id == job]
        eventually(lambda: held.get_status() == "canceled")


def test_a_thread_that_breaks_down_ends_the_process() -> None:
    program = """
import threading, time
from unikat_worker.worker import end_without
threading.excepthook = end_without
threading.Thread(target=lambda: 1 / 0, name="{}").start()
time.sleep(0.5)
"""
    ended = {
        name: subprocess.run([sys.executable, "-c", program.format(name)], capture_output=True, text=True, timeout=60)
        for name in ("inference-0", "batches", "Thread-1")
    }
    assert {name: each.returncode for name, each in ended.items()} == {"inference-0": 70, "batches": 70, "Thread-1": 0}
    assert all("ZeroDivisionError" in each.stderr for each in ended.values())
