"""The name of the colour that most of a drawing has: a label that is true by measurement."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

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
    distances = np.square(_oklab(rows[:, None, :3]) - _SHADES_LAB).sum(axis=-1)  # (N, S)
    votes = np.bincount(_NAMES[distances.argmin(axis=1)], minlength=len(COLOURS))
    hues = votes[:-_GREYS]
    return COLOURS[hues.argmax() if hues.sum() >= _HUED * votes.sum() else votes.argmax()]


def _oklab(levels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """sRGB levels (…, 3) in Oklab, where equal distances look equal (Ottosson 2020)."""
    shares = levels / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    cones = np.cbrt(linear @ _TO_CONES.T)
    lab: npt.NDArray[np.float64] = cones @ _TO_LAB.T
    return lab


# bottosson.github.io/posts/oklab
_TO_CONES: Final = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_TO_LAB: Final = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)
_SHADES_LAB: Final = _oklab(
    np.array([list(bytes.fromhex(shade[1:])) for shades in SHADES.values() for shade in shades], dtype=np.uint8)
)
_NAMES: Final = np.repeat(np.arange(len(COLOURS)), [len(shades) for shades in SHADES.values()])
