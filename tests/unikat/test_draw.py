"""One image by one call, against a real service and a real worker."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from tests.end_to_end.stack import Stack, pause, running_stack
from tests.support.processes import eventually, free_port
from tests.support.tiny_model import STYLES, write_tiny_bundle
from unikat import Artwork, AsyncStudio, Studio
from unikat.errors import Cancelled, DeadlineExceeded, InvalidRequest, NotFound, Unavailable


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    with running_stack(models) as running:
        yield running


@pytest.fixture
def studio(stack: Stack) -> Iterator[Studio]:
    with Studio(stack.target) as connected:
        yield connected


@contextmanager
def waiting_worker(stack: Stack) -> Iterator[None]:
    """Inside it, calls wait for a worker that draws nothing."""
    [worker] = stack.workers
    pause(worker)
    try:
        yield
    finally:
        worker.process.send_signal(signal.SIGCONT)


def unfinished(stack: Stack) -> int:
    return sum(job.is_started or job.is_queued for job in stack.jobs())


def test_it_is_the_image_that_generate_draws(studio: Studio) -> None:
    where = {"style": {"ink": 0.7, "oil": 0.3}}
    artwork = studio.draw("tiny", where, index=5, seed=7, truncation=0.5, format="webp")
    [same] = studio.generate("tiny", where, first_index=5, seed=7, truncation=0.5, format="webp")
    assert (artwork.id, artwork.data, artwork.media_type) == (same.id, same.data, "image/webp")
    assert same.accepted is None


def test_it_says_what_the_request_was_resolved_to(studio: Studio) -> None:
    artwork = studio.draw("tiny", {"style": "ink"}, index=np.int64(3))  # type: ignore[arg-type,unused-ignore]
    accepted = artwork.accepted
    assert accepted is not None
    assert (accepted.model, accepted.seed, accepted.count) == ("tiny@1", artwork.seed, 1)
    assert (accepted.first_index, accepted.conditions) == (3, {"style": "ink"})


def test_two_calls_with_one_request_id_share_a_job(studio: Studio) -> None:
    one, other = (studio.draw("tiny", seed=5, request_id="drawn-once").accepted for _ in range(2))
    assert one is not None
    assert other is not None
    assert one.job_id == other.job_id


def test_errors_are_typed(studio: Studio) -> None:
    with pytest.raises(InvalidRequest) as refused:
        studio.draw("tiny", {"style": "inc"})
    assert list(refused.value.fields) == ["conditions[0].category"]
    assert all(style in str(refused.value) for style in STYLES)
    with pytest.raises(InvalidRequest, match="index: must be a whole number"):
        studio.draw("tiny", index=True)
    with pytest.raises(NotFound):
        studio.draw("tony")
    with Studio(f"127.0.0.1:{free_port()}", reconnect_timeout=0.5) as nobody, pytest.raises(Unavailable):
        nobody.draw("tiny")


def test_a_deadline_ends_the_call_and_the_job(studio: Studio, stack: Stack) -> None:
    with waiting_worker(stack), pytest.raises(DeadlineExceeded):
        studio.draw("tiny", timeout=0.3)
    eventually(lambda: not unfinished(stack))


def test_a_killed_service_is_nothing_but_a_pause(studio: Studio, stack: Stack) -> None:
    def restart() -> None:
        eventually(lambda: unfinished(stack))
        assert stack.service is not None
        stack.service.kill()
        stack.start_service()

    drawn: list[Artwork] = []
    drawing = threading.Thread(target=lambda: drawn.append(studio.draw("tiny", seed=11)))
    with waiting_worker(stack):
        drawing.start()
        restart()
    drawing.join(30)
    assert drawn[0].data == studio.draw("tiny", seed=11).data


def test_closing_the_studio_ends_the_call(stack: Stack) -> None:
    studio = Studio(stack.target)
    closing = threading.Timer(0.2, studio.close)
    closing.start()
    with waiting_worker(stack), pytest.raises(Cancelled):
        studio.draw("tiny")
    closing.join()
    eventually(lambda: not unfinished(stack))


def test_the_same_with_asyncio(stack: Stack) -> None:
    async def draw() -> None:
        async with AsyncStudio(stack.target) as studio:
            drawn = await asyncio.gather(*(studio.draw("tiny", index=index, seed=7) for index in range(20)))
            assert [artwork.index for artwork in drawn] == list(range(20))
            [same] = [artwork async for artwork in studio.generate("tiny", first_index=19, seed=7)]
            assert drawn[19].data == same.data
            with pytest.raises(NotFound):
                await studio.draw("tony")

    asyncio.run(draw())


def test_cancelling_the_task_calls_the_job_off(stack: Stack) -> None:
    async def draw() -> None:
        async with AsyncStudio(stack.target) as studio:
            task = asyncio.create_task(studio.draw("tiny"))
            await asyncio.to_thread(eventually, lambda: unfinished(stack))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with waiting_worker(stack):
        asyncio.run(draw())
    eventually(lambda: not unfinished(stack))
