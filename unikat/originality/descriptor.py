"""Pictures as small whole numbers: their grey levels and colours over grids of cells, whatever their size.

The same numbers come out everywhere: the terms and sums of every matrix product are whole numbers that the type holds
exactly, and what lies between the products is elementwise and correctly rounded.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.pictures import on_white

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Planes = NDArray[np.int32]

SIDE: Final = 64  # pixels a side at which pictures are compared
LUMA: Final = 32  # cells a side of the grey picture
CHROMA: Final = 8  # of each of the two colour differences
SIZE: Final = LUMA**2 + 2 * CHROMA**2  # numbers of a descriptor
LUMA_STEP: Final = 8  # grey levels that one number stands for
CHROMA_STEP: Final = 4
_OPAQUE: Final = 255
_WHOLE: Final = 2**24  # up to here float32 holds every whole number


def planes(pixels: Pixels) -> Planes:
    """(N, H, W, 3 or 4) to grey, red - green and blue - yellow, (3, N, SIDE, SIDE), each 0 to 255.

    What is not opaque is seen on white.
    """
    wide = on_white(pixels).astype(np.int32)
    red, green, blue = (wide[..., i] for i in range(3))
    grey = (77 * red + 150 * green + 29 * blue + 128) >> 8  # Rec. 601
    return cells(np.stack([grey, (red - green + 256) >> 1, (2 * blue - red - green + 512) >> 2]), SIDE)


def cells(plane: Planes, side: int) -> Planes:
    """Averages of (..., H, W) over side x side cells, (..., side, side), rounded."""
    height, width = plane.shape[-2:]
    if height == width == side:
        return plane
    exact = np.float32 if _OPAQUE * height * width < _WHOLE else np.float64
    rows, columns = _overlaps(height, side).astype(exact), _overlaps(width, side).astype(exact)
    sums = rows @ plane.astype(exact) @ columns.T
    rounded: Planes = np.rint(sums / exact(height * width)).astype(np.int32)
    return rounded


@lru_cache(64)
def _overlaps(length: int, side: int) -> NDArray[np.int64]:
    """(side, length): how much of each pixel lies in each cell, in parts of which a pixel has `side`."""
    starts = np.arange(side)[:, None] * length
    pixels = np.arange(length)[None] * side
    shared: NDArray[np.int64] = np.minimum(starts + length, pixels + side) - np.maximum(starts, pixels)
    return shared.clip(0)


def in_steps(found: Planes) -> Planes:
    """Planes as descriptors have what is frequent: black is 4, white 252, and what has no colour 130."""
    grey, *colours = found
    clipped = grey.clip(LUMA_STEP // 2, 256 - LUMA_STEP // 2)
    return np.stack([clipped, *(each // CHROMA_STEP * CHROMA_STEP + CHROMA_STEP // 2 for each in colours)])


def describe(pixels: Pixels) -> Pixels:
    """Descriptors (N, SIZE) of pictures (N, H, W, 3 or 4)."""
    grey, *colours = planes(pixels)
    parts = [cells(grey, LUMA) // LUMA_STEP, *(cells(colour, CHROMA) // CHROMA_STEP for colour in colours)]
    return np.concatenate([part.reshape(len(pixels), -1) for part in parts], axis=1).astype(np.uint8)


def levels(descriptors: Pixels) -> tuple[Floats, Floats]:
    """What descriptors (..., SIZE) stand for: grey (..., LUMA, LUMA) and colours (..., 2, CHROMA, CHROMA), 0 to 255."""
    wide = descriptors.astype(np.float32)
    grey = wide[..., : LUMA**2] * np.float32(LUMA_STEP) + np.float32(LUMA_STEP // 2)
    colours = wide[..., LUMA**2 :] * np.float32(CHROMA_STEP) + np.float32(CHROMA_STEP // 2)
    shape = descriptors.shape[:-1]
    return grey.reshape(*shape, LUMA, LUMA), colours.reshape(*shape, 2, CHROMA, CHROMA)
