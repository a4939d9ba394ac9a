"""What an export adds to a bundle: directions, their strength, three sheets, and a section of the card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from unikat.directions import FILE
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model
from unikat_training.graph import ExportedGenerator
from unikat_training.latent_tools.directions import Directions, factorise, to_json
from unikat_training.latent_tools.drawing import GraphSampler, measure, strength_images
from unikat_training.latent_tools.paths import Point
from unikat_training.latent_tools.sheets import (
    DEVIATIONS,
    STEPS,
    direction_sheet,
    interpolation_sheet,
    mixing_sheet,
    offsets,
    ways,
)
from unikat_training.markdown import table
from unikat_training.pictures import Row
from unikat_training.progress import progress_bar
from unikat_training.session import open_graph

DIRECTIONS = "directions.png"
INTERPOLATION = "interpolation.png"
MIXING = "mixing.png"
SHOWN = 5  # directions on the sheet
MOVED = 3  # images that each is shown on
ENDS = 6  # images that are gone between, each to the next
MIXED = 8  # images that are mixed
SEED = 0  # that of the sample sheet


@dataclass(frozen=True)
class LatentTools:
    """Files of a bundle by their names, and what the card says of them (Markdown)."""

    files: dict[str, bytes]
    section: str


def latent_tools(
    exported: ExportedGenerator, graph: Path, model: Model, rows: Sequence[Row], progress: bool = False
) -> LatentTools:
    """Measures and draws with `graph`, the file of `exported`; `rows` are the conditions to show.

    Every image is drawn at the model's default truncation.
    """
    directions = factorise(exported.generator)
    points = points_of(model, rows)
    starts, pairs = points[:MOVED], list(pairwise(points[:ENDS]))
    mixes = exported.generator.separate_style
    chosen = range(min(SHOWN, len(directions)))
    strips = len(chosen) * len(starts) + sum(map(len, ways(pairs).values()))
    total = strength_images(len(directions)) + STEPS * strips + mixes * MIXED**2
    with progress_bar(total, 0, "image", progress) as bar:
        bar.set_description("drawing what latents do")
        sampler = GraphSampler(open_graph(graph), model.default_truncation, bar.update)
        directions = replace(directions, strength=measure(directions, model, sampler))
        files = {FILE: to_json(directions)}
        files[DIRECTIONS] = direction_sheet(directions, chosen, starts, offsets(DEVIATIONS, STEPS), sampler)
        files[INTERPOLATION] = interpolation_sheet(pairs, STEPS, sampler)
        if mixes:
            files[MIXING] = mixing_sheet(points[:MIXED], model.default_truncation, exported, bar.update)
    return LatentTools(files, section(directions, mixes))


def points_of(model: Model, rows: Sequence[Row]) -> list[Point]:
    """Image i of seed 0 under the i-th condition, with large steps through `rows`, so that neighbours differ."""
    order = [index for start in range(3) for index in range(start, len(rows), 3)]
    chosen = [rows[index] for index in (order * MIXED)[:MIXED]]
    found = latents(SEED, range(MIXED), model.latent_size)
    return [
        Point(f"image {index}", latent, row.condition, row.name)
        for index, (latent, row) in enumerate(zip(found, chosen, strict=True))
    ]


def section(directions: Directions, mixes: bool) -> str:
    return "\n\n".join(["## Latents", *of_directions(directions), of_interpolation(), of_mixing(mixes)])


def of_directions(directions: Directions) -> list[str]:
    if directions.strength is None:
        raise ValueError("the directions' strength has not been measured")
    strength = directions.strength
    head = ("direction", "eigenvalue (1: the mean direction)", "grey levels a standard deviation")
    rows = [
        (str(number), f"{value:.2f}", f"{strong:.1f}")
        for number, (value, strong) in enumerate(zip(directions.eigenvalues, strength.directions, strict=True), 1)
    ]
    rows += [
        ("drawn at random", "", f"{strength.random:.1f}"),
        ("*two independent latents*", "", f"*{strength.latents:.1f}*"),
    ]
    return [
        f"![directions]({DIRECTIONS})",
        f"Images 0 to {MOVED - 1} of seed {SEED}, framed, under the condition on the left, and their latents moved "
        f"along the first directions of `{FILE}`: eigenvectors of the weights that the latent meets first (Shen & "
        "Zhou, CVPR 2021). These are directions of the network. They have no names; one may change several things at "
        "once, and what it changes may depend on the image and on its condition. Sheets are not picked.",
        table(head, rows),
        "Grey levels, of 255, are the mean change of an image when its latent moves by one standard deviation; the "
        "last line is the difference between two images of one condition that have nothing else in common.",
    ]


def of_interpolation() -> str:
    return (
        f"![interpolation]({INTERPOLATION})\n\nFrom image to image: on an arc between latents, on a straight line "
        f"between conditions. All of it, like `{DIRECTIONS}`, was drawn by `generator.onnx`."
    )


def of_mixing(mixes: bool) -> str:
    if not mixes:
        return (
            "There is no sheet of style mixing: this generator has no style apart from its latent, which enters at one "
            "place only."
        )
    return (
        f"![mixing]({MIXING})\n\nStyle mixing: the row lends the latent that is drawn, the column the style (which "
        "is made of its own latent and condition). Framed are the images as they are. It takes the network in torch: "
        "`generator.onnx` has one latent."
    )
