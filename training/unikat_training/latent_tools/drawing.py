"""Images of a bundle's graph, and how strongly directions change them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnxruntime

from unikat.conditions import Schema
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model
from unikat_training.latent_tools.directions import Directions, Floats, Strength
from unikat_training.session import run_graph

Pixels = npt.NDArray[np.uint8]
BATCH = 32
STRENGTH_SEED = 3
STRENGTH_IMAGES = 16  # that the directions are measured on, and so many random directions


@dataclass(frozen=True)
class GraphSampler:
    """Draws with one graph at one truncation; calls `drawn` with the number of images after each batch."""

    session: onnxruntime.InferenceSession
    truncation: float
    drawn: Callable[[int], object] = lambda count: None

    def draw(self, latent: Floats, condition: Floats) -> Pixels:
        """Latents (n, Z) and conditions (n, C) to images (n, H, H, 3)."""
        parts = []
        for start in range(0, len(latent), BATCH):
            rows = slice(start, start + BATCH)
            parts.append(run_graph(self.session, latent[rows], condition[rows], self.truncation))
            self.drawn(len(parts[-1]))
        return np.concatenate(parts)


def strength_images(count: int) -> int:
    """How many images `measure` draws for `count` directions."""
    return STRENGTH_IMAGES * (1 + 2 * count + STRENGTH_IMAGES + 1)


def measure(directions: Directions, model: Model, sampler: GraphSampler) -> Strength:
    """The mean change by one standard deviation, to both sides, over images whose conditions are those of training."""
    schema = Schema(model)
    indices = range(STRENGTH_IMAGES)
    latent = latents(STRENGTH_SEED, indices, model.latent_size)  # (n, Z)
    condition = schema.vectors(schema.complete({}, STRENGTH_SEED, indices))  # (n, C)
    still = sampler.draw(latent, condition)

    def change(vector: Floats) -> float:
        return mean_difference(sampler.draw((latent + vector).astype(np.float32), condition), still)

    found = [(change(vector) + change(-vector)) / 2 for vector in directions.vectors]
    others = latents(STRENGTH_SEED, range(STRENGTH_IMAGES, 2 * STRENGTH_IMAGES), model.latent_size)
    random = [change(vector / np.linalg.norm(vector)) for vector in others]
    apart = mean_difference(still, sampler.draw(others, condition))
    return Strength(tuple(round(each, 2) for each in found), round(float(np.mean(random)), 2), round(apart, 2))


def mean_difference(one: Pixels, other: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())
