"""The points of a seed whose drawings are nearest to a picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unikat.conditions import CompleteConditions, Schema, Weights
from unikat.recipes.mix import Mix, mix_of
from unikat.sampling import condition_uniforms, latents
from unikat.v1.model_pb2 import Model
from unikat_training.inversion.eye import Distance, Eye
from unikat_training.latent_tools.drawing import BATCH, GraphSampler

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
# Drawn at 1, style and latent are as they come: below, nothing that lies far from the typical picture can be drawn.
TRUNCATION = 1.0


@dataclass(frozen=True)
class Candidate:
    """A recipe with what it draws, (H, H, 3), and how far that is."""

    mix: Mix
    latent: Floats  # (Z,)
    conditions: CompleteConditions
    drawing: Pixels
    distance: Distance


@dataclass(frozen=True)
class Search:
    """How many points of which seed are compared, under which conditions, and how many of them are kept."""

    asked: Weights  # conditions; those that are left out are each point's own
    seed: int
    count: int
    kept: int


def nearest_points(model: Model, sampler: GraphSampler, eye: Eye, search: Search) -> list[Candidate]:
    """The nearest points in the features, the nearest first."""
    seed, schema, best = search.seed, Schema(model), list[Candidate]()
    for start in range(0, search.count, BATCH):
        indices = range(start, min(start + BATCH, search.count))
        latent = latents(seed, indices, model.latent_size)  # (B, Z)
        complete = schema.complete_rows([search.asked] * len(indices), condition_uniforms(seed, indices))
        drawings = sampler.draw(latent, schema.stacked(complete))
        features, levels = eye.look(drawings)
        best += [
            Candidate(
                mix_of([((seed, index), 1.0)]), latent[row], complete[row], drawings[row],
                Distance(float(features[row]), float(levels[row])),
            )
            for row, index in enumerate(indices)
        ]  # fmt: skip
        best = sorted(best, key=lambda each: each.distance.features)[: search.kept]
    return best
