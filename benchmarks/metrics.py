"""`python -m benchmarks metrics`: what numbers for Prometheus, a line of the log for every call, and spans cost.

Four stacks (service, worker, Valkey) take turns in one run, so that what else the machine does hits all: one that
writes warnings only, one with a line for every call, one that keeps numbers as well and is scraped in every turn, and
one that sends the spans of every call, to a collector in this process, beside the line.
"""

from __future__ import annotations

import asyncio
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer
from psutil import Process

from benchmarks.figures import ROOT, machine, newest, write
from benchmarks.programs import Reading
from tests.end_to_end.stack import Stack, running_stack
from tests.support.scrapes import ANY_PORT, scrape
from tests.support.spans import collecting
from unikat import AsyncStudio
from unikat.bundle import Bundle, key_of

QUIET, LINES, NUMBERS = "warnings only", "a line for every call", "the line, and numbers"
SPANS = "the line, and spans"
SETTINGS: Final[dict[str, dict[str, str]]] = {
    QUIET: {"UNIKAT_LOG_LEVEL": "warning"},
    LINES: {},
    NUMBERS: {"UNIKAT_METRICS": ANY_PORT},
    SPANS: {},  # with the collector's
}
LOADS: Final = {(64, 1): "64 clients, `Draw`", (8, 32): "8 clients, `Generate`, 32 images a call"}
SCRAPES: Final = 50
PROGRAMS: Final = ("service", "worker", "Valkey")

Found = dict[tuple[int, int], dict[str, list[dict[str, float]]]]  # load -> stack -> CPU ms an image of each program


async def load(target: str, model: str, clients: int, count: int, seconds: float) -> int:
    """A closed loop; the images that came."""
    until, images = time.perf_counter() + seconds, 0

    async def client(studio: AsyncStudio, seed: int) -> None:
        nonlocal images
        while time.perf_counter() < until:
            if count == 1:
                await studio.draw(model, seed=seed)
                images += 1
            else:
                async for _ in studio.generate(model, count=count, seed=seed):
                    images += 1
            seed += clients

    async with AsyncStudio(target) as studio:
        await asyncio.gather(*(client(studio, number) for number in range(clients)))
    return images


def one_turn(stack: Stack, model: str, clients: int, count: int, seconds: float) -> dict[str, float]:
    """CPU milliseconds an image, by program."""
    before = Reading.of(stack)
    images = asyncio.run(load(stack.target, model, clients, count, seconds))
    assert stack.service is not None
    for program in (stack.service, *stack.workers):
        if stack.env.get("UNIKAT_METRICS"):
            scrape(program)
    return Reading.of(stack).cpu_ms(before, images)


@contextmanager
def stacks(bundle: Bundle, kinds: Mapping[str, Mapping[str, str]]) -> Iterator[dict[str, Stack]]:
    """One of each kind, by its name; `kinds` has its variables."""
    with ExitStack() as exits, tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / bundle.path.parent.name
        models.mkdir()
        (models / bundle.path.name).symlink_to(bundle.path)
        threads = str(len(os.sched_getaffinity(0)))
        yield {
            name: exits.enter_context(
                running_stack(Path(folder), workers=1, fsync="everysec", UNIKAT_THREADS=threads, **settings)
            )
            for name, settings in kinds.items()
        }


def scraping(stack: Stack) -> dict[str, float]:
    """Milliseconds of a program's processor that a scrape takes."""
    assert stack.service is not None
    found = {}
    for name, program in (("service", stack.service), ("worker", stack.workers[0])):
        process = Process(program.process.pid)
        before = sum(process.cpu_times()[:2])
        for _ in range(SCRAPES):
            scrape(program)
        found[name] = 1000 * (sum(process.cpu_times()[:2]) - before) / SCRAPES
    return found


def table(bundle: Bundle, found: Found, rounds: int, scrapes: Mapping[str, float]) -> list[str]:
    """Markdown: medians over all rounds, and of the rounds' ratios."""
    lines = [
        f"{machine(bundle)}; {rounds} rounds; CPU ms an image of service, worker and Valkey together.",
        "",
        f"| | {' | '.join(SETTINGS)} | the line costs | the numbers cost | the spans cost |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for which, name in LOADS.items():
        totals = {kind: [sum(row.values()) for row in rows] for kind, rows in found[which].items()}
        cells = [f"{statistics.median(totals[kind]):.3f}" for kind in SETTINGS]
        costs = [_cost(totals, QUIET, LINES), _cost(totals, LINES, NUMBERS), _cost(totals, LINES, SPANS)]
        lines.append(f"| {name} | {' | '.join((*cells, *costs))} |")
        for program in PROGRAMS:
            of = [f"{statistics.median(row[program] for row in found[which][kind]):.3f}" for kind in SETTINGS]
            lines.append(f"| – {program} | {' | '.join(of)} | | | |")
    told = ", ".join(f"{ms:.1f} ms of the {name}'s" for name, ms in scrapes.items())
    return [*lines, "", f"A scrape takes {told} processor."]


def _cost(totals: Mapping[str, list[float]], without: str, with_it: str) -> str:
    """In percent: the median of what neighbours in time say."""
    ratios = [one / other - 1 for one, other in zip(totals[with_it], totals[without], strict=True)]
    return f"{100 * statistics.median(ratios):+.1f}%"


def metrics(
    model: Annotated[str, typer.Option(help="A shipped model: the faster it is, the more the rest shows.")] = "emoji",
    rounds: Annotated[int, typer.Option(help="Turns of each stack with each load.", min=1)] = 12,
    seconds: Annotated[float, typer.Option(help="Of a turn.", min=0.2)] = 3.0,
    keep: Annotated[bool, typer.Option("--write", help="Put the table into benchmarks/README.md.")] = False,
) -> None:
    """Measure what numbers for Prometheus, a line of the log for every call, and spans cost."""
    bundle = newest(ROOT / "models", model)
    key = key_of(bundle.model)
    found: Found = {which: defaultdict(list) for which in LOADS}
    order = list(SETTINGS)
    with collecting() as collector, ExitStack() as exits:
        spans = collector.environment | {"OTEL_BSP_SCHEDULE_DELAY": "5000"}
        running = exits.enter_context(stacks(bundle, SETTINGS | {SPANS: spans}))
        for stack in running.values():
            asyncio.run(load(stack.target, key, 8, 1, 1.0))  # warms up
        for _ in range(rounds):
            for clients, count in LOADS:
                random.shuffle(order)
                for name in order:
                    row = one_turn(running[name], key, clients, count, seconds)
                    found[clients, count][name].append(row)
        scrapes = scraping(running[NUMBERS])
    lines = table(bundle, found, rounds, scrapes)
    print("\n".join(lines))
    if keep:
        write(f"metrics {model}", lines)
