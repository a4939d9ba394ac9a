"""Colours mapped to those of a palette, nearest in OKLab: a colour space in which distances are what eyes see.

Distances are computed in whole numbers, so that the same colours are chosen everywhere; of equally near ones the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import ImageColor

Pixels = npt.NDArray[np.uint8]

MOST: Final = 256  # colours of a palette
_UNITS: Final = 100_000  # of OKLab's unit; eyes tell apart some 0.02
_BLOCK: Final = 2**14  # colours that are compared at a time: their differences from 256 others are 100 MB

# B. Ottosson, "A perceptual color space for image processing", 2020: linear sRGB to cones' responses, and their cube
# roots to lightness, green-red and blue-yellow.
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


def oklab(colours: Pixels) -> npt.NDArray[np.float64]:
    """OKLab of sRGB colours, (..., 3) to (..., 3): lightness in [0, 1], then green to red and blue to yellow."""
    share = colours.astype(np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    lab: npt.NDArray[np.float64] = np.cbrt(linear @ _TO_CONES.T) @ _TO_LAB.T
    return lab


class Palette:
    """At most MOST colours, in an order of which equally near ones are chosen by."""

    def __init__(self, colours: Sequence[str]) -> None:
        """Colours as CSS writes them. Raises ValueError for what is none, for one with alpha, and for too many."""
        if not 1 <= len(colours) <= MOST:
            raise ValueError(f"must be 1 to {MOST} colours, not {len(colours)}")
        self.colours = np.array([_opaque(text) for text in colours], dtype=np.uint8)  # (N, 3)
        self._lab = _whole(self.colours)

    def map(self, pixels: Pixels) -> Pixels:
        """Pixels (H, W, 3), or (H, W, 4) whose alpha is kept, each with the nearest of the colours."""
        packed = pixels[..., :3].astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
        found, places = np.unique(packed, return_inverse=True)
        colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=-1).astype(np.uint8)
        nearest = [self._nearest(colours[start : start + _BLOCK]) for start in range(0, len(colours), _BLOCK)]
        mapped = pixels.copy()
        mapped[..., :3] = self.colours[np.concatenate(nearest)][places.reshape(packed.shape)]
        return mapped

    def _nearest(self, colours: Pixels) -> npt.NDArray[np.intp]:
        apart = _whole(colours)[:, None] - self._lab  # (colours, N, 3)
        nearest: npt.NDArray[np.intp] = np.argmin((apart**2).sum(axis=-1), axis=-1)
        return nearest


def _whole(colours: Pixels) -> npt.NDArray[np.int64]:
    return np.rint(oklab(colours) * _UNITS).astype(np.int64)


def _opaque(text: str) -> tuple[int, int, int]:
    """Raises ValueError."""
    try:
        red, green, blue, alpha = ImageColor.getcolor(text, "RGBA")  # type: ignore[misc]  # four for this mode
    except ValueError as error:
        raise ValueError(f'{text!r} is no colour; "#rrggbb" or a name of CSS') from error
    if alpha != 255:
        raise ValueError(f"{text!r}: must be opaque; a drawing keeps the alpha that it has")
    return red, green, blue
