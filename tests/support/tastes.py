"""People who look at pictures, simulated: what they like is known, and is none of the features of a taste."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat.pictures import on_white
from unikat_gallery.votes.taste import Features, Taste

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

SURE = 2.0  # log-odds with which a picture is liked rather than one that is a standard deviation less to the taste


def looks(pixels: Pixels) -> Floats:
    """(N, 7) of pictures (N, H, W, 3 or 4), by Pillow's HSV: how bright, vivid, dark in parts, uneven, warm, blue and
    alike on both sides they are, each of mean 0 and standard deviation 1.
    """
    found = []
    for picture in on_white(pixels):
        hue, saturation, value = (
            np.asarray(band, dtype=np.float64) / 255 for band in Image.fromarray(picture).convert("HSV").split()
        )
        warm, blue = (_near(hue, colour) * saturation for colour in ((255, 140, 0), (0, 80, 255)))
        mirrored = -np.abs(value - value[:, ::-1]).mean()
        found.append(
            [value.mean(), saturation.mean(), (value < 0.3).mean(), value.std(), warm.mean(), blue.mean(), mirrored]
        )
    table = np.array(found)
    table -= table.mean(axis=0)
    standard: Floats = table / np.maximum(table.std(axis=0), 1e-9)
    return standard


def _near(hue: Floats, colour: tuple[int, int, int]) -> Floats:
    """1 where a hue is the colour's, 0 from a sixth of the circle on."""
    apart = np.abs(hue - colorsys.rgb_to_hsv(*(part / 255 for part in colour))[0])
    near: Floats = np.maximum(0, 1 - 6 * np.minimum(apart, 1 - apart))
    return near


@dataclass(frozen=True)
class Person:
    """Somebody with a taste of their own."""

    weights: Floats  # of `looks`

    @classmethod
    def number(cls, seed: int) -> Person:
        """Person number `seed`, of as many as one wants."""
        return cls(np.random.default_rng(seed).normal(size=7))

    def worth(self, pixels: Pixels) -> Floats:
        """(N,) how much each of pictures is to this taste: of mean 0 and standard deviation `SURE`."""
        worth = looks(pixels) @ self.weights
        scaled: Floats = SURE * (worth - worth.mean()) / worth.std()
        return scaled


def likes(first: Floats, second: Floats) -> Floats:
    """(...,) how likely pictures worth `first` are liked rather than those worth `second`."""
    likely: Floats = 1 / (1 + np.exp(second - first))
    return likely


def learnt(found: Features, worth: Floats, pairs: int, random: np.random.Generator) -> Taste:
    """The taste learnt from so many pairs of N pictures, with features (N, SIZE), worth (N,) to a person."""
    shown = np.stack([random.choice(len(found), 2, replace=False) for _ in range(pairs)])
    is_first = random.random(pairs) < likes(worth[shown[:, 0]], worth[shown[:, 1]])
    liked, other = np.where(is_first, shown.T, shown.T[::-1])
    return Taste.learn(found[liked], found[other])
