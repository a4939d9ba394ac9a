"""`unikat invert`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
import typer

from unikat.bundle import Bundle, find_bundle, key_of, list_bundles, read_bundle
from unikat.cli import options
from unikat.cli.problems import Problem
from unikat.cli.where import parse_where, typed_flag
from unikat.conditions import FieldError, Weights, check_conditions
from unikat.request import conditions_of
from unikat.sampling import MAX_SEED
from unikat.v1.model_pb2 import Model
from unikat_training.data.memory import UnsafePictureError
from unikat_training.data.pictures import BrokenPictureError, OtherFormatError, decode, fit
from unikat_training.errors import TrainingError
from unikat_training.inversion.eye import Eye
from unikat_training.inversion.inverted import Inverted, said, write_inverted
from unikat_training.inversion.optimise import Optimiser, Scale, has_weights, load_generator
from unikat_training.inversion.search import TRUNCATION, Search, nearest_points
from unikat_training.latent_tools.drawing import GraphSampler
from unikat_training.progress import progress_bar
from unikat_training.session import open_graph

Pixels = npt.NDArray[np.uint8]
STARTS = 4  # nearest points that the optimisation begins at: it ends where its start lets it


@dataclass(frozen=True)
class Effort:
    """How long is looked."""

    points: int = 2000
    steps: int = 300
    seed: int = 0
    progress: bool = True


def invert(
    picture: Annotated[
        Path, typer.Argument(help="The picture; of one that is not square, the middle.", show_default=False)
    ],
    model: Annotated[str, typer.Option(help="Model below --models (portraits, portraits@2), or a bundle's folder.")],
    models: options.Models = options.DEFAULT_MODELS,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Condition: attribute=category, or attribute=one:0.7,other:0.3; may be repeated.",
            show_default="the nearest point's",
        ),
    ] = None,
    points: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many points are compared.")] = Effort.points,
    steps: Annotated[
        int, typer.Option(min=0, max=100_000, help="Steps of the optimisation; 0: the nearest point only.")
    ] = Effort.steps,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the points.")] = Effort.seed,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="PNG of the picture and its drawings; a .json beside it has the recipe."),
    ] = Path("inverted.png"),
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Find a recipe whose drawing comes near a picture: the nearest of many points, then its latent optimised.

    The latent is optimised where the bundle has its training weights.
    """
    if out.suffix.lower() != ".png":
        raise TrainingError(f"--out: the name must end in .png, not {out}")
    bundle = find_model(model, models)
    bundle.verify()
    if bundle.model.width != bundle.model.height:
        raise TrainingError(f"--model: {key_of(bundle.model)} draws pictures that are not square")
    weights = typed_weights(bundle.model, where or [])
    pixels = read_picture(picture, bundle.model.width)
    found = invert_picture(bundle, (picture.name, pixels), weights, Effort(points, steps, seed, progress))
    for file in write_inverted(found, out):
        typer.echo(file)
    typer.echo(f"nearest point: {said(found.nearest)}")
    if found.optimised:
        typer.echo(f"optimised: {said(found.optimised)}")
    elif steps:
        typer.echo(f"{key_of(bundle.model)} has no training weights here, so this is the nearest point only")
    typer.echo(f"Draw it: {found.command}")


def typed_weights(model: Model, given: Sequence[str]) -> Weights:
    """Conditions as they were typed. Raises TrainingError for what the model does not know."""
    try:
        where = parse_where(given)
        return check_conditions(model, conditions_of(where))
    except FieldError as error:
        raise TrainingError(f"{typed_flag(where, error.field)}: {error.message}") from error
    except Problem as problem:
        sentences = [part if part.endswith((".", "?")) else f"{part}." for part in (problem.message, *problem.hints)]
        raise TrainingError(" ".join(sentences)) from problem


def find_model(reference: str, models: Path) -> Bundle:
    """Raises TrainingError where there is none, BundleError for one that cannot be used."""
    folder: Path | None = Path(reference)
    if not (Path(reference) / "model.json").is_file():
        try:
            folder = find_bundle(models, reference)
        except ValueError:
            folder = None
    if folder is None:
        known = ", ".join(f"{path.parent.name}@{path.name}" for path in list_bundles(models)) or "none"
        raise TrainingError(f"--model: {reference} is no bundle's folder, and no model below {models} (there: {known})")
    return read_bundle(folder)


def read_picture(path: Path, side: int) -> Pixels:
    """(side, side, 3), on white. Raises TrainingError for what is no picture that can be read."""
    try:
        return fit(decode(path.read_bytes()), side, "crop")
    except OSError as error:
        raise TrainingError(f"{path}: {error.strerror or error}") from error
    except (BrokenPictureError, OtherFormatError, UnsafePictureError) as error:
        raise TrainingError(f"{path}: not a picture that can be read: {error}") from error


def invert_picture(bundle: Bundle, picture: tuple[str, Pixels], asked: Weights, effort: Effort) -> Inverted:
    """Of a picture's name and pixels (H, H, 3), under the conditions that are `asked` for.

    Raises TrainingError where the features' weights cannot be fetched.
    """
    name, pixels = picture
    session, eye = open_graph(bundle.graph), Eye(pixels)
    with progress_bar(effort.points, 0, "image", effort.progress) as bar:
        bar.set_description("looking for the nearest point")
        sampler = GraphSampler(session, TRUNCATION, bar.update)
        starts = nearest_points(bundle.model, sampler, eye, Search(asked, effort.seed, effort.points, STARTS))
    nearest = starts[0]
    inverted = Inverted(bundle.model, name, pixels, eye.name, nearest)
    if not (effort.steps and has_weights(bundle)):
        return inverted
    with progress_bar(effort.steps, 0, "step", effort.progress) as bar:
        bar.set_description("optimising the latent")
        found = Optimiser(
            load_generator(bundle), GraphSampler(session, TRUNCATION), eye, effort.steps, bar.update
        ).nearer(starts)
    scale = Scale.of(nearest.distance)
    best = min([nearest, *found], key=lambda each: scale.score(each.distance))
    return Inverted(bundle.model, name, pixels, eye.name, nearest, best)
