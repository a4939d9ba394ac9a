"""`unikat demo`: the whole path once, from nothing to a sheet of new images."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from unikat.bundle import list_bundles
from unikat.cli import options
from unikat.cli.output import progress, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect
from unikat.cli.up.process import tie_to_parent
from unikat.cli.where import describe

if TYPE_CHECKING:
    from PIL.Image import Image

    from unikat.artwork import Artwork
    from unikat.client import Studio
    from unikat.request import Where
    from unikat.v1.model_pb2 import Attribute, Model

ROWS: Final = 7
COLUMNS: Final = 10
PREFERRED: Final = "emoji"
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
    with _running(models) as target, connect(target, tls=False, ca=None) as studio:
        console.print(f"Valkey, service and worker are up after {time.monotonic() - began:.1f} s.", markup=False)
        model = _choose(studio)
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


@contextmanager
def _running(models: Path) -> Iterator[str]:
    """`unikat up` in a folder that is removed afterwards; yields the target."""
    with tempfile.TemporaryDirectory(prefix="unikat-demo-") as data:
        arguments = ("up", "--listen", "127.0.0.1:0", "--data", data, "--models", str(models), "--open", "")
        command = (sys.executable, "-P", "-m", "unikat.cli", *arguments)
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


def _choose(studio: Studio) -> Model:
    served = studio.models()
    names = [model.name for model in served]
    return studio.model(PREFERRED if PREFERRED in names else names[0])


def plan(model: Model) -> list[list[tuple[str, Where]]]:
    """Rows of cells, each a label and what to draw: styles by categories where there are two attributes or more.

    The last row is a blend of the first two rows.
    """
    attributes = list(model.attributes)
    if not attributes:
        return [[("", {}) for _ in range(COLUMNS)] for _ in range(ROWS)]
    down = attributes[0]
    rows: list[tuple[str, Where]] = [(name, {down.name: name}) for name in _common(down, ROWS)]
    if len(rows) > 1:
        half = {rows[0][0]: 0.5, rows[1][0]: 0.5}
        rows.append((describe(half), {down.name: half}))
    if len(attributes) == 1:
        return [[("", where) for _ in range(COLUMNS)] for _, where in rows]
    across = attributes[1]
    return [[(name, {**where, across.name: name}) for name in _common(across, COLUMNS)] for _, where in rows]


def _common(attribute: Attribute, limit: int) -> list[str]:
    """The most frequent categories, in the model's order."""
    often = sorted(attribute.categories, key=lambda category: -category.count)[:limit]
    names = {category.name for category in often}
    return [category.name for category in attribute.categories if category.name in names]


def _draw(
    studio: Studio, model: Model, cells: list[list[tuple[str, Where]]], seed: int
) -> dict[tuple[int, int], Artwork]:
    """One call a cell, all at once: the service queues them, the worker puts them into batches."""
    reference = f"{model.name}@{model.version}"
    # A column is one latent, drawn under the condition of each row; without attributes, every cell is another.
    rows_differ = bool(model.attributes)
    calls = {
        (x, y): studio.generate(reference, where, seed=seed + x + (0 if rows_differ else y * len(row)))
        for y, row in enumerate(cells)
        for x, (_, where) in enumerate(row)
    }
    drawn: dict[tuple[int, int], Artwork] = {}
    with progress("Drawing", len(calls)) as show:
        for place, call in calls.items():
            drawn[place] = next(call)
            show(len(drawn), len(calls))
    return drawn


def _write(
    out: Path, model: Model, cells: list[list[tuple[str, Where]]], drawn: dict[tuple[int, int], Artwork], seed: int
) -> Path:
    from unikat.sheet import Sheet

    for (x, y), artwork in drawn.items():
        artwork.save(out / f"{model.name}-s{artwork.seed}-row{y}-column{x}{artwork.suffix}")
    rows: list[list[Image | None]] = [[drawn[x, y].image() for x in range(len(row))] for y, row in enumerate(cells)]
    down = model.attributes[0].name if model.attributes else ""
    labels = [describe(row[0][1][down]) for row in cells] if down else []
    path = out / "sheet.png"
    title = f"{model.name}@{model.version}: new images, drawn to order"
    note = f"seeds from {seed}" + (
        f"; rows: {down}, columns: {model.attributes[1].name}" if len(model.attributes) > 1 else ""
    )
    Sheet(rows, title, note, labels, [label for label, _ in cells[0]] if cells[0][0][0] else ()).draw().save(path)
    return path
