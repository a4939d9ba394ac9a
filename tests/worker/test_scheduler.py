"""Whose images are in the next batch: callers take turns, and the jobs of each; a new job has its first turn soon."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from unikat.queue.draws import Taken
from unikat.queue.job import DrawJob
from unikat_worker.active import ActiveJob
from unikat_worker.scheduler import Scheduler

DIGEST = "sha256:" + "3a" * 32
LARGE = 48


def scheduler_of(largest: int = 1, threads: int = 1, seconds: float = 0.01) -> Scheduler:
    return Scheduler(threads, 256, lambda _: largest, lambda _: seconds, lambda _: None, one_at_a_time=False)


def job_of(name: str, count: int = LARGE, caller: str = "ada") -> ActiveJob:
    taken = Taken(name, "queue", f"{name}-1", b"", b"", b"", 1, 0, 0, -1, 600, 0, 0.0)
    return ActiveJob(taken, DrawJob("tiny@1", DIGEST, {}, count, 7, 0.8, 2, 0.0, caller=caller))


def drawn(scheduler: Scheduler) -> list[str]:
    """The next batch, drawn and published; the name of the job of each image."""
    batch = scheduler.compose()
    assert batch is not None
    scheduler.drawn(batch, [(job, position, b"") for job, positions in batch.shares for position in positions])
    for job, positions in batch.shares:
        assert isinstance(job, ActiveJob)
        assert positions == list(range(job.published, job.published + len(positions)))
        scheduler.observe(job, job.published + len(positions))
        if job.is_complete:
            scheduler.finished(job)
    return [job.id for job, positions in batch.shares for _ in positions]


def test_one_image_does_not_wait_for_a_turn_of_everything() -> None:
    scheduler = scheduler_of()
    scheduler.add(job_of(f"large-{number}") for number in range(40))
    for _ in range(60):
        drawn(scheduler)
    scheduler.add([job_of("one", 1)])
    assert "one" in drawn(scheduler) + drawn(scheduler)


def test_a_new_job_does_not_wait_behind_one_that_workers_died_with() -> None:
    scheduler = scheduler_of()
    scheduler.add(job_of(f"large-{number}") for number in range(9))
    for _ in range(9):
        drawn(scheduler)
    suspects = [job_of(f"suspect-{number}") for number in range(3)]
    for suspect in suspects:
        suspect.suspect = True
    scheduler.add(suspects)
    scheduler.add([job_of("one", 1)])
    assert [job.id for job in scheduler.jobs][1] == "one"


def test_what_is_drawn_gets_on_whatever_comes() -> None:
    scheduler = scheduler_of()
    scheduler.add(job_of(f"large-{number}") for number in range(4))
    for _ in range(8):
        drawn(scheduler)
    seen: Counter[str] = Counter()
    for number in range(100):
        scheduler.add(job_of(f"one-{number}", 1) for _ in range(scheduler.turn(0.0).room))
        seen.update(name.partition("-")[0] for name in drawn(scheduler))
    assert seen == {"large": 50, "one": 50}


def test_callers_take_turns_however_many_jobs_one_has() -> None:
    for largest in (1, 3, 8):
        scheduler = scheduler_of(largest)
        scheduler.add(job_of(f"ada-{number}") for number in range(30))
        for _ in range(20):
            drawn(scheduler)
        scheduler.add([job_of("bob", caller="bob"), job_of("cleo", caller="cleo")])
        seen: Counter[str] = Counter()
        while sum(seen.values()) < 90:
            seen.update(name.partition("-")[0] for name in drawn(scheduler))
        assert all(abs(count - 30) <= largest for count in seen.values()), seen


def test_what_nothing_waits_behind_makes_a_batch_a_core() -> None:
    scheduler = scheduler_of(largest=8, threads=2)
    scheduler.add(job_of(f"one-{number}", 1, f"caller-{number}") for number in range(8))
    assert not scheduler.backlog
    assert len(drawn(scheduler)) == 4


def test_all_that_wait_are_begun_until_there_is_work_for_half_a_minute() -> None:
    scheduler = scheduler_of(largest=4, threads=2, seconds=0.05)
    held = 0
    while (room := scheduler.turn(0.0).room) > 0:
        assert room <= 2 * 4
        scheduler.add(job_of(f"large-{held + number}") for number in range(room))
        held += room
        while any(job.is_fresh for job in scheduler.jobs):
            drawn(scheduler)
    left = sum(job.remaining for job in scheduler.jobs)
    assert 2 * 30 < 0.05 * left < 2 * 30 + 8 * LARGE * 0.05


@given(
    jobs=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 6)), min_size=1, max_size=12),
    largest=st.integers(1, 16),
)
def test_every_image_is_drawn_once_and_in_order(jobs: list[tuple[str, int]], largest: int) -> None:
    scheduler = scheduler_of(largest)
    scheduler.add(job_of(str(number), count, caller) for number, (caller, count) in enumerate(jobs))
    seen: Counter[str] = Counter()
    while scheduler.jobs:
        seen.update(drawn(scheduler))
    assert seen == {str(number): count for number, (_, count) in enumerate(jobs)}
