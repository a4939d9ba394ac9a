"""Whose turn it is."""

from __future__ import annotations

from typing import Any, cast

from rq.executions import Execution
from rq.job import Job
from unikat_worker.active import ActiveJob, Batch, Ending, Rota

from unikat.queue.job import DrawJob


def active(count: int, digest: str = "a", **more: Any) -> ActiveJob:  # noqa: ANN401  (fields of ActiveJob)
    """A job of `count` images; RQ's part is not looked at here."""
    draw = DrawJob("tiny@1", digest, {}, count, 1, 1.0, 1, 0.0)
    fields = {"published": 0, "attempts": 1} | more
    return ActiveJob(rq=cast(Job, None), execution=cast(Execution, None), draw=draw, **fields)


def rota_of(*jobs: ActiveJob) -> Rota:
    """The jobs, in their order."""
    rota = Rota()
    for job in jobs:
        rota.add(job)
    return rota


def compose(rota: Rota, limit: int, spread: int = 1, idle: bool = True) -> Batch:
    """The next batch, of which there must be one."""
    batch = rota.compose(lambda _: limit, spread, idle)
    assert batch is not None
    return batch


def shares(batch: Batch) -> list[list[int]]:
    """Image numbers, job by job."""
    return [indices for _, indices in batch.shares]


def test_a_batch_holds_one_image_of_each_in_turn() -> None:
    rota = rota_of(active(100), active(1), active(2))
    assert shares(compose(rota, 8)) == [[0, 1, 2, 3, 4], [0], [0, 1]]


def test_a_small_job_is_in_the_very_next_batch() -> None:
    large = active(2000)
    rota = rota_of(large)
    compose(rota, 8)
    small = active(1)
    rota.add(small)
    batch = compose(rota, 8)
    assert [(job is small, len(indices)) for job, indices in batch.shares] == [(False, 7), (True, 1)]


def test_more_jobs_than_places_take_turns() -> None:
    jobs = [active(10) for _ in range(5)]
    rota = rota_of(*jobs)
    served = [[jobs.index(job) for job, _ in compose(rota, 2).shares] for _ in range(5)]
    assert served == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4]]


def test_a_batch_is_of_one_model_and_the_other_model_is_next() -> None:
    rota = rota_of(active(9, "a"), active(9, "b"), active(9, "a"))
    assert [compose(rota, 4).digest for _ in range(4)] == ["a", "b", "a", "b"]


def test_what_is_there_is_spread_over_the_lanes() -> None:
    rota = rota_of(active(6))
    assert shares(compose(rota, 8, spread=2)) == [[0, 1, 2]]
    assert shares(compose(rota, 8, spread=1)) == [[3, 4, 5]]
    assert rota.compose(lambda _: 8, 1, idle=True) is None


def test_one_image_alone_may_take_all_cores() -> None:
    assert compose(rota_of(active(1)), 8).alone
    assert not compose(rota_of(active(1)), 8, idle=False).alone
    assert not compose(rota_of(active(2)), 8, spread=2).alone
    assert not compose(rota_of(active(1), active(1, "b")), 8).alone


def test_a_suspect_shares_no_batch() -> None:
    rota = rota_of(active(3, solo=True), active(3), active(3))
    assert len(compose(rota, 9).shares) == 1
    assert len(compose(rota, 9).shares) == 2


def test_images_of_a_failed_batch_are_drawn_again_alone() -> None:
    job = active(10)
    rota = rota_of(job)
    (first,) = shares(compose(rota, 4))
    compose(rota, 2)
    job.give_back(first)
    assert job.solo
    assert shares(compose(rota, 6)) == [[0, 1, 2, 3, 6, 7]]


def test_images_become_due_in_order() -> None:
    job = active(4)
    job.ready = {1: b"b", 2: b"c"}
    assert job.due() == []
    job.ready[0] = b"a"
    assert job.due() == [0, 1, 2]
    job.advance(2)
    assert job.due() == [2]


def test_what_somebody_else_published_is_not_drawn_again() -> None:
    job = active(10)
    rota = rota_of(job)
    compose(rota, 2)
    job.give_back([0, 1])
    job.advance(5)
    assert shares(compose(rota, 99)) == [[5, 6, 7, 8, 9]]


def test_a_job_goes_on_after_its_last_image() -> None:
    assert shares(compose(rota_of(active(10, published=7)), 99)) == [[7, 8, 9]]


def test_an_ended_job_has_no_turn() -> None:
    job = active(10)
    rota = rota_of(job)
    job.ending = Ending.CANCELLED
    assert rota.compose(lambda _: 4, 1, idle=True) is None
