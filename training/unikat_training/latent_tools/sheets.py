"""The three sheets: directions, interpolation, style mixing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from unikat_training.graph import ExportedGenerator
from unikat_training.latent_tools.directions import Directions
from unikat_training.latent_tools.drawing import GraphSampler
from unikat_training.latent_tools.paths import Point, between, moved
from unikat_training.sheet import Block, Strip, draw_sheet, png

Pixels = npt.NDArray[np.uint8]
Pair = tuple[Point, Point]
STEPS = 9  # images a strip
TILE = 64  # pixels: larger images are made smaller, for an overview
DEVIATIONS = 4.0  # standard deviations at the ends of a strip


def offsets(deviations: float, steps: int) -> npt.NDArray[np.float32]:
    """So many steps from -deviations to +deviations; the middle one is exactly 0."""
    return np.linspace(-deviations, deviations, steps).astype(np.float32)


def direction_sheet(
    directions: Directions,
    chosen: Sequence[int],
    points: Sequence[Point],
    along: npt.NDArray[np.float32],
    sampler: GraphSampler,
) -> bytes:
    """A block a direction (`chosen` counts from 0), a row a point, moved by `along` standard deviations."""

    def strip(point: Point, index: int) -> Strip:
        path = moved(point, directions.vectors[index], along)
        return Strip(label(point), sampler.draw(path.latents, path.conditions), framed=len(along) // 2)

    blocks = [Block(told(directions, index), [strip(point, index) for point in points]) for index in chosen]
    title = "standard deviations that the latent is moved by; framed: the image itself"
    return png(draw_sheet(blocks, title, [signed(each) for each in along], TILE))


def told(directions: Directions, index: int) -> str:
    heading = f"direction {index + 1}"
    if directions.strength:
        heading += f": {directions.strength.directions[index]:.1f} grey levels a standard deviation"
    return heading


def signed(number: float) -> str:
    """`+4`, `0`, `−2.5`."""
    return f"{number:+.3g}".replace("-", "−") if number else "0"


def label(point: Point) -> str:
    return f"{point.name}\n{point.described}".strip()


def ways(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """What there is to interpolate, by what is said of it: a latent or a condition that a pair shares is no way."""
    latents = [pair for pair in pairs if differ(pair, "latent")]
    conditions = [pair for pair in pairs if differ(pair, "condition")]
    found = {
        "from one latent to another": [
            (a, replace(b, condition=a.condition, described=a.described)) for a, b in latents
        ],
        "one latent, from one condition to another": [
            (a, replace(b, latent=a.latent, name=a.name)) for a, b in conditions
        ],
        "both at once": [pair for pair in latents if differ(pair, "condition")],
    }
    return {heading: chosen for heading, chosen in found.items() if chosen}


def differ(pair: Pair, field: str) -> bool:
    return not np.array_equal(getattr(pair[0], field), getattr(pair[1], field))


def interpolation_sheet(pairs: Sequence[Pair], steps: int, sampler: GraphSampler) -> bytes:
    """A block for each of `ways`, a row a pair. There must be a way."""

    def strip(start: Point, end: Point) -> Strip:
        path = between(start, end, steps)
        return Strip(span(start, end), sampler.draw(path.latents, path.conditions))

    blocks = [Block(heading, [strip(*pair) for pair in chosen]) for heading, chosen in ways(pairs).items()]
    title = "left and right end: images as they are; between them: the way from one to the other"
    return png(draw_sheet(blocks, title, [percent(each) for each in np.linspace(0, 1, steps)], TILE))


def span(start: Point, end: Point) -> str:
    """Names what changes from one end to the other."""
    if start.name == end.name:
        return f"{start.name}\n{start.described} → {end.described}"
    names = f"{start.name} → {end.name}"
    if start.described == end.described:
        return f"{names}\n{start.described}".strip()
    return f"{names}\n{start.described} → {end.described}"


def percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def mixing_sheet(
    points: Sequence[Point], truncation: float, exported: ExportedGenerator, drawn: Callable[[int], object]
) -> bytes:
    """Rows lend the latent that is drawn, columns the style and with it the condition; framed are the plain images."""
    rows = []
    for index, point in enumerate(points):
        rows.append(Strip(label(point), mixed(point, points, truncation, exported), framed=index))
        drawn(len(points))
    title = "what is where: from the row; style and condition: from the column; framed: the image itself"
    return png(draw_sheet([Block("", rows)], title, [point.name for point in points], TILE))


@torch.no_grad()
def mixed(structure: Point, styles: Sequence[Point], truncation: float, exported: ExportedGenerator) -> Pixels:
    """Images (n, H, H, 3) of one latent in the styles of others, by torch: the graph takes one latent only."""
    generator, count = exported.generator, len(styles)
    latent = torch.from_numpy(np.stack([style.latent for style in styles]))  # (n, Z)
    condition, centre = None, exported.centres
    if generator.shape.conditions:
        condition = torch.from_numpy(np.stack([style.condition for style in styles]))  # (n, C)
        centre = condition @ exported.centres  # (n, W)
    # from here on as in `ExportedGenerator.forward`, but for the latent that is drawn
    psi = torch.full((count, 1), truncation)
    style = psi * generator.mapping(latent, condition) + (1 - psi) * centre  # (n, W)
    drawn = torch.from_numpy(structure.latent).expand(count, -1)  # (n, Z)
    images = generator.draw(psi * drawn, style)  # (n, P, H, H)
    white = torch.ones(count, 4) if generator.shape.planes == 4 else None
    pixels: Pixels = exported.levels(images, white)[..., :3].contiguous().numpy()
    return pixels
