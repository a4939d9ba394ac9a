"""`unikat demo`: the whole path once, from nothing to a sheet of new images."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from unikat.bundle import RGBA, list_bundles
from unikat.cli import options
from unikat.cli.generate import write_sheet
from unikat.cli.output import progress, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect
from unikat.cli.up.gallery import USUAL as GALLERY
from unikat.cli.up.process import tie_to_parent
from unikat.cli.where import describe

if TYPE_CHECKING:
    from PIL.Image import Image

    from unikat.artwork import Artwork
    from unikat.client import Studio
    from unikat.request import Where
    from unikat.v1.model_pb2 import Attribute, Model

ROWS: Final = 14
COLUMNS: Final = 10
GROUNDS: Final = ("#f6d8c6", "#cfe3f1", "#f5e6b3", "#d8ead2", "#e6d7ee", "#fbd9df", "#cdeae5")  # of models with alpha
STOPS_WITHIN: Final = 60.0  # seconds


def demo(
    models: options.Models = options.DEFAULT_MODELS,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the images.")] = Path("out/demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first column; each next one has the next.")] = 7,
) -> None:
    """Start everything on free ports, draw a sheet through the whole path, say where it is, and stop everything."""
    if not list_bundles(models):
        raise Problem(f"--models {models}: there is no model in it", "It holds <name>/<version>/.", code=BAD_INPUT)
    console = stdout()
    began = time.monotonic()
    with _running(models) as target, connect(options.Service(target, token="")) as studio:
        console.print(f"Valkey, service and worker are up after {time.monotonic() - began:.1f} s.", markup=False)
        model = studio.model(_best(studio))
        cells = plan(model)
        drawing = time.monotonic()
        drawn = _draw(studio, model, cells, seed)
        took = time.monotonic() - drawing
    path = _write(out, model, cells, drawn, seed)
    each = sorted(artwork.timings.drawn + artwork.timings.encoded for artwork in drawn.values())
    console.print(
        f"{len(drawn)} images of {model.name}@{model.version} in {took:.2f} s, one call each: "
        f"{len(drawn) / took:.0f} images/s; drawing and encoding took {1000 * each[len(each) // 2]:.1f} ms "
        f"in the median, on {next(iter(drawn.values())).renderer.provider}.",
        markup=False,
    )
    console.print(str(path), markup=False)
    program = sys.argv[0] if Path(sys.argv[0]).name == "unikat" else "unikat"
    console.print(f"To make your own in a browser: {program} up, then open http://{GALLERY}/", markup=False)


@contextmanager
def _running(models: Path) -> Iterator[str]:
    """`unikat up` in a folder that is removed afterwards; yields the target."""
    with tempfile.TemporaryDirectory(prefix="unikat-demo-") as data:
        arguments = ("--listen", "127.0.0.1:0", "--data", data, "--models", str(models), "--open", "")
        command = (sys.executable, "-P", "-m", "unikat.cli", "up", *arguments, "--gallery", "none")
        tie = tie_to_parent(signal.SIGTERM)
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=tie
        ) as process:
            try:
                assert process.stdout is not None
                ready = re.search(r"is ready on (\S+):", process.stdout.readline())
                if ready is None:
                    raise Problem("`unikat up` did not start; what it said stands above")
                yield ready[1]
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(STOPS_WITHIN)


def _best(studio: Studio) -> str:
    """Of the models that are served the one with the most pixels, the first by name."""
    served = sorted(studio.models(), key=lambda model: (-model.width * model.height, model.name))
    return served[0].name


@dataclass(frozen=True)
class Cell:
    """One image of the sheet."""

    label: str  # of its column
    where: Where
    offset: int  # of its seed


def plan(model: Model) -> list[list[Cell]]:
    """Rows of cells: a category of the first attribute each, and as the last one a blend of the first two rows.

    Columns are the categories of the second attribute, each with a seed of its own. Where it has few, every row has a
    seed of its own, and in each column one of the other attributes differs from what is usual.
    """
    attributes = list(model.attributes)
    if not attributes:
        return [[Cell("", {}, x + y * COLUMNS) for x in range(COLUMNS)] for y in range(ROWS // 2)]
    down = attributes[0]
    rows: list[Where] = [{down.name: name} for name in _common(down, ROWS)]
    if len(rows) > 1:
        rows.append({down.name: dict.fromkeys((str(row[down.name]) for row in rows[:2]), 0.5)})
    if len(attributes) == 1:
        columns: list[Cell] = [Cell("", {}, x) for x in range(COLUMNS)]
    elif len(attributes) == 2 or len(attributes[1].categories) > COLUMNS / 2:
        columns = [Cell(name, {attributes[1].name: name}, x) for x, name in enumerate(_common(attributes[1], COLUMNS))]
    else:
        looks = _one_by_one(model)
        return [[Cell(label, {**row, **where}, y) for label, where in looks] for y, row in enumerate(rows)]
    return [[replace(cell, where={**row, **cell.where}) for cell in columns] for row in rows]


def _one_by_one(model: Model) -> list[tuple[str, dict[str, str]]]:
    """The most frequent combination of all attributes but the first, and others that differ from it in one of them.

    Only combinations that were seen in training, in turn of each attribute, its most frequent categories first.
    """
    others = list(model.attributes)[1:]
    seen: Counter[tuple[int, ...]] = Counter()
    for combination in model.combinations:
        seen[tuple(combination.categories)[1:]] += combination.count
    usual = max(seen, key=lambda places: (seen[places], places))
    changes: list[list[tuple[str, tuple[int, ...]]]] = [[] for _ in others]  # by attribute: label and combination
    for places, _ in seen.most_common():
        differing = [i for i, (one, other) in enumerate(zip(places, usual, strict=True)) if one != other]
        if len(differing) == 1:
            (i,) = differing
            changes[i].append((f"{others[i].name}: {others[i].categories[places[i]].name}", places))
    turns = [change for turn in zip_longest(*changes) for change in turn if change is not None]
    return [
        (label, {a.name: a.categories[place].name for a, place in zip(others, places, strict=True)})
        for label, places in [("as usual", usual), *turns[: COLUMNS - 1]]
    ]


def _common(attribute: Attribute, limit: int) -> list[str]:
    """The most frequent categories, in the model's order."""
    often = sorted(attribute.categories, key=lambda category: -category.count)[:limit]
    names = {category.name for category in often}
    return [category.name for category in attribute.categories if category.name in names]


def _draw(studio: Studio, model: Model, cells: list[list[Cell]], seed: int) -> dict[tuple[int, int], Artwork]:
    """One call a cell, all at once: the service queues them, the worker puts them into batches."""
    reference, alpha = f"{model.name}@{model.version}", model.channels == RGBA
    calls = {
        (x, y): studio.generate(
            reference,
            cell.where,
            seed=seed + cell.offset,
            background=GROUNDS[(x + 3 * y) % len(GROUNDS)] if alpha else "",
        )
        for y, row in enumerate(cells)
        for x, cell in enumerate(row)
    }
    drawn: dict[tuple[int, int], Artwork] = {}
    with progress("Drawing", len(calls)) as show:
        for place, call in calls.items():
            artwork = next(call, None)
            if artwork is None:
                raise Problem("an image of the sheet is not delivered", *(each.detail for each in call.refused))
            drawn[place] = artwork
            show(len(drawn), len(calls))
    return drawn


def _write(out: Path, model: Model, cells: list[list[Cell]], drawn: dict[tuple[int, int], Artwork], seed: int) -> Path:
    from unikat.sheet import Sheet

    for (x, y), artwork in drawn.items():
        artwork.save(out / f"{model.name}-s{artwork.seed}-row{y}-column{x}{artwork.suffix}")
    rows: list[list[Image | None]] = [[drawn[x, y].image() for x in range(len(row))] for y, row in enumerate(cells)]
    down = model.attributes[0].name if model.attributes else ""
    sheet = Sheet(
        rows,
        f"{model.name}@{model.version}: new images, drawn to order",
        f"seeds from {seed}" + (f"; a row is a {down}, the last one a blend of two" if down else ""),
        [describe(row[0].where[down]) for row in cells] if down else [],
        [cell.label for cell in cells[0]] if cells[0][0].label else (),
    )
    return write_sheet(out, sheet.draw())
