"""Mixes as latents: float32, the same on every machine (docs/sampling.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from unikat.recipes.mix import Mix
from unikat.sampling import latents

Floats = npt.NDArray[np.float32]
Vectors = Mapping[str, Floats]  # direction -> unit vector (size,)


def mixed_latent(mix: Mix, points: Mapping[tuple[int, int], Floats], directions: Vectors) -> Floats:
    """The latent (size,) of a mix whose places have the latents `points`.

    Products and sums are float64, added in the mix's order, and rounded once. Raises KeyError for a direction that is
    not there.
    """
    terms = [(np.frombuffer(base, "<f4") if isinstance(base, bytes) else points[base], by) for base, by in mix.points]
    terms += [(directions[name], strength) for name, strength in mix.shifts]
    vector, weight = terms[0]
    total = vector.astype(np.float64)
    total *= weight
    for vector, weight in terms[1:]:
        total += vector.astype(np.float64) * weight
    return total.astype(np.float32)


def mix_latents(mixes: Sequence[Mix], size: int, directions: Vectors, attempt: int = 0) -> Floats:
    """The latents (len(mixes), size) of mixes; places have those of their `attempt`. Raises as `mixed_latent` does."""
    places = sorted({base for mix in mixes for base, _ in mix.points if isinstance(base, tuple)})
    found: dict[tuple[int, int], Floats] = {}
    if places:
        rows = latents([seed for seed, _ in places], [index for _, index in places], size, attempt)
        found = dict(zip(places, rows, strict=True))
    return np.stack([mixed_latent(mix, found, directions) for mix in mixes])
