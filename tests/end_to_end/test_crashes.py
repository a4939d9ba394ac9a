"""Killed processes: nothing but a pause, and every index once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio

COUNT = 800
KILLS = 10
LEASE_S = "1"  # after which others take the jobs of a killed worker


def draw_through(stack: Stack, disasters: int, strike: Callable[[], None]) -> tuple[list[bytes], float]:
    """Draw COUNT images while `strike` is called `disasters` times, evenly spread; the images and the longest pause."""
    images: list[bytes] = []
    arrivals: list[float] = []
    marks = [COUNT * (n + 1) // (disasters + 2) for n in range(disasters)]
    with Studio(stack.target) as studio:
        for artwork in studio.generate("tiny", {"style": "ink"}, count=COUNT, seed=5):
            assert artwork.index == len(images)
            images.append(artwork.data)
            arrivals.append(time.monotonic())
            if marks and len(images) >= marks[0]:
                marks.pop(0)
                strike()
                arrivals.append(time.monotonic())  # what the strike itself took is not the system's pause
    assert not marks
    pauses = [after - before for before, after in itertools.pairwise(arrivals)]
    return images, max(pauses)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a model so slow that its workers are not far ahead of a caller, however busy the machine is."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_bundle(folder, work=1500)
    return folder


@pytest.fixture(scope="module")
def stack(models: Path) -> Iterator[Stack]:
    """Of one worker, which each test leaves whole."""
    with running_stack(models, UNIKAT_LEASE_S=LEASE_S) as stack:
        yield stack


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> list[bytes]:
    """The same images, and nothing happens."""
    images, _ = draw_through(stack, 0, lambda: None)
    return images


@pytest.mark.timeout(300)
def test_ten_killed_workers_in_a_row_lose_no_image(models: Path, undisturbed: list[bytes]) -> None:
    with running_stack(models, workers=2, UNIKAT_LEASE_S=LEASE_S) as stack:

        def strike() -> None:
            stack.kill(stack.drawing())
            stack.start_worker()

        images, pause = draw_through(stack, KILLS, strike)
        (job,) = stack.jobs()
        eventually(lambda: job.get_status() == "finished")  # RQ is told after the caller
    assert images == undisturbed
    assert pause <= 15


@pytest.mark.timeout(300)
def test_ten_killed_services_in_a_row_lose_no_image(stack: Stack, undisturbed: list[bytes]) -> None:
    with ThreadPoolExecutor(1) as starter:
        starts = [starter.submit(lambda: stack.service)]

        def strike() -> None:
            service = starts[-1].result()  # the service can answer a moment before its ready line is read
            assert service is not None
            service.kill()
            starts.append(starter.submit(stack.start_service))

        images, pause = draw_through(stack, KILLS, strike)
    eventually(lambda: {job.get_status() for job in stack.jobs()} == {"finished"})  # RQ is told after the caller
    assert images == undisturbed
    assert pause <= 15


@pytest.mark.timeout(300)
def test_a_valkey_that_is_killed_and_restarted_loses_no_image(stack: Stack, undisturbed: list[bytes]) -> None:
    def strike() -> None:
        stack.valkey.kill()
        stack.valkey.start()

    images, pause = draw_through(stack, 5, strike)
    assert images == undisturbed
    assert pause <= 15
