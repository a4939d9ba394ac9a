"""`python -m benchmarks marks`: what watermark and metadata, which are on by default, cost of throughput.

Two stacks (service, worker, Valkey), one with marks and one without, take turns in one run.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import Annotated, Final

import typer

from benchmarks.figures import ROOT, newest, write
from benchmarks.metrics import load, stacks
from benchmarks.peers.environments import cache_folder
from benchmarks.programs import Reading
from benchmarks.reference import reference_bundles
from tests.end_to_end.stack import Stack
from unikat.bundle import Bundle, key_of
from unikat.mark_keys import NO_MARK, OPEN

LOADS: Final = {(64, 1): "64 × 1", (8, 1): "8 × 1", (8, 32): "8 × 32"}
HEADER: Final = (
    "| model | callers × images a call | images/s without | with | marks take | CPU ms an image without | with |",
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
)

Turn = tuple[float, float]  # images a second, CPU milliseconds of all programs an image


def one_turn(stack: Stack, model: str, clients: int, count: int, seconds: float) -> Turn:
    """A closed loop."""
    before, began = Reading.of(stack), time.perf_counter()
    images = asyncio.run(load(stack.target, model, clients, count, seconds))
    taken = time.perf_counter() - began
    return images / taken, sum(Reading.of(stack).cpu_ms(before, images).values())


def row(bundle: Bundle, which: tuple[int, int], turns: dict[str, list[Turn]]) -> str:
    """Medians of the turns, and of what neighbours in time say of the throughput that marks take."""
    (rate, cpu), (marked_rate, marked_cpu) = (
        [statistics.median(column) for column in zip(*turns[mark], strict=True)] for mark in (NO_MARK, OPEN)
    )
    taken = statistics.median(1 - one[0] / other[0] for one, other in zip(turns[OPEN], turns[NO_MARK], strict=True))
    size = f"{key_of(bundle.model)}, {bundle.model.width} px"
    return f"| {size} | {LOADS[which]} | {rate:.0f} | {marked_rate:.0f} | {taken:.0%} | {cpu:.1f} | {marked_cpu:.1f} |"


def marks(
    rounds: Annotated[int, typer.Option(help="Turns of each stack with each load.", min=1)] = 10,
    seconds: Annotated[float, typer.Option(help="Of a turn.", min=0.2)] = 3.0,
    keep: Annotated[bool, typer.Option("--write", help="Put the table into docs/provenance.md.")] = False,
) -> None:
    """Measure what marks cost of throughput: of `portraits`, and of the reference models of 64 and 128 px."""
    lines = list(HEADER)
    for bundle in (newest(ROOT / "models", "portraits"), *reference_bundles(cache_folder() / "models")):
        key, order = key_of(bundle.model), [NO_MARK, OPEN]
        with stacks(bundle, {mark: {"UNIKAT_MARK": mark} for mark in order}) as running:
            for stack in running.values():
                asyncio.run(load(stack.target, key, 8, 1, 1.0))  # warms up
            for clients, count in LOADS:
                turns: dict[str, list[Turn]] = {mark: [] for mark in order}
                for _ in range(rounds):
                    random.shuffle(order)
                    for mark in order:
                        turns[mark].append(one_turn(running[mark], key, clients, count, seconds))
                lines.append(row(bundle, (clients, count), turns))
                print(lines[-1])
    if keep:
        write("marks", lines, ROOT / "docs" / "provenance.md")
