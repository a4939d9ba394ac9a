"""The name of the colour that most of a drawing has: a label that is true by measurement."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from unikat.palette import oklab

# Several shades of a name: a pixel counts for the nearest of all.
SHADES: Final = {
    "red": ("#d92b2b", "#8f1d2c", "#f0636b", "#c4402a"),
    "orange": ("#f2832b", "#ffb27a"),
    "yellow": ("#f7d33c", "#f5e79e", "#dba520"),
    "green": ("#4fae4e", "#1f6b3a", "#a9dd8b", "#8a9a2e", "#b4c81e"),
    "teal": ("#1ba39c", "#0b5a5e", "#8fe0d6", "#5a858a"),
    "blue": ("#2f6fd6", "#1b2f6b", "#8cc4f2", "#1b9fe8", "#7e95b5"),
    "purple": ("#7d4bc4", "#3c2061", "#c3a8ee", "#8a1c8c", "#a18db8"),
    "pink": ("#ea5fae", "#f7b3d3", "#f03090"),
    "brown": ("#7a4a2b", "#b98a5e", "#4a2c1c"),
    "grey": ("#8b9097", "#55595f", "#bfc3c8"),
    "white": ("#fbfbf8", "#f3ead8", "#f6e3dd", "#e6edf5", "#e9f0e2"),
    "black": ("#15151a", "#262633"),
}
COLOURS: Final = tuple(SHADES)
_GREYS: Final = 3  # names at the end that are no hue
_HUED: Final = 0.1  # share of hues from which they give the name: grounds and outlines are white, grey or black
_OPAQUE: Final = 128  # alpha from which a pixel counts


def colour_name(pixels: npt.NDArray[np.uint8]) -> str:
    """The most frequent colour of (H, W, 3), or of what is opaque of (H, W, 4); a hue where a tenth of it has one."""
    rows = pixels.reshape(-1, pixels.shape[-1])
    if rows.shape[1] == 4:
        rows = rows[rows[:, 3] >= _OPAQUE]
    # A drawing has few different colours.
    colours, counts = np.unique(rows[:, :3].astype(np.uint32) @ _PLACES, return_counts=True)
    levels = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1).astype(np.uint8)  # (N, 3)
    distances = np.square(oklab(levels[:, None]) - _SHADES_LAB).sum(axis=-1)  # (N, S)
    votes = np.bincount(_NAMES[distances.argmin(axis=1)], weights=counts, minlength=len(COLOURS))
    hues = votes[:-_GREYS]
    return COLOURS[hues.argmax() if hues.sum() >= _HUED * votes.sum() else votes.argmax()]


_SHADES_LAB: Final = oklab(
    np.array([list(bytes.fromhex(shade[1:])) for shades in SHADES.values() for shade in shades], dtype=np.uint8)
)
_PLACES: Final = np.array([1 << 16, 1 << 8, 1], dtype=np.uint32)
_NAMES: Final = np.repeat(np.arange(len(COLOURS)), [len(shades) for shades in SHADES.values()])
