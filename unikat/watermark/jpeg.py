"""What JPEG of quality 50 makes of a luma, with the same bits everywhere.

The cosines of 8 × 8 pixels are whole numbers, so small that float32 holds every sum of their products exactly, in any
order: a vector of 64 values between -128 and 127 has a length of 1024 at most, rounded coefficients of 1350, and a
row or a column of the table one of `_SCALE`; the product of the two is below 2²⁴.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

BLOCK: Final = 8
_SCALE: Final = 1 << 13
# Steps of luma coefficients at quality 50: ITU-T T.81, table K.1.
_STEPS: Final = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    np.float32,
).reshape(-1)


def _cosines() -> Floats:
    """(64, 64): what each pixel of a block adds to each coefficient, in whole numbers."""
    side = [
        [math.sqrt((2 if u else 1) / BLOCK) * math.cos(math.pi * u * (x + 0.5) / BLOCK) for x in range(BLOCK)]
        for u in range(BLOCK)
    ]
    table: Floats = np.rint(np.kron(side, side) * _SCALE).astype(np.float32)
    return table


_TABLE: Final = _cosines()


def rounded(luma: Floats) -> Floats:
    """(N, H, W) whole grey levels, 0 to 255, as JPEG returns them."""
    count, height, width = luma.shape
    rows, columns = -(-height // BLOCK), -(-width // BLOCK)
    beyond = (rows * BLOCK - height, columns * BLOCK - width)
    if any(beyond):
        luma = np.pad(luma, ((0, 0), (0, beyond[0]), (0, beyond[1])), mode="edge")
    tiles = luma.reshape(count, rows, BLOCK, columns, BLOCK).transpose(0, 1, 3, 2, 4).reshape(-1, BLOCK * BLOCK)
    coefficients: Floats = (tiles - 128) @ _TABLE.T
    coefficients /= _STEPS * np.float32(_SCALE)
    np.rint(coefficients, out=coefficients)
    coefficients *= _STEPS
    levels: Floats = coefficients @ _TABLE
    levels *= np.float32(1 / _SCALE)
    np.rint(levels, out=levels)
    levels += 128
    np.clip(levels, 0, 255, out=levels)
    whole = levels.reshape(count, rows, columns, BLOCK, BLOCK).transpose(0, 1, 3, 2, 4)
    return whole.reshape(count, rows * BLOCK, columns * BLOCK)[:, :height, :width]
