"""`python -m benchmarks.batches`: the figures of batches in benchmarks/README.md; `--write` puts them there.

One service and one worker over one Valkey on this machine, as in `python -m benchmarks`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.batches.creation import creation_table
from benchmarks.batches.drawing import drawing_table
from benchmarks.batches.fairness import fairness_table
from benchmarks.batches.latency import latency_table
from benchmarks.figures import ROOT, machine, newest, write
from tests.end_to_end.shop import Shop, running_shop
from unikat.bundle import Bundle, key_of


class Part(StrEnum):
    """What can be measured."""

    DRAWING = "drawing"
    LATENCY = "latency"
    FAIRNESS = "fairness"
    CREATION = "creation"


Tables = dict[Part, Callable[[Shop], list[str]]]


def tables(bundle: Bundle, images: int, quick: bool) -> Tables:
    """How each part is measured."""
    calls = 100 if quick else 600
    return {
        Part.DRAWING: lambda shop: drawing_table(shop, bundle, images, 3.0 if quick else 10.0),
        Part.LATENCY: lambda shop: latency_table(shop, calls),
        Part.FAIRNESS: lambda shop: fairness_table(shop, 20_000 if quick else 50_000, 500, 1 if quick else 5),
        Part.CREATION: lambda shop: creation_table(shop, 1_000_000, calls, 2 if quick else 20),
    }


def main(
    images: Annotated[int, typer.Option(help="Images of the large batches.", min=1)] = 100_000,
    model: Annotated[str, typer.Option(help="Its newest version is measured.")] = "emoji",
    models: Annotated[Path, typer.Option(help="Folder of bundles.")] = ROOT / "models",
    only: Annotated[list[Part] | None, typer.Option(help="Measure only this; may be repeated.")] = None,
    quick: Annotated[bool, typer.Option(help="A tenth of it: a look, not a figure.")] = False,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the images, removed afterwards; default: temporary.")
    ] = None,
    do_write: Annotated[bool, typer.Option("--write", help="Write the figures into benchmarks/README.md.")] = False,
) -> None:
    """Measure batches: images a second and memory, calls beside them, turns of owners, creation."""
    if do_write and (only or quick):
        raise typer.BadParameter("--write puts all figures there, and no quick ones: leave out --only and --quick")
    bundle = newest(models, model)
    measured = tables(bundle, images // 10 if quick else images, quick)
    lines = [machine(bundle) + ".", ""]
    with tempfile.TemporaryDirectory(dir=to) as folder:
        for part in only or list(Part):
            # A stack for each: what one part leaves in Valkey is not measured by the next.
            with running_shop(models, Path(folder), key_of(bundle.model), UNIKAT_THREADS="0") as shop:
                lines += [*measured[part](shop), ""]
    print("\n".join(lines))
    if do_write:
        write("batches", lines[:-1])


if __name__ == "__main__":
    typer.run(main)
