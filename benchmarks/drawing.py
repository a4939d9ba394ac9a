"""Python time of an image outside the session call and the encoder: inputs before, the message after.

`python -m benchmarks.drawing`; `--write` puts the table into benchmarks/DRAWING.md, which says what the columns are.
One thread. Every batch is of other images, as in a worker: one-image jobs, each with a weights object of its own.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.figures import ROOT, machine, newest, write
from unikat.bundle import Bundle
from unikat.conditions import Schema, Weights
from unikat.v1.studio_pb2 import Renderer
from unikat_worker.drawing import ImageFile, Responses, Times
from unikat_worker.inputs import feeds
from unikat_worker.rows import Row

SIZES: Final = (1, 4, 8, 32)
PAGE: Final = ROOT / "benchmarks" / "DRAWING.md"
_FILE: Final = ImageFile(bytes(5000), "image/png", bytes(32), bytes(32))
_TIMES: Final = Times(queued=0.001, batched=0.002, drawn=0.006, encoded=0.0001)


def requests(schema: Schema) -> dict[str, Callable[[], Weights]]:
    """What jobs ask for, by name: each call gives an object of its own."""
    attributes = schema.model.attributes
    named = {attribute.name: attribute.categories[0].name for attribute in attributes}
    first, second = (category.name for category in attributes[0].categories[:2])
    return {
        "all attributes open": dict,
        "all given": lambda: {name: {category: 1.0} for name, category in named.items()},
        "a blend, the others open": lambda: {attributes[0].name: {first: 0.25, second: 0.75}},
    }


def microseconds(bundle: Bundle, ask: Callable[[], Weights], size: int, batches: int) -> tuple[float, float]:
    """Inputs and messages of batches of `size` one-image jobs: the medians, in microseconds an image."""
    schema, model = Schema(bundle.model), bundle.model
    responses = Responses(model, Renderer(provider="CPUExecutionProvider", runtime="onnxruntime", processor="x86_64"))
    inputs, messages = [], []
    for batch in range(batches):
        asked = [(ask(), 2**63 + batch * size + row) for row in range(size)]
        begun = time.perf_counter()
        rows = [Row(weights, seed, 0, 0.75) for weights, seed in asked]
        _, complete = feeds(schema, bundle.model, rows)
        fed = time.perf_counter()
        for row, conditions in zip(rows, complete, strict=True):
            responses.response(row, conditions, _FILE, _TIMES)
        inputs.append((fed - begun) / size)
        messages.append((time.perf_counter() - fed) / size)
    return statistics.median(inputs) * 1e6, statistics.median(messages) * 1e6


def table(bundle: Bundle, batches: int) -> Iterator[str]:
    """Markdown."""
    yield "| request | images in a batch | inputs µs an image | messages µs an image | both |"
    yield "| --- | ---: | ---: | ---: | ---: |"
    for name, ask in requests(Schema(bundle.model)).items():
        for size in SIZES:
            inputs, messages = microseconds(bundle, ask, size, batches)
            yield f"| {name} | {size} | {inputs:.1f} | {messages:.1f} | {inputs + messages:.1f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drawing", description=__doc__)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of bundles")
    parser.add_argument("--batches", type=int, default=2000, help="batches a figure")
    parser.add_argument("--write", action="store_true", help=f"write the table into {PAGE.name}")
    options = parser.parse_args()
    bundle = newest(options.models, "emoji")
    figures = [f"{machine(bundle)}, NumPy {np.__version__}; medians of {options.batches} batches.", ""]
    figures += table(bundle, options.batches)
    print("\n".join(figures))
    if options.write:
        write("drawing", figures, PAGE)
