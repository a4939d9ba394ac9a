"""Where a training picture may lie in a drawing: moved by up to two pixels, or larger than what was cropped from it.

Pixels here are those of pictures of SIDE × SIDE. Edges of cells lie on eighths of a pixel, so that all sums are whole
numbers.
"""

from __future__ import annotations

from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from unikat.originality.descriptor import CHROMA, LUMA, SIDE, Floats

T = TypeVar("T", bound=np.generic)

EIGHTHS: Final = 8
COARSE: Final = 8  # cells a side at which windows are tried
_KEPT: Final = 61  # pixels of a side that a crop of 5% leaves
_WHOLE: Final = [(EIGHTHS * by, EIGHTHS * SIDE) for by in (-2, -1, 0, 1, 2)]
_PARTS: Final = [(-EIGHTHS * SIDE * cut // _KEPT, EIGHTHS * SIDE * SIDE // _KEPT) for cut in (0, 1, 2, 3)]
# (start, length) along one side, in eighths; the groups are not mixed: a crop keeps its proportions.
GROUPS: Final = (_WHOLE, _PARTS)
WINDOWS: Final = [(row, column) for group in GROUPS for row in group for column in group]
STILL: Final = WINDOWS.index(((0, EIGHTHS * SIDE), (0, EIGHTHS * SIDE)))  # the picture as it is


def _edges(start: int, length: int, side: int) -> NDArray[np.int64]:
    return start + (length * np.arange(side + 1) + side // 2) // side


def weights(window: tuple[int, int], side: int) -> Floats:
    """(side, SIDE): eighths of each pixel in each cell of a window; what lies outside repeats the border."""
    edges = _edges(*window, side)
    lower, upper = edges[:-1, None], edges[1:, None]
    pixels = np.arange(SIDE) * EIGHTHS
    shared = (np.minimum(upper, pixels + EIGHTHS) - np.maximum(lower, pixels)).clip(0)
    last = SIDE * EIGHTHS
    shared[:, 0] += (np.minimum(upper, 0) - np.minimum(lower, 0))[:, 0]
    shared[:, -1] += (np.maximum(upper, last) - np.maximum(lower, last))[:, 0]
    return shared.astype(np.float32)


def inside(window: tuple[int, int], side: int) -> NDArray[np.bool_]:
    """(side,): which cells of a window lie in the picture, but for a third of a pixel."""
    edges = _edges(*window, side)
    within: NDArray[np.bool_] = (edges[:-1] >= -3) & (edges[1:] <= SIDE * EIGHTHS + 3)
    return within


COARSE_ROWS: Final = [np.concatenate([weights(window, COARSE) for window in group]) for group in GROUPS]
COARSE_AREA: Final = [np.outer(rows.sum(axis=1), rows.sum(axis=1)) for rows in COARSE_ROWS]  # 64ths of a pixel
_AROUND: Final = EIGHTHS * SIDE * SIDE // _KEPT
_STILL, _UP, _DOWN = (weights((EIGHTHS * by, EIGHTHS * SIDE), COARSE) for by in (0, -1, 1))
_MIDDLE: Final = weights(((EIGHTHS * SIDE - _AROUND) // 2, _AROUND), COARSE)  # of which a crop took the middle
# Rows and columns of the windows by which candidates are looked for. All moves are within a pixel of one of them.
SOUGHT: Final = (
    (_STILL, _STILL), (_MIDDLE, _MIDDLE), (_UP, _UP), (_UP, _DOWN), (_DOWN, _UP), (_DOWN, _DOWN)
)  # fmt: skip


def _stacked(side: int, *, columns: bool) -> Floats:
    return np.stack([weights(column if columns else row, side) for row, column in WINDOWS])


def _within(side: int) -> Floats:
    found = [np.outer(inside(row, side), inside(column, side)) for row, column in WINDOWS]
    return np.stack(found).astype(np.float32)


# Of each of WINDOWS, (windows, side, SIDE) and (windows, side, side)
LUMA_ROWS, LUMA_COLUMNS, LUMA_INSIDE = _stacked(LUMA, columns=False), _stacked(LUMA, columns=True), _within(LUMA)
CHROMA_ROWS, CHROMA_COLUMNS = _stacked(CHROMA, columns=False), _stacked(CHROMA, columns=True)
CHROMA_INSIDE = _within(CHROMA)
LUMA_AREA = LUMA_ROWS.sum(axis=2)[:, :, None] * LUMA_COLUMNS.sum(axis=2)[:, None]
CHROMA_AREA = CHROMA_ROWS.sum(axis=2)[:, :, None] * CHROMA_COLUMNS.sum(axis=2)[:, None]


def tried(grey: Floats) -> Floats:
    """Pictures (N, SIDE, SIDE) by all flips and turns through all windows: (N, 8, windows, COARSE²), 0 to 255.

    Windows are turned with the pictures: those of a mirrored picture are the same ones in the opposite order.
    """
    every: list[Floats] = []
    for rows, area, group in zip(COARSE_ROWS, COARSE_AREA, GROUPS, strict=True):
        seen = np.rint(rows @ grey @ rows.T / area)
        wide = seen.reshape(len(grey), len(group), COARSE, len(group), COARSE).transpose(0, 1, 3, 2, 4)
        turned = [np.rot90(np.rot90(each, turn, (1, 2)), turn, (3, 4)) for each in _mirrored(wide) for turn in range(4)]
        every.append(np.stack(turned, axis=1).reshape(len(grey), 8, len(group) ** 2, COARSE**2))
    return np.concatenate(every, axis=2)


def _mirrored(wide: Floats) -> tuple[Floats, Floats]:
    return wide, wide[:, :, ::-1, :, ::-1]


def turned(pictures: NDArray[T], way: int) -> NDArray[T]:
    """(..., SIDE, SIDE) by one of the eight ways, in the order of `tried`."""
    return np.rot90(pictures[..., ::-1] if way >= 4 else pictures, way % 4, (-2, -1))
