"""`python -m benchmarks gate`: what the content gate costs, and what it says of drawings of the bundled models."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Final

import numpy as np
import typer

from benchmarks.figures import ROOT, write
from benchmarks.provenance.pictures import drawings
from unikat_worker.content_gate import ContentGate
from unikat_worker.content_limits import ContentLimits
from unikat_worker.device import choose_device
from unikat_worker.settings import DeviceName

MODELS: Final = ("portraits", "emoji", "fashion-mnist")
LIMITS: Final = (0.5, 0.8)
SEED: Final = 11


def report(count: int) -> Iterator[str]:
    """The table's lines: of each model the time an image and the scores, from `count` drawings.

    Times are the thread's own, so that they say the same on a machine that does other work as well.
    """
    gate = ContentGate(ContentLimits.parse(""), choose_device(DeviceName.CPU, threads=1))
    yield "| model | drawings | ms an image, of eight | ms alone | median | 99% below | highest |" + "".join(
        f" from {limit:g} on |" for limit in LIMITS
    )
    yield "| --- |" + " ---: |" * (6 + len(LIMITS))
    for name in MODELS:
        found, seconds = [], 0.0
        alone: list[float] = []
        for pixels in drawings(name, SEED, count):
            begun = time.thread_time()
            found.append(gate.scores(pixels))
            seconds += time.thread_time() - begun
            if len(alone) < 20:
                begun = time.thread_time()
                gate.scores(pixels[:1])
                alone.append(time.thread_time() - begun)
        scores = np.concatenate(found)
        low, high = np.quantile(scores, (0.5, 0.99))
        shares = "".join(f" {np.mean(scores >= limit):.2%} |" for limit in LIMITS)
        times = f"{seconds / count * 1e3:.1f} | {np.median(alone) * 1e3:.1f}"
        yield f"| {name} | {count:,} | {times} | {low:.4f} | {high:.3f} | {scores.max():.3f} |{shares}"


def gate(
    count: Annotated[int, typer.Option(help="drawings of each model", min=8)] = 1000,
    write_it: Annotated[bool, typer.Option("--write", help="into docs/provenance.md")] = False,
) -> None:
    """What the content gate costs, and which scores drawings of the bundled models have."""
    lines = list(report(count))
    print("\n".join(lines))
    if write_it:
        write("gate", lines, ROOT / "docs" / "provenance.md")
