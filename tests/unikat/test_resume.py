"""A service that is killed in the middle of a call: the client goes on by itself."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.tiny_model import write_tiny_bundle
from unikat import AsyncStudio, Studio
from unikat.errors import Unavailable

COUNT = 300


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models, work=600)  # about 10 ms an image
    with running_stack(models) as running:
        yield running


def kill_service(stack: Stack) -> None:
    assert stack.service is not None
    stack.service.kill()


def test_a_killed_service_is_nothing_but_a_pause(stack: Stack) -> None:
    with Studio(stack.target) as studio:
        undisturbed = [(artwork.id, artwork.data) for artwork in studio.generate("tiny", count=COUNT, seed=3)]
        images: list[tuple[str, bytes]] = []
        for artwork in studio.generate("tiny", count=COUNT, seed=3):
            assert artwork.index == len(images)
            images.append((artwork.id, artwork.data))
            if artwork.index in {50, 150}:
                kill_service(stack)
                threading.Thread(target=stack.start_service).start()
    assert images == undisturbed
    assert len(set(images)) == COUNT


def test_a_call_that_begins_at_an_index_goes_on_where_it_was(stack: Stack) -> None:
    with Studio(stack.target) as studio:
        images = []
        for artwork in studio.generate("tiny", count=COUNT, first_index=5000, seed=3):
            images.append(artwork.index)
            if artwork.index == 5100:
                kill_service(stack)
                threading.Thread(target=stack.start_service).start()
    assert images == list(range(5000, 5000 + COUNT))


def test_the_same_with_asyncio(stack: Stack) -> None:
    async def draw() -> list[int]:
        indexes = []
        async with AsyncStudio(stack.target) as studio:
            async for artwork in studio.generate("tiny", count=COUNT, seed=4):
                indexes.append(artwork.index)
                if artwork.index == 100:
                    kill_service(stack)
                    await asyncio.to_thread(stack.start_service)
        return indexes

    assert asyncio.run(draw()) == list(range(COUNT))


def test_a_service_that_stays_away_is_given_up(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, work=6000)
    with running_stack(tmp_path) as stack, Studio(stack.target, reconnect_timeout=1.0) as studio:
        drawing = studio.generate("tiny", count=COUNT)
        next(drawing)
        kill_service(stack)
        with pytest.raises(Unavailable, match=stack.target):
            list(drawing)
