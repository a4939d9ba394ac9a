"""Whether a generator copies: its pictures' distances to training pictures, against those of pictures never seen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from unikat_training.evaluation.extractors import Pixels
from unikat_training.evaluation.hashing import Hashes, near_copies
from unikat_training.evaluation.material import Pictures
from unikat_training.evaluation.neighbours import Doubles, Floats, Places, nearest

CLOSE = 0.05  # the quantile of test -> train distances below which a picture counts as close
COPYING_Z = -3.0  # of the rank test, below which a model draws closer to its training pictures than chance allows
# Of the slightly changed pictures that figures of copying have to catch.
CONTROLS = 500  # training pictures that are changed, or as many as there are
SHIFT = 1 / 32  # of the side, at most, in each direction
BRIGHTNESS, NOISE = 6, 3  # of 255 grey levels, at most: of all pixels together, and of each by itself
JITTER_SEED = 17


@dataclass(frozen=True)
class Memorisation:
    """Of pictures against the training pictures.

    `CLOSE`, 0.5 and the rates of test pictures, which nobody has seen, are what is due (negative control); slightly
    changed training pictures say how many copies would be found (positive control).
    """

    close: float  # share closer to a training picture than the nearest 5% of test pictures are
    farther: float  # probability that one is farther from the training set than a test picture; 0.5: no difference
    z: float  # of that, as Meehan et al. (2020) test it, here in one cell; far below 0: copying
    authentic: float  # share farther from its nearest training picture than that one from its own (Alaa et al. 2022)
    near_copies: float  # share whose perceptual hash is almost that of a training picture, moved a little or not


@dataclass(frozen=True)
class Neighbours:
    """The nearest training picture of each of some pictures, and its distance."""

    places: Places
    distances: Doubles

    @classmethod
    def of(cls, features: Floats, training: Floats) -> Neighbours:
        return cls(*nearest(features, training))


def memorised(found: Neighbours, hashes: Hashes, test: Neighbours, training: Pictures) -> Memorisation:
    """Figures of pictures whose neighbours are `found`; of the test pictures themselves with `found` = `test`."""
    farther, z = rank_test(found.distances, test.distances)
    chosen, back = np.unique(found.places, return_inverse=True)
    spacing = nearest(training.main[chosen], training.main, own=chosen)[1][back]  # of each neighbour to its own, (n,)
    return Memorisation(
        close=float((found.distances < np.quantile(test.distances, CLOSE)).mean()),
        farther=farther,
        z=z,
        authentic=float((found.distances > spacing).mean()),
        near_copies=near_copies(hashes, training.hashes),
    )


def rank_test(ours: Doubles, theirs: Doubles) -> tuple[float, float]:
    """Mann-Whitney: the probability that one of ours is the larger, ties half, and its z score."""
    ordered = np.sort(theirs)
    below, up_to = (np.searchsorted(ordered, ours, side=side) for side in ("left", "right"))
    larger = float((below + up_to).mean() / 2 / len(theirs))
    deviation = math.sqrt((len(ours) + len(theirs) + 1) / (12 * len(ours) * len(theirs)))
    return larger, (larger - 0.5) / deviation


def jittered(pixels: Pixels, seed: int) -> Pixels:
    """Pictures (B, H, H, 3), each moved, brightened or darkened, and with noise; what comes free repeats the border."""
    rng = np.random.default_rng((JITTER_SEED, seed))
    reach = round(pixels.shape[1] * SHIFT)
    places = np.arange(pixels.shape[1])
    out = np.empty_like(pixels)
    for index, picture in enumerate(pixels):
        rows, columns = (np.clip(places + offset, 0, len(places) - 1) for offset in rng.integers(-reach, reach + 1, 2))
        change = rng.integers(-BRIGHTNESS, BRIGHTNESS + 1) + rng.integers(-NOISE, NOISE + 1, picture.shape)
        out[index] = (picture[rows][:, columns] + change).clip(0, 255)
    return out
