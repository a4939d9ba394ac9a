"""`python -m benchmarks originality`: which copies are found, and how often pictures are taken for copies."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import onnxruntime as ort
import typer
from PIL import Image, ImageDraw

from benchmarks.provenance.pictures import Pixels
from unikat.bundle import RGBA, Bundle, key_of, read_bundle
from unikat.conditions import CompleteConditions, Schema
from unikat.originality import Measured, Neighbours
from unikat.sampling import latents_and_uniforms
from unikat_training.data.dataset import Dataset, Division, Shares
from unikat_training.planted_copies import DAMAGES, planted

BATCH: Final = 8
SHOWN: Final = 24  # pairs of the sheet
_SCALE: Final = 2
_LINE: Final = 12  # pixels for the distance below a pair


class Subject:
    """A bundle with an index, and the data set that it was trained on."""

    def __init__(self, bundle: Bundle, dataset: Path) -> None:
        found = Neighbours.of(bundle)
        if found is None:
            raise typer.BadParameter(f"{bundle.path} has no index; `unikat export` adds one")
        self.bundle, self.neighbours, self.schema = bundle, found, Schema(bundle.model)
        shares = Shares.of(json.loads(bundle.model.training.config))
        self.division: Division = Dataset.load(dataset).split(shares)

    def conditions(self, part: Dataset, chosen: Sequence[int]) -> list[CompleteConditions]:
        """Those that pictures of a data set are labelled with."""
        rows = [
            {
                each.name: {each.categories[label]: 1.0}
                for each, label in zip(part.attributes, part.labels[i], strict=True)
            }
            for i in chosen
        ]
        return self.schema.complete_rows(rows, [0.5] * len(rows))

    def measured(self, pictures: Sequence[Pixels], conditions: Sequence[CompleteConditions]) -> tuple[Measured, float]:
        """Of pictures of one size; and milliseconds of the processor an image."""
        starts = range(0, len(pictures), BATCH)
        begun = time.process_time()
        parts = [
            self.neighbours.measure(np.stack(pictures[at : at + BATCH]), conditions[at : at + BATCH]) for at in starts
        ]
        cost = (time.process_time() - begun) * 1e3 / len(pictures)
        joined = (np.concatenate([getattr(part, name) for part in parts]) for name in Measured.__annotations__)
        return Measured(*joined), cost

    def drawn(self, count: int) -> tuple[list[Pixels], list[CompleteConditions]]:
        """Drawings of the model, on white, with the conditions that were drawn for them."""
        model = self.bundle.model
        session = ort.InferenceSession(self.bundle.graph.read_bytes(), providers=["CPUExecutionProvider"])
        pictures: list[Pixels] = []
        conditions: list[CompleteConditions] = []
        for first in range(0, count, BATCH):
            indices = range(first, first + BATCH)
            latents, uniforms = latents_and_uniforms([3] * BATCH, indices, model.latent_size)
            complete = self.schema.complete_rows([{}] * BATCH, uniforms)
            feed = {"latent": latents, "truncation": np.full((BATCH, 1), model.default_truncation, np.float32)}
            if self.schema.size:
                feed["condition"] = self.schema.stacked(complete)
            if model.channels == RGBA:
                feed["background"] = np.ones((BATCH, 4), np.float32)
            pictures.extend(session.run(["image"], feed)[0])
            conditions.extend(complete)
        return pictures, conditions


def spread(part: Dataset, count: int) -> list[int]:
    """Positions of so many pictures of a part, evenly out of all."""
    return [int(i) for i in np.linspace(0, len(part) - 1, min(count, len(part)))]


def report(subject: Subject, count: int) -> Iterator[str]:
    """Tables, as Markdown."""
    trained, checked = subject.division.trained, subject.division.validation or subject.division.test
    if checked is None:
        raise typer.BadParameter(f"{key_of(subject.bundle.model)} was trained on all pictures: there are no others")
    yield f"`{key_of(subject.bundle.model)}`, {len(trained):,} training pictures:"
    yield from ("", "| pictures | measured | nearer than their limit |", "| --- | ---: | ---: |")
    chosen = spread(checked, count)
    held = subject.measured(list(checked.pixels(np.array(chosen))), subject.conditions(checked, chosen))[0]
    yield f"| held-out real pictures, those with a twin included | {len(held.near):,} | {held.near.mean():.2%} |"
    found, cost = subject.measured(*subject.drawn(count))
    yield f"| drawings | {len(found.near):,} | {found.near.mean():.2%} |"
    chosen = spread(trained, count // 5)
    conditions = subject.conditions(trained, chosen)
    originals = trained.pixels(np.array(chosen))
    for damage in DAMAGES:
        copies = subject.measured(planted(originals, damage), conditions)[0]
        yield f"| copies: {damage} | {len(copies.near):,} | {copies.near.mean():.1%} |"
    yield from ("", f"{cost:.2f} ms of one core an image, in batches of {BATCH}.")


def sheet(subject: Subject, count: int, path: Path) -> None:
    """The drawings that are nearest to a training picture, each beside it, with the distance."""
    pictures, conditions = subject.drawn(count)
    found, _ = subject.measured(pictures, conditions)
    nearest = np.argsort(found.distance, kind="stable")[:SHOWN]
    training = subject.division.trained.pixels(found.nearest[nearest])
    side = pictures[0].shape[0] * _SCALE
    columns = 6
    width, height = 2 * side + 8, side + _LINE + 4
    canvas = Image.new("RGB", (columns * width, -(-len(nearest) // columns) * height), "white")
    pen = ImageDraw.Draw(canvas)
    for place, (drawing, original) in enumerate(zip(nearest, training, strict=True)):
        left, top = place % columns * width, place // columns * height
        for at, picture in enumerate((pictures[drawing][..., :3], original)):
            enlarged = Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST)
            canvas.paste(enlarged, (left + at * side, top))
        told = f"{found.distance[drawing]:.2f}" + (" near" if found.near[drawing] else "")
        pen.text((left + 4, top + side), told, fill="black")
    canvas.save(path, optimize=True)


def originality(
    bundle: Annotated[Path, typer.Argument(help="of a version that has an index")],
    dataset: Annotated[Path, typer.Argument(help="that it was trained on")],
    count: Annotated[int, typer.Option(help="pictures of a kind; of copies a fifth")] = 2_000,
    out: Annotated[Path | None, typer.Option(help="picture of the nearest drawings beside training pictures")] = None,
) -> None:
    """How often pictures are taken for copies that are none, and which copies are found."""
    subject = Subject(read_bundle(bundle), dataset)
    print("\n".join(report(subject, count)))
    if out:
        sheet(subject, count, out)
