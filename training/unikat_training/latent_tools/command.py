"""`unikat explore`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer

from unikat.bundle import Bundle, key_of, read_bundle
from unikat.cli.problems import Problem
from unikat.cli.where import describe, parse_where, typed_flag
from unikat.conditions import FieldError, Schema, check_conditions
from unikat.request import Where, conditions_of
from unikat.sampling import MAX_SEED, latents
from unikat.v1.model_pb2 import Model
from unikat_training.errors import TrainingError
from unikat_training.latent_tools.directions import Directions, read_directions
from unikat_training.latent_tools.drawing import GraphSampler
from unikat_training.latent_tools.paths import Point
from unikat_training.latent_tools.sheets import DEVIATIONS, STEPS
from unikat_training.latent_tools.tools import SHOWN, Exploration
from unikat_training.progress import progress_bar
from unikat_training.session import open_graph

IMAGES = ("0:0", "0:1", "0:2")


def explore(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle, as models/emoji/1.", show_default=False)],
    image: Annotated[
        list[str] | None,
        typer.Option(
            help="SEED or SEED:INDEX: start from this image, the one that the service draws; may be repeated.",
            show_default=" ".join(IMAGES),
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Condition: attribute=category, or attribute=one:0.7,other:0.3; may be repeated."),
    ] = None,
    to: Annotated[
        list[str] | None,
        typer.Option(help="Condition at the far end of interpolations, where it is another than --where."),
    ] = None,
    direction: Annotated[
        list[int] | None,
        typer.Option(help="Number of a direction, 1 being the first; may be repeated.", show_default=f"1 to {SHOWN}"),
    ] = None,
    strength: Annotated[
        float, typer.Option(help="How far to move to either side (standard deviations of the latent).")
    ] = DEVIATIONS,
    steps: Annotated[int, typer.Option(min=3, max=33, help="Images a strip (odd: one is in the middle).")] = STEPS,
    truncation: Annotated[
        float | None, typer.Option(help="0 (typical) to 1 (full variety) to 2.", show_default="the model's")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the sheets; those in it are replaced.", show_default="explorations/NAME-VERSION"),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Draw what lies around images of a bundle: along its directions, and on the way from one image to the next.

    Reads the bundle only, so there is no style mixing: its graph has one latent, and mixing wants two. The sheet in
    the bundle was made with the network in torch.
    """
    read = read_bundle(bundle)
    read.verify()
    directions = read_directions(read)
    psi = read.model.default_truncation if truncation is None else within("--truncation", truncation, 0, 2)
    points = points_of(read.model, image or IMAGES, where or [])
    ends = points_of(read.model, image or IMAGES, where or [], to or [])
    exploration = Exploration(
        points,
        pairs_of(points, ends, bool(to)),
        chosen_of(directions, direction, read),
        within("--strength", strength, 0.01, 100),
        odd(steps),
    )
    folder = out or Path("explorations") / key_of(read.model).replace("@", "-")
    for file in draw(read, directions, exploration, psi, folder, progress):
        typer.echo(file)


def within(option: str, value: float, least: float, most: float) -> float:
    if not (math.isfinite(value) and least <= value <= most):
        raise TrainingError(f"{option}: must be {least:g} to {most:g}, not {value}")
    return value


def odd(steps: int) -> int:
    if steps % 2 == 0:
        raise TrainingError(f"--steps: must be odd, so that the image itself is in the middle, not {steps}")
    return steps


def chosen_of(directions: Directions | None, given: Sequence[int] | None, bundle: Bundle) -> list[int]:
    """Positions of directions. Raises TrainingError for one that there is not, and for any where there are none."""
    if directions is None:
        if given:
            raise TrainingError(
                f"--direction: {bundle.path} has no directions; export the model again, and its bundle will"
            )
        return []
    for number in given or ():
        if not 1 <= number <= len(directions):
            raise TrainingError(f"--direction: must be 1 to {len(directions)}, not {number}")
    return [number - 1 for number in given] if given else list(range(min(SHOWN, len(directions))))


def points_of(model: Model, images: Sequence[str], where: Sequence[str], to: Sequence[str] = ()) -> list[Point]:
    """The images, as the service draws them: attributes that are not named follow from seed and index.

    What `to` names wins over `where`. Raises TrainingError for what is no image, and for unknown conditions.
    """
    asked = {**parsed(model, "--where", where), **parsed(model, "--to", to)}
    weights = check_conditions(model, conditions_of(asked))
    schema = Schema(model)
    points = []
    for text in images:
        seed, index = parse_image(text)
        (complete,) = schema.complete(weights, seed, [index])
        (latent,) = latents(seed, [index], model.latent_size)
        (vector,) = schema.vectors([complete])
        words = " ".join(describe(next(iter(of)) if len(of) == 1 else of) for of in complete.values())
        points.append(Point(f"image {seed}:{index}", latent, vector, words))
    return points


def parse_image(text: str) -> tuple[int, int]:
    """`7` to (7, 0), `7:3` to (7, 3)."""
    seed, _, index = text.partition(":")
    numbers = (seed, index or "0")
    if not all(number.isascii() and number.isdigit() for number in numbers) or text.endswith(":"):
        raise TrainingError(f'--image: must be SEED or SEED:INDEX, as 7 or 7:3, not "{text}"')
    if int(seed) > MAX_SEED or int(numbers[1]) > 2**32 - 1:
        raise TrainingError(f"--image: seeds are 0 to {MAX_SEED} and indices 0 to {2**32 - 1}, not {text}")
    return int(seed), int(numbers[1])


def parsed(model: Model, option: str, given: Sequence[str]) -> Where:
    try:
        where = parse_where(given)
        check_conditions(model, conditions_of(where))
    except FieldError as error:
        flag = typed_flag(where, error.field).replace("--where", option)
        raise TrainingError(f"{flag}: {error.message}") from error
    except Problem as problem:
        sentences = [part if part.endswith((".", "?")) else f"{part}." for part in (problem.message, *problem.hints)]
        told = " ".join(sentences).replace("--where", option)
        raise TrainingError(told if told.startswith(option) else f"{option}: {told}") from problem
    return where


def pairs_of(points: list[Point], ends: list[Point], other: bool) -> list[tuple[Point, Point]]:
    """From each image to the next; of a single one, to itself under the `other` condition, if there is one."""
    if len(points) == 1:
        return [(points[0], ends[0])] if other else []
    return [(start, end) for (start, _), (_, end) in zip(pairwise(points), pairwise(ends), strict=True)]


def draw(
    bundle: Bundle,
    directions: Directions | None,
    exploration: Exploration,
    truncation: float,
    out: Path,
    progress: bool,
) -> list[Path]:
    """The sheets' files. Raises TrainingError where the folder cannot be written, or there is nothing to draw."""
    if not len(exploration):
        raise TrainingError(
            f"--image: {bundle.path} has no directions, so one image has nowhere to go; name a second one, or --to"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)  # said before anything is drawn
        with progress_bar(len(exploration), 0, "image", progress) as bar:
            files = exploration.sheets(directions, GraphSampler(open_graph(bundle.graph), truncation, bar.update))
        for name, content in files.items():
            (out / name).write_bytes(content)
    except OSError as error:
        raise TrainingError(f"--out: {out}: {error.strerror or error}") from error
    return [out / name for name in files]
