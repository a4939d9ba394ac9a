"""A caller that goes away frees the worker within a batch."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from rq.registry import CanceledJobRegistry

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.errors import DeadlineExceeded
from unikat.queue.stream import RESPONSE, STATUS

BATCH = 8


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path, work=1000)
    return tmp_path


def published(stack: Stack, job_id: str) -> int:
    """Images in a job's stream."""
    return sum(RESPONSE in fields for fields in stack.stream_of(job_id))


def test_a_cancelled_call_frees_its_worker_within_a_batch(models: Path) -> None:
    with running_stack(models, UNIKAT_MAX_BATCH=str(BATCH)) as stack, Studio(stack.target) as studio:
        generation = studio.generate("tiny", count=4000, seed=1)
        next(generation)
        job_id = generation.accepted.job_id
        assert published(stack, job_id) > 0
        generation.cancel()
        eventually(lambda: STATUS in stack.stream_of(job_id)[-1])
        started = time.monotonic()
        assert len(list(studio.generate("tiny", count=1, seed=2))) == 1
        waited = time.monotonic() - started
        # The cancelled job would have kept the worker for many seconds.
        assert waited < 2
        canceled = CanceledJobRegistry(queue=stack.queue())
        eventually(lambda: job_id in canceled.get_job_ids())
        assert published(stack, job_id) == 0  # what nobody reads went with the end, and nothing came behind it


def test_a_cancelled_call_that_waits_leaves_the_queue(models: Path) -> None:
    with running_stack(models, workers=0) as stack:
        worker = stack.start_worker()
        worker.wait_for_line("worker ready")
        with Studio(stack.target) as studio:
            eventually(studio.models)
            stack.kill(worker)  # a service accepts for a while after its last worker was lost
            generation = studio.generate("tiny", count=3, seed=1)
            job_id = generation.accepted.job_id
            assert stack.queued() == 1
            generation.cancel()
            eventually(lambda: stack.queued() == 0)
            canceled = CanceledJobRegistry(queue=stack.queue())
            eventually(lambda: job_id in canceled.get_job_ids())


def test_a_deadline_ends_the_call_and_the_job(models: Path) -> None:
    with running_stack(models, UNIKAT_MAX_BATCH=str(BATCH)) as stack, Studio(stack.target) as studio:
        with pytest.raises(DeadlineExceeded):
            list(studio.generate("tiny", count=4000, seed=1, timeout=1.0))
        started = time.monotonic()
        assert len(list(studio.generate("tiny", count=1, seed=2))) == 1
        assert time.monotonic() - started < 2
