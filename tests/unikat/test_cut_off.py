"""A proxy that resets streams: to the caller it is nothing but a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.frames import CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR
from tests.support.proxy import resetting_proxy
from tests.support.tiny_model import write_tiny_bundle
from unikat import AsyncStudio, Batch, Studio
from unikat.errors import Unavailable

COUNT = 40
CODES = [NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, out: Path) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, work=600)  # about 10 ms an image
    with running_stack(models, UNIKAT_DESTINATIONS=str(out)) as running:
        yield running


@pytest.mark.parametrize("code", CODES)
def test_a_stream_that_is_reset_goes_on(stack: Stack, code: int) -> None:
    with resetting_proxy(stack.target, code, resets=2) as proxy, Studio(proxy.target) as studio:
        assert [artwork.index for artwork in studio.generate("tiny", count=COUNT, seed=1)] == list(range(COUNT))
        assert proxy.resets.left == 0


@pytest.mark.parametrize("code", CODES)
def test_the_same_with_asyncio(stack: Stack, code: int) -> None:
    async def draw(target: str) -> list[int]:
        async with AsyncStudio(target) as studio:
            return [artwork.index async for artwork in studio.generate("tiny", count=COUNT, seed=1)]

    with resetting_proxy(stack.target, code, resets=2) as proxy:
        assert asyncio.run(draw(proxy.target)) == list(range(COUNT))
        assert proxy.resets.left == 0


@pytest.mark.parametrize("code", CODES)
def test_a_watch_that_is_reset_goes_on(stack: Stack, out: Path, code: int) -> None:
    with resetting_proxy(stack.target, code, after=1) as proxy, Studio(proxy.target) as studio:
        batch = studio.create_batch("tiny", to=out / f"watched-{code}", count=5 * COUNT, shard_size=8)
        seen: list[Batch] = list(studio.watch_batch(batch.id))
        assert proxy.resets.left == 0
    revisions = [each.revision for each in seen]
    assert revisions == sorted(set(revisions)), "nothing twice"
    assert (seen[-1].state, seen[-1].drawn) == ("SUCCEEDED", 5 * COUNT)


@pytest.mark.parametrize("code", CODES)
def test_an_answer_that_is_reset_is_asked_for_again(stack: Stack, out: Path, code: int) -> None:
    with resetting_proxy(stack.target, code, after=0, resets=0) as proxy, Studio(proxy.target) as studio:
        proxy.resets.left = 1
        assert studio.model("tiny").name == "tiny"
        proxy.resets.left = 1
        assert studio.draw("tiny", index=3).index == 3
        proxy.resets.left = 1
        batch = studio.create_batch("tiny", to=out / f"created-{code}", count=1, shard_size=1, owner=f"created-{code}")
        assert [each.id for each in studio.batches(owner=f"created-{code}")] == [batch.id]
        assert proxy.resets.left == 0


def test_a_proxy_that_never_stops_is_given_up_and_named(stack: Stack) -> None:
    with (
        resetting_proxy(stack.target, INTERNAL_ERROR, after=1, resets=10_000) as proxy,
        Studio(proxy.target, reconnect_timeout=0.5) as studio,
        pytest.raises(Unavailable, match=f"{proxy.target} cut the call off") as cut,
    ):
        list(studio.generate("tiny", count=COUNT))
    assert cut.value.reason == ""
