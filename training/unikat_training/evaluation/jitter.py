"""Slightly changed pictures: the positive control of every figure of copying, which has to catch them."""

from __future__ import annotations

import numpy as np

from unikat_training.evaluation.extractors import Pixels

CONTROLS = 500  # training pictures that are changed, or as many as there are
SHIFT = 1 / 32  # of the side, at most, in each direction
BRIGHTNESS, NOISE = 6, 3  # of 255 grey levels, at most: of all pixels together, and of each by itself
SEED = 17


def jittered(pixels: Pixels, seed: int) -> Pixels:
    """Pictures (B, H, H, 3), each moved, brightened or darkened, and with noise; what comes free repeats the border."""
    rng = np.random.default_rng((SEED, seed))
    reach = round(pixels.shape[1] * SHIFT)
    places = np.arange(pixels.shape[1])
    out = np.empty_like(pixels)
    for index, picture in enumerate(pixels):
        rows, columns = (np.clip(places + offset, 0, len(places) - 1) for offset in rng.integers(-reach, reach + 1, 2))
        change = rng.integers(-BRIGHTNESS, BRIGHTNESS + 1) + rng.integers(-NOISE, NOISE + 1, picture.shape)
        out[index] = (picture[rows][:, columns] + change).clip(0, 255)
    return out
