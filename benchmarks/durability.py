"""`python -m benchmarks.durability`: what it costs that Valkey syncs every write before it answers.

Two stacks (service, worker, Valkey) take turns, one with `appendfsync everysec` and one with `always`, so that what the
disk and the machine do besides hits both. The folder for temporary files should lie on the disk that matters.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import ROOT, machine, newest, percentile, write
from tests.end_to_end.shop import Shop, plan, running_shop
from unikat import AsyncStudio
from unikat.bundle import Bundle, key_of

POLICIES = ("everysec", "always")
CLIENTS = (1, 64)
BATCHES = (1_000, 100_000)  # images
WRITES = 100  # lone ones, in a round
CREATIONS = 3  # of each size, in a round


@dataclass
class Found:
    """Of one policy: seconds of each call, batch and lone write; calls a second of each round."""

    calls: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    rates: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    batches: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    writes: list[float] = field(default_factory=list)


async def load(target: str, model: str, clients: int, seconds: float, found: Found) -> None:
    """A closed loop of calls of one image each."""
    calls = found.calls[clients]
    before, until = len(calls), time.perf_counter() + seconds

    async def client(studio: AsyncStudio, number: int) -> None:
        seed = number
        while (began := time.perf_counter()) < until:
            await studio.draw(model, seed=seed)
            calls.append(time.perf_counter() - began)
            seed += clients

    async with AsyncStudio(target) as studio:
        began = time.perf_counter()
        await asyncio.gather(*(client(studio, number) for number in range(clients)))
        found.rates[clients].append((len(calls) - before) / (time.perf_counter() - began))


def one_round(shop: Shop, number: int, seconds: float, found: Found) -> None:
    """All loads on one stack, one after the other."""
    for clients in CLIENTS:
        asyncio.run(load(shop.stack.target, shop.model, clients, seconds, found))
    for _ in range(WRITES):
        began = time.perf_counter()
        shop.stack.redis.set("benchmark", "1")
        found.writes.append(time.perf_counter() - began)
    for images in BATCHES:
        for each in range(CREATIONS):
            began = time.perf_counter()
            batch = shop.create(f"{images}-{number}-{each}", plans=plan(images))
            found.batches[images].append(time.perf_counter() - began)
            shop.calls.cancel(batch.id)
            shop.calls.wait(batch.id, lambda found: found.HasField("end_time"))


@contextmanager
def shops(bundle: Bundle) -> Iterator[dict[str, Shop]]:
    """A running stack of each policy; one after the other is warm."""
    with ExitStack() as exits:
        folder = Path(exits.enter_context(tempfile.TemporaryDirectory()))
        running = {}
        for policy in POLICIES:
            (folder / policy).mkdir()
            threads = str(len(os.sched_getaffinity(0)))
            shop = running_shop(
                bundle.path.parents[1], folder / policy, key_of(bundle.model), fsync=policy, UNIKAT_THREADS=threads
            )
            running[policy] = exits.enter_context(shop)
        yield running


def table(bundle: Bundle, found: dict[str, Found], rounds: int) -> list[str]:
    """Markdown: medians over all rounds."""
    lines = [
        f"{machine(bundle)}; {rounds} rounds.",
        "",
        "| | `everysec` | `always` | ratio |",
        "| --- | ---: | ---: | ---: |",
    ]

    def row(what: str, values: list[float], digits: int, unit: str) -> None:
        one, other = values
        lines.append(f"| {what} | {one:.{digits}f} {unit} | {other:.{digits}f} {unit} | {other / one:.2f} |")

    each = [found[policy] for policy in POLICIES]
    row("a lone write to Valkey, p50", [1000 * statistics.median(f.writes) for f in each], 2, "ms")
    for clients in CLIENTS:
        name = f"`Draw`, {clients} client{'s' if clients > 1 else ''}"
        row(f"{name}: calls/s", [statistics.median(f.rates[clients]) for f in each], 0, "/s")
        for share in (0.5, 0.99):
            values = [1000 * percentile(f.calls[clients], share) for f in each]
            row(f"{name}: p{100 * share:.0f}", values, 1, "ms")
    for images in BATCHES:
        row(
            f"CreateBatch of {images:,} images, p50",
            [1000 * statistics.median(f.batches[images]) for f in each],
            0,
            "ms",
        )
    return lines


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.durability", description=__doc__)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of bundles")
    parser.add_argument("--model", default="emoji", help="the model; the faster it is, the more a sync shows")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each load in each round")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    bundle = newest(options.models.resolve(), options.model)
    found = {policy: Found() for policy in POLICIES}
    with shops(bundle) as running:
        for policy in POLICIES:
            asyncio.run(load(running[policy].stack.target, key_of(bundle.model), 4, 1.0, Found()))  # warms up
        for number in range(options.rounds):
            for policy in POLICIES if number % 2 else reversed(POLICIES):
                one_round(running[policy], number, options.seconds, found[policy])
    lines = table(bundle, found, options.rounds)
    print("\n".join(lines))
    if options.write:
        write(f"durability {options.model}", lines)


if __name__ == "__main__":
    main()
