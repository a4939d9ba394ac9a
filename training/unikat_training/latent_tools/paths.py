"""Ways through the space of latents and conditions: what a strip of images is drawn of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
PARALLEL = 1e-6  # the sine of an angle below which there is no arc to go along


@dataclass(frozen=True)
class Point:
    """What an image is drawn of: latent (Z,) and condition (C,); `name` says which image that is."""

    name: str
    latent: Floats
    condition: Floats
    described: str = ""  # the condition in words


@dataclass(frozen=True)
class Path:
    """Latents (n, Z) and conditions (n, C) of a strip, from left to right."""

    latents: Floats
    conditions: Floats


def moved(point: Point, direction: Floats, deviations: Floats) -> Path:
    """`point`, its latent moved along the unit vector `direction` by so many standard deviations (n,)."""
    latents = point.latent + deviations[:, None] * direction
    return Path(latents.astype(np.float32), np.tile(point.condition, (len(deviations), 1)))


def between(start: Point, end: Point, steps: int) -> Path:
    """From one point to another: the latent on an arc, the condition on a straight line. Both ends are exact."""
    along = np.linspace(0, 1, steps)
    conditions = (1 - along)[:, None] * start.condition + along[:, None] * end.condition
    return Path(slerp(start.latent, end.latent, along), conditions.astype(np.float32))


def slerp(start: Floats, end: Floats, along: npt.NDArray[np.float64]) -> Floats:
    """Spherical interpolation (Shoemake 1985) at `along` (n,), 0 to 1: float32 (n, Z).

    On a straight line a latent would be too short halfway, and the image too typical. Latents that point the same way,
    or opposite ways, have no arc between them and are joined by a line.
    """
    one, other = start.astype(np.float64), end.astype(np.float64)
    lengths = np.linalg.norm(one) * np.linalg.norm(other)
    angle = np.arccos(np.clip(one @ other / lengths, -1, 1)) if lengths else 0.0
    if np.sin(angle) < PARALLEL:
        weights = 1 - along, along
    else:
        weights = np.sin((1 - along) * angle) / np.sin(angle), np.sin(along * angle) / np.sin(angle)
    mixed: Floats = (weights[0][:, None] * one + weights[1][:, None] * other).astype(np.float32)
    return mixed
