"""From the pixels of pictures to the projections of their mark, and back, by matrix products.

The terms and sums of every product are whole numbers that its type holds exactly (`Basis`), so that neither the order
of summation nor the size of a batch matters.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.watermark.layout import INNER, Basis, Carriers, Floats, basis
from unikat.watermark.visibility import FINE

Doubles = NDArray[np.float64]

_USUAL: Final = 2.0  # grey levels, root mean square of a mark: sums of eight times this are not cut off
_STEPS: Final = 1024  # parts of a lattice's step that distances are rounded to, where so many are exact
_BACK: Final = 2.0**-10


class Projector:
    """Projections of pictures of one size, by a table for each side."""

    def __init__(self, carriers: Carriers, rows: Basis, columns: Basis) -> None:
        self._carriers = carriers
        self._rows, self._columns = rows, columns
        self._wide = rows.table.astype(np.float64)
        longest = math.sqrt(float((columns.table.astype(np.float64) ** 2).sum(axis=1).max()))
        half = 2.0 ** -math.ceil(math.log2(8 * _USUAL * FINE * longest / rows.over_pixels))
        # Powers of two change no digit of a product, so tables hold them.
        self._to_half = columns.table.T * np.float32(half)
        self._signs_of_half = carriers.signs / half

    def exact(self, grey: Floats) -> Doubles:
        """(N, H, W) whole numbers, -255 to 255, to (N, bits), whole numbers in float64."""
        count, height, width = grey.shape
        half = grey.reshape(-1, width) @ self._columns.table.T
        return self._sums(self._wide @ half.reshape(count, height, -1).astype(np.float64), self._carriers.signs)

    def fast(self, change: Floats, most: int) -> Doubles:
        """The same of other whole numbers, -most to most, in float32, its middle rounded; cuts in place what is too
        large for that."""
        count, height, width = change.shape
        if most > self._columns.over_pixels:
            _cut(change, self._columns.over_pixels)
        half = change.reshape(-1, width) @ self._to_half
        _cut(np.rint(half, out=half), self._rows.over_pixels)
        return self._sums(self._rows.table @ half.reshape(count, height, -1), self._signs_of_half)

    def _sums(self, block: NDArray[np.floating], signs: Doubles) -> Doubles:
        chips = block.reshape(len(block), -1).take(self._carriers.cells, axis=1) * signs
        sums: Doubles = np.add.reduce(chips, axis=1)
        return sums


class Spreader:
    """The way back: what projections lack, to a change of the pixels."""

    def __init__(self, carriers: Carriers, rows: Basis, columns: Basis, step: float) -> None:
        """`step`: of the lattice, as `Projector` counts."""
        self._carriers = carriers
        self._rows, self._columns = rows, columns
        self._steps = min(_STEPS, 1 << rows.over_rows.bit_length())
        self._distance = self._steps / (step * FINE)
        squares = [float((each.table.astype(np.float64) ** 2).sum(axis=1).max()) for each in (rows, columns)]
        # So that what a projection lacks is there where every pixel takes its share of 1.
        self._gain = FINE * step / (self._steps * carriers.band.chips * squares[0] * squares[1] * _BACK)
        self._from_block = rows.table.T * np.float32(_BACK)

    def spread(self, missing: Doubles, shares: Floats) -> Floats:
        """(N, bits), what projections lack in parts of `FINE`, to the change (N, H, W) that makes up for it."""
        missing *= self._distance
        whole = _cut(np.rint(missing, out=missing).astype(np.float32), self._rows.over_rows)
        block = whole.take(self._carriers.owners, axis=1)
        block *= self._carriers.weights
        half = self._from_block @ block.reshape(len(block), self._carriers.rows, -1)
        _cut(np.rint(half, out=half), self._columns.over_rows)
        change = (half.reshape(-1, self._carriers.rows) @ self._columns.table).reshape(shares.shape)
        change *= np.float32(self._gain)
        change *= shares
        return np.rint(change, out=change)


def _cut(values: Floats, most: float) -> Floats:
    """Values, in place, between -most and most."""
    return np.clip(values, np.float32(-most), np.float32(most), out=values)


def lattice_step(carriers: Carriers, height: int, width: int) -> float:
    """As `Projector` counts: a part of what a pattern of one grey level, summed over the chips, is of a projection."""
    amplitudes = basis(carriers.rows, height).amplitude * basis(carriers.rows, width).amplitude
    return height * width * amplitudes * INNER**2 / 2 * carriers.band.step / 256
