"""The nearest of many training pictures: candidates by numbers that no turn changes, then every way and window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.originality import windows
from unikat.originality.comparison import distances
from unikat.originality.descriptor import LUMA, Floats, Pixels, Planes, levels, planes
from unikat.originality.index import Index
from unikat.originality.windows import COARSE
from unikat.watermark.matting import on_white

CANDIDATES: Final = 192
FINE: Final = 32  # of them through every window
COMPARED: Final = 4  # of these in every detail
WHITE: Final = 253
_BLOCK: Final = 64  # training pictures of which the nearest one is looked at first
_BLOCKS: Final = 48
_FIRST: Final = [  # of ways and windows: every way, the whole picture and the middle of what it was cropped from
    way * len(windows.WINDOWS) + window for way in range(8) for window in (windows.STILL, windows.MIDDLE)
]
_FAR: Final = np.float32(2**22)
AS_IS: Final = np.float32(1)
TONE: Final = np.float32(1.08)  # candidates are looked for as a drawing is, and with it made darker by this


def _orbits(side: int) -> Floats:
    """(side², orbits): averages over the cells that flips and turns take to one another."""
    numbers = np.arange(side * side, dtype=np.int32).reshape(side, side)
    ways = [windows.turned(numbers, way).reshape(-1) for way in range(8)]
    _, orbit, sizes = np.unique(np.min(ways, axis=0), return_inverse=True, return_counts=True)
    return np.divide(np.eye(len(sizes))[orbit], sizes[None], dtype=np.float32)


_ORBITS: Final = _orbits(COARSE)


def invariants(grey: Floats, colours: Floats) -> Floats:
    """Grey (N, COARSE²) and colours (N, 2, COARSE²) to (N, K), whole numbers that no flip or turn changes."""
    # sizes of orbits are 4 and 8: their averages of whole numbers are exact
    kept: Floats = np.rint(np.concatenate([grey[:, None], colours], axis=1) @ _ORBITS)
    return kept.reshape(len(grey), -1)


def to_white(grey: Floats) -> Floats:
    """(..., n) grey levels made brighter so that the brightest is white, rounded."""
    lit: Floats = np.rint(grey * (np.float32(255) / np.maximum(grey.max(axis=-1, keepdims=True), 1)))
    return lit


def darkened(grey: Floats, factor: Floats | np.float32) -> Floats:
    """Divided by `factor`, but for what is white."""
    return np.where(grey >= WHITE, grey, np.rint(grey / factor))


def _largest(values: Floats, count: int) -> NDArray[np.int64]:
    """(N, count) places of the largest of (N, M) whole numbers.

    Of equal ones the first: which of them a partition takes depends on the processor.
    """
    unique = values.astype(np.float64) * values.shape[1] - np.arange(values.shape[1])
    return np.argpartition(unique, -count, axis=1)[:, -count:]


def _are_on_white(pixels: Pixels) -> NDArray[np.bool_]:
    """(N,) whether more than half of the border of pictures (N, H, W, 3) is white: `on_white` leaves these alone."""
    white: NDArray[np.bool_] = np.all(pixels > WHITE - 3, axis=3)
    border = [white[:, 0], white[:, -1], white[:, :, 0], white[:, :, -1]]
    found: NDArray[np.bool_] = np.concatenate(border, axis=1).mean(axis=1) > 0.5
    return found


def _squares(seen: Floats, pictures: Pixels) -> Floats:
    """(N, A, B) squared distances of (N, A, K) from (N, B, K)."""
    theirs = pictures.astype(np.float32)
    found: Floats = seen @ theirs.swapaxes(1, 2)
    found *= -2
    found += (seen * seen).sum(axis=2)[:, :, None]
    found += (theirs * theirs).sum(axis=2)[:, None]
    return found


class Search:
    """Finds the nearest training picture."""

    def __init__(self, index: Index) -> None:
        self._pictures, self._has_alpha = index.pictures, index.has_alpha
        count = len(index.pictures)
        self._coarse = np.empty((count, COARSE**2), np.uint8)
        kept = []
        for start in range(0, count, 4096):
            grey, colours = levels(index.pictures[start : start + 4096])
            coarse = np.rint(grey.reshape(-1, COARSE, LUMA // COARSE, COARSE, LUMA // COARSE).mean(axis=(2, 4)))
            coarse = to_white(coarse.reshape(len(grey), -1))
            self._coarse[start : start + 4096] = coarse
            kept.append(invariants(coarse, colours.reshape(len(grey), 2, -1)))
        features = np.concatenate(kept)
        # Padded to whole blocks by pictures that are far from everything; picture i is in block i % blocks. The last
        # row is minus half of a column's square.
        self._blocks = -(-count // _BLOCK)
        self._features = np.zeros((features.shape[1] + 1, self._blocks * _BLOCK), np.float32)
        self._features[:-1, :count] = features.T
        self._features[-1] = -_FAR
        self._features[-1, :count] = -np.rint((features * features).sum(axis=1) / 2)

    def nearest(self, pixels: Pixels) -> tuple[Floats, NDArray[np.int64]]:
        """Distances (N,) of pictures (N, H, W, 3 or 4), and which training pictures these are from, (N,)."""
        if not len(pixels):
            return np.zeros(0, np.float32), np.zeros(0, np.int64)
        apart, nearest = self._nearest(pixels)
        for at, white in self._on_white(pixels):
            other, found = self._nearest(white[None])
            if other[0] < apart[at]:
                apart[at], nearest[at] = other[0], found[0]
        return apart, nearest

    def _nearest(self, pixels: Pixels) -> tuple[Floats, NDArray[np.int64]]:
        found = planes(pixels)  # (3, N, SIDE, SIDE)
        candidates, tones = self._candidates(found)
        pairs = self._best(found[0], candidates, tones)
        apart = self._compare(found, *pairs).reshape(len(pixels), -1)
        best, every = apart.argmin(axis=1), np.arange(len(pixels))
        return apart[every, best], pairs[0][every, best]

    def _on_white(self, pixels: Pixels) -> Iterator[tuple[int, Pixels]]:
        """Places of stickers on one colour, and how they look on white.

        They are looked for as they are, too: the grey may be the white of a darker copy.
        """
        if not self._has_alpha or pixels.shape[-1] == 4:
            return
        for at in np.flatnonzero(~_are_on_white(pixels)).tolist():
            white = on_white(pixels[at])
            if white is not None:
                yield at, white

    def _candidates(self, found: Planes) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """(N, CANDIDATES) training pictures whose invariants are nearest, and the tone to compare at, (N,)."""
        whole, part = (self._coarse_of(found, rows) for rows in (windows.STILL_ROWS, windows.MIDDLE_ROWS))
        asked = [
            invariants(darkened(grey, tone), colours)
            for (grey, colours), tone in ((whole, AS_IS), (whole, TONE), (part, AS_IS))
        ]
        wanted, count = np.concatenate(asked), found.shape[1]
        half = np.rint((wanted * wanted).sum(axis=1, keepdims=True) / 2)
        ones = np.ones((len(wanted), 1), np.float32)
        scores = np.concatenate([wanted, ones], axis=1) @ self._features - half  # minus half of the squared distance
        scores = scores.reshape(len(asked), count, -1)
        tones = np.where(scores.max(axis=2).argmax(axis=0) == 1, TONE, AS_IS)
        best = scores.max(axis=0)  # (N, blocks · _BLOCK)
        blocks = best.reshape(count, _BLOCK, self._blocks).max(axis=1)
        near = np.sort(_largest(blocks, min(_BLOCKS, self._blocks)), axis=1)  # (N, taken)
        places = (near[:, None] + np.arange(_BLOCK)[:, None] * self._blocks).reshape(count, -1)
        chosen = _largest(np.take_along_axis(best, places, axis=1), min(CANDIDATES, len(self._pictures)))
        return np.sort(np.take_along_axis(places, chosen, axis=1), axis=1), tones

    @staticmethod
    def _coarse_of(found: Planes, rows: Floats) -> tuple[Floats, Floats]:
        area = rows.sum(axis=1)
        seen = np.rint(rows @ found.astype(np.float32) @ rows.T / np.outer(area, area)).reshape(3, -1, COARSE**2)
        return to_white(seen[0]), seen[1:].swapaxes(0, 1)

    def _best(
        self, grey: Planes, candidates: NDArray[np.int64], tones: Floats
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each picture the candidates to be compared, and way and window of each: (N, 2 · COMPARED).

        The window by which it is nearest, and that of the whole picture.
        """
        seen = windows.tried(grey.astype(np.float32)).reshape(len(grey), -1, COARSE**2)
        seen = darkened(to_white(seen), tones[:, None, None])  # (N, ways · windows, COARSE²)
        first = _squares(seen[:, _FIRST], self._coarse[candidates]).min(axis=1)
        kept = np.sort(_largest(-first, min(FINE, candidates.shape[1])), axis=1)
        candidates = np.take_along_axis(candidates, kept, axis=1)
        squares = _squares(seen, self._coarse[candidates])  # (N, ways · windows, FINE)
        count = min(COMPARED, candidates.shape[1])
        chosen = np.argsort(squares.min(axis=1), axis=1, kind="stable")[:, :count]
        ways = np.take_along_axis(squares, chosen[:, None], axis=2).argmin(axis=1)
        whole = ways - ways % len(windows.WINDOWS) + windows.STILL
        pictures = np.take_along_axis(candidates, chosen, axis=1)
        return np.concatenate([pictures, pictures], axis=1), np.concatenate([ways, whole], axis=1)

    def _compare(self, found: Planes, pictures: NDArray[np.int64], ways: NDArray[np.int64]) -> Floats:
        """(P,) distances of pictures (3, N, SIDE, SIDE) to training pictures (N, pairs)."""
        way, window = divmod(ways.reshape(-1), len(windows.WINDOWS))
        drawn = np.repeat(np.arange(found.shape[1]), pictures.shape[1])
        laid = np.stack([windows.turned(found[:, at], by) for at, by in zip(drawn, way.tolist(), strict=True)])
        laid = laid.astype(np.float32)  # (P, 3, SIDE, SIDE)
        grey = windows.LUMA_ROWS[window] @ laid[:, 0] @ windows.LUMA_COLUMNS[window].swapaxes(1, 2)
        colours = windows.CHROMA_ROWS[window, None] @ laid[:, 1:] @ windows.CHROMA_COLUMNS[window, None].swapaxes(2, 3)
        grey, colours = np.rint(grey / windows.LUMA_AREA[window]), np.rint(colours / windows.CHROMA_AREA[window, None])
        inside = windows.LUMA_INSIDE[window], windows.CHROMA_INSIDE[window]
        return distances(grey, colours, levels(self._pictures[pictures.reshape(-1)]), inside)
