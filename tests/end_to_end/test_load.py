"""Many callers at once: every image arrives once, in order, whole, and the same whatever else is drawn."""

from __future__ import annotations

import asyncio
import io
import random
from pathlib import Path

import pytest
from PIL import Image

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually
from tests.support.tiny_model import STYLES, SUBJECTS, write_tiny_bundle
from unikat import AsyncStudio

CALLS = 200
Where = dict[str, str | dict[str, float]]
Order = tuple[Where, int, int]


def an_order(dice: random.Random) -> Order:
    """(conditions, count, seed): categories, blends and attributes left out, at random."""
    where: Where = {}
    if dice.random() < 0.7:
        where["style"] = dice.choice(STYLES) if dice.random() < 0.5 else {s: dice.random() + 0.1 for s in STYLES}
    if dice.random() < 0.7:
        where["subject"] = dice.choice(SUBJECTS)
    return where, dice.randint(1, 32), dice.getrandbits(64)


async def draw(studio: AsyncStudio, order: Order) -> list[bytes]:
    """The images of an order, checked one by one."""
    where, count, seed = order
    images: list[bytes] = []
    async for artwork in studio.generate("tiny", where, count=count, seed=seed):
        assert artwork.index == len(images)
        image = Image.open(io.BytesIO(artwork.data))
        image.load()
        assert image.format == "PNG"
        assert image.size == (artwork.width, artwork.height) == (16, 16)
        images.append(artwork.data)
    assert len(images) == count
    return images


async def draw_all(stack: Stack, orders: list[Order]) -> list[list[bytes]]:
    async with AsyncStudio(stack.target) as studio:
        return await asyncio.gather(*(draw(studio, order) for order in orders))


@pytest.mark.timeout(240)
def test_two_hundred_calls_at_once_are_all_served_and_repeat_to_the_byte(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, work=20)
    dice = random.Random(20261122)
    orders = [an_order(dice) for _ in range(CALLS)]
    with running_stack(tmp_path, workers=2) as stack:
        first = asyncio.run(draw_all(stack, orders))
        jobs = stack.jobs()
        assert len(jobs) == CALLS
        eventually(lambda: all(job.get_status() == "finished" for job in jobs))  # RQ is told after the caller
        assert len({job.worker_name for job in jobs}) == 2  # both took part
        stack.kill(stack.workers[0])  # from here on, one worker
        shuffled = list(range(CALLS))
        dice.shuffle(shuffled)
        again = asyncio.run(draw_all(stack, [orders[i] for i in shuffled]))
        assert [again[shuffled.index(i)] for i in range(CALLS)] == first
        alone = asyncio.run(draw_all(stack, orders[:1]))
        assert alone == first[:1]
