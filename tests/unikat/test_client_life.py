"""What a program does around its calls: it forks, is interrupted, ends, uses threads and event loops."""

from __future__ import annotations

import asyncio
import inspect
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat import AsyncStudio, Studio
from unikat.errors import Cancelled

FORKS = """
import os, sys
from unikat import Studio
used = Studio()
print(*(artwork.index for artwork in used.generate("tiny", count=2)), flush=True)
child = os.fork()
if child == 0:
    try:
        studio = Studio() if "new" in sys.argv else used
        print(*(artwork.index for artwork in studio.generate("tiny", count=3)), flush=True)
    except RuntimeError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(*(artwork.index for artwork in used.generate("tiny", count=4)))
"""
LEAVES = """
from unikat import Studio
drawing = Studio().generate("slow", count=1000)
print(drawing.accepted.job_id)
"""
LEAVES_ASYNC = """
import asyncio
from unikat import AsyncStudio
async def begin():
    drawing = AsyncStudio().generate("slow", count=1000)
    print((await drawing.accepted()).job_id)
asyncio.run(begin())
"""
WAITS = """
from unikat import Studio
drawing = Studio().generate("slow", count=1000)
print("job", drawing.accepted.job_id, flush=True)
list(drawing)
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "slow", work=6000)  # about 100 ms an image
    with running_stack(models) as running:
        yield running


def run(stack: Stack, program: str, *arguments: str, **environment: str) -> str:
    """What a program prints; it must end well, in time, and print no error."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env={"UNIKAT_TARGET": stack.target} | environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def unfinished(stack: Stack, job_id: str) -> bool:
    return any(job.id == job_id and (job.is_started or job.is_queued) for job in stack.jobs())


@pytest.mark.parametrize("which", ["new", "used"])
def test_a_forked_process_is_told_what_it_needs_instead_of_hanging(stack: Stack, which: str) -> None:
    first, refused, last = run(stack, FORKS, which).splitlines()
    assert (first, last) == ("0 1", "0 1 2 3")
    assert "set GRPC_ENABLE_FORK_SUPPORT=1 before Python starts" in refused


@pytest.mark.parametrize("which", ["new", "used"])
def test_with_grpcs_support_for_forks_a_forked_process_draws(stack: Stack, which: str) -> None:
    assert run(stack, FORKS, which, GRPC_ENABLE_FORK_SUPPORT="1").splitlines() == ["0 1", "0 1 2", "0 1 2 3"]


@pytest.mark.parametrize("program", [LEAVES, LEAVES_ASYNC])
def test_a_program_that_ends_calls_its_jobs_off(stack: Stack, program: str) -> None:
    job_id = run(stack, program).strip()
    eventually(lambda: not unfinished(stack, job_id))


def test_an_interrupted_program_calls_its_job_off(stack: Stack) -> None:
    waiting = subprocess.Popen(
        [sys.executable, "-c", WAITS], env={"UNIKAT_TARGET": stack.target}, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with waiting:
        assert waiting.stdout is not None
        job_id = waiting.stdout.readline().split()[1]
        assert unfinished(stack, job_id)
        waiting.send_signal(signal.SIGINT)
        assert waiting.wait(10) == -signal.SIGINT
    eventually(lambda: not unfinished(stack, job_id))


def test_closing_a_studio_ends_the_calls_of_other_threads(stack: Stack) -> None:
    studio = Studio(stack.target)
    drawing = studio.generate("slow", count=1000)
    next(drawing)
    closing = threading.Timer(0.2, studio.close)
    closing.start()
    with pytest.raises(Cancelled):
        list(drawing)
    closing.join()


def test_closing_an_asyncio_studio_ends_its_calls(stack: Stack) -> None:
    async def draw() -> None:
        studio = AsyncStudio(stack.target)
        drawing = studio.generate("slow", count=1000)
        await anext(drawing)
        asyncio.get_running_loop().call_later(0.2, lambda: closing.append(asyncio.ensure_future(studio.close())))
        closing: list[asyncio.Future[None]] = []
        with pytest.raises(Cancelled):
            [_ async for _ in drawing]
        await closing[0]

    asyncio.run(draw())


def test_a_blocking_studio_can_be_used_where_an_event_loop_runs(stack: Stack) -> None:
    async def draw() -> list[int]:
        with Studio(stack.target) as studio:
            assert [batch.id for batch in studio.batches()] == []
            return [artwork.index for artwork in studio.generate("tiny", count=3)]

    assert asyncio.run(draw()) == [0, 1, 2]


def test_an_asyncio_studio_is_made_before_its_loop_and_used_from_one_after_the_other(stack: Stack) -> None:
    studio = AsyncStudio(stack.target)

    async def draw() -> list[int]:
        return [artwork.index async for artwork in studio.generate("tiny", count=3)]

    assert studio.target == stack.target
    assert asyncio.run(draw()) == [0, 1, 2]
    assert asyncio.run(draw()) == [0, 1, 2]


def test_a_list_that_is_left_early_is_closed(stack: Stack) -> None:
    with Studio(stack.target) as studio:
        listed = studio.batches()
        listed_by_nobody = studio.batches()
        assert next(listed, None) is None
        del listed, listed_by_nobody
        assert studio.models()


def test_methods_show_their_arguments_and_what_they_do() -> None:
    assert Studio.generate.__doc__ == AsyncStudio.generate.__doc__
    assert list(inspect.signature(Studio.draw).parameters)[:3] == ["self", "model", "where"]
    assert not inspect.iscoroutinefunction(Studio.draw)
