"""`python -m benchmarks.startup`: the worker's start, the first image of each of two models, and its memory.

One service and one worker over one Valkey. The worker is started, and one image of each model is asked for while it
comes up; then lone images until all threads were tried, then 64 clients in one process.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.figures import ROOT, machine, write
from tests.end_to_end.stack import Stack
from tests.support.valkey import running_valkey
from unikat import Studio
from unikat.bundle import Bundle, key_of, list_bundles, read_bundle
from unikat.errors import Unavailable

_LONE = 100  # images asked for one after the other
_CLIENTS, _EACH = 64, 4  # clients, and images that each asks for of each model
_MIB = 2**20


@dataclass(frozen=True)
class Start:
    """One start: seconds since the program was started, and MiB resident."""

    ready: float
    first: tuple[float, ...]  # of each model, in turn
    memory: tuple[float, ...]  # ready, after the first images, after the lone ones, after the load, peak


def draw(studio: Studio, model: str, count: int = 1) -> None:
    """Ask until a worker is there."""
    while True:
        try:
            for _ in studio.generate(model, count=count):
                pass
        except Unavailable:
            time.sleep(0.01)
        else:
            return


def one_start(models: Path, names: list[str], cores: int) -> Start:
    """Start a worker and measure it."""
    with running_valkey("everysec") as valkey:
        stack = Stack(valkey, models, UNIKAT_THREADS=str(cores))
        try:
            stack.start_service()
            with Studio(stack.target) as studio:
                return _measure(stack, studio, names)
        finally:
            stack.close()


def _measure(stack: Stack, studio: Studio, names: list[str]) -> Start:
    begun = time.perf_counter()
    worker = stack.start_worker()
    worker.wait_for_line("worker ready")
    ready = time.perf_counter() - begun
    process = psutil.Process(worker.process.pid)
    memory = [process.memory_info().rss]
    first = []
    for name in names:
        draw(studio, name)
        first.append(time.perf_counter() - begun)
    memory.append(process.memory_info().rss)
    for name in names:
        for _ in range(_LONE):
            draw(studio, name)
    memory.append(process.memory_info().rss)
    with ThreadPoolExecutor(_CLIENTS) as clients:
        for name in names:
            list(clients.map(lambda _, name=name: draw(studio, name, _EACH), range(_CLIENTS)))
    memory.append(process.memory_info().rss)
    peak = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8").partition("VmHWM:")[2].split()[0]
    return Start(ready, tuple(first), (*(size / _MIB for size in memory), int(peak) / 1024))


def table(starts: list[Start], bundles: list[Bundle]) -> list[str]:
    """Markdown: medians."""

    files = sum(bundle.graph.stat().st_size for bundle in bundles) / _MIB
    lines = [
        f"{machine(bundles[0])}, and `{key_of(bundles[1].model)}`; {len(starts)} starts.",
        "",
        "| from the start of the worker's process | |",
        "| --- | ---: |",
    ]
    lines.append(f"| ready | {statistics.median(start.ready for start in starts):.2f} s |")
    for number, bundle in enumerate(bundles):
        seconds = statistics.median(start.first[number] for start in starts)
        lines.append(f"| and the first image of `{key_of(bundle.model)}` | {seconds:.2f} s |")
    stages = (
        "ready",
        f"after the first image of each (graphs: {files:.1f} MiB)",
        f"after {_LONE} lone images of each",
        f"after {_CLIENTS} clients asked for {_EACH} of each",
        "peak",
    )
    for number, stage in enumerate(stages):
        size = statistics.median(start.memory[number] for start in starts)
        lines.append(f"| memory, {stage} | {size:.0f} MiB |")
    return lines


def main() -> None:
    """Measure, print, and write where asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup", description=__doc__)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of bundles; its last two are used")
    parser.add_argument("--starts", type=int, default=3, help="starts of a worker")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    options = parser.parse_args()
    models = options.models.resolve()
    bundles = [read_bundle(path) for path in list_bundles(models)[-2:]]
    names = [key_of(bundle.model) for bundle in bundles]
    cores = len(os.sched_getaffinity(0))
    lines = table([one_start(models, names, cores) for _ in range(options.starts)], bundles)
    print("\n".join(lines))
    if options.write:
        write("startup", lines)


if __name__ == "__main__":
    main()
