"""The asyncio client against a real service and a real worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually, free_port
from tests.support.tiny_model import write_tiny_bundle
from tests.unikat.test_client import unfinished
from unikat import AsyncStudio
from unikat.errors import Cancelled, DeadlineExceeded, InvalidRequest, NotFound, Unavailable


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "slow", work=6000)  # about 100 ms an image
    with running_stack(models) as running:
        yield running


def test_images_come_in_order(stack: Stack) -> None:
    async def draw() -> None:
        async with AsyncStudio(stack.target) as studio:
            drawing = studio.generate("tiny", {"style": "ink"}, count=20, seed=7)
            assert (await drawing.accepted()).model == "tiny@1"
            assert [artwork.index async for artwork in drawing] == list(range(20))
            assert drawing.finished is not None
            assert drawing.finished.count == 20
            assert [model.name for model in await studio.models()] == ["slow", "tiny"]
            assert (await studio.model("tiny")).version == 1

    asyncio.run(draw())


def test_many_calls_run_at_a_time(stack: Stack) -> None:
    async def draw(studio: AsyncStudio, seed: int) -> list[bytes]:
        return [artwork.data async for artwork in studio.generate("tiny", count=5, seed=seed)]

    async def draw_all() -> list[list[bytes]]:
        async with AsyncStudio(stack.target) as studio:
            return await asyncio.gather(*(draw(studio, seed % 10) for seed in range(30)))

    drawn = asyncio.run(draw_all())
    assert drawn[:10] == drawn[10:20] == drawn[20:]
    assert len({image for images in drawn for image in images}) == 50


def test_errors_are_typed(stack: Stack) -> None:
    async def ask() -> None:
        async with AsyncStudio(stack.target) as studio:
            with pytest.raises(InvalidRequest) as refused:
                await anext(studio.generate("tiny", {"style": "inc"}))
            assert list(refused.value.fields) == ["conditions[0].category"]
            with pytest.raises(NotFound):
                await studio.model("tony")
            with pytest.raises(DeadlineExceeded):
                [_ async for _ in studio.generate("slow", count=1000, timeout=0.5)]
        async with AsyncStudio(f"127.0.0.1:{free_port()}", reconnect_timeout=0.5) as studio:
            with pytest.raises(Unavailable):
                await anext(studio.generate("tiny"))

    asyncio.run(ask())


def test_a_cancelled_call_raises_and_its_job_is_called_off(stack: Stack) -> None:
    async def draw() -> str:
        async with AsyncStudio(stack.target) as studio:
            drawing = studio.generate("slow", count=1000)
            await anext(drawing)
            drawing.cancel()
            with pytest.raises(Cancelled):
                await anext(drawing)
            return (await drawing.accepted()).job_id

    job_id = asyncio.run(draw())
    eventually(lambda: not unfinished(stack, job_id))


def test_cancelling_the_task_calls_the_job_off(stack: Stack) -> None:
    async def draw() -> str:
        async with AsyncStudio(stack.target) as studio:
            drawing = studio.generate("slow", count=1000)
            await anext(drawing)

            async def rest() -> None:
                async for _ in drawing:
                    pass

            task = asyncio.create_task(rest())
            await asyncio.sleep(0)  # let it begin
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            job_id = (await drawing.accepted()).job_id
            await asyncio.to_thread(eventually, lambda: not unfinished(stack, job_id))
            return job_id

    assert asyncio.run(draw())


def test_an_iterator_that_is_dropped_calls_its_job_off(stack: Stack) -> None:
    async def begin(studio: AsyncStudio) -> str:
        drawing = studio.generate("slow", count=1000)
        async for _ in drawing:
            break
        return (await drawing.accepted()).job_id

    async def draw() -> None:
        async with AsyncStudio(stack.target) as studio:
            job_id = await begin(studio)
            await asyncio.to_thread(eventually, lambda: not unfinished(stack, job_id))

    asyncio.run(draw())
