"""The nearest of many training pictures: candidates by numbers that no turn changes, then every way and window."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from unikat.originality import windows
from unikat.originality.comparison import distances
from unikat.originality.descriptor import LUMA, Floats, Pixels, Planes, in_steps, levels, planes
from unikat.originality.index import Index
from unikat.originality.windows import COARSE
from unikat.watermark.matting import on_white

CANDIDATES: Final = 96
SURE: Final = 32  # of them are the nearest ones of the drawing as it is
COMPARED: Final = 4  # of them in every detail
WAYS: Final = 2  # to lay each of these, beside the whole picture
WHITE: Final = 253
TONES: Final = np.array([1, 1.04, 1.08], np.float32)  # a drawing is looked for as it is, and made darker by these
NEARLY: Final = 2  # a drawing may be a brighter copy where a darker tone's squared distance is at most so much larger
_LEAF: Final = 16  # training pictures that are alike
_LEAVES: Final = 256  # of these that are looked into
_FAR: Final = np.float32(2**22)


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


def darkened(grey: Floats, factor: Floats) -> Floats:
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


def _squares(one: Floats, other: Floats) -> Floats:
    """(N, A, B) squared distances of (N, A, K) from (N, B, K)."""
    found: Floats = (-2 * one) @ other.swapaxes(1, 2)
    found += (one * one).sum(axis=2)[:, :, None]
    found += (other * other).sum(axis=2)[:, None]
    return found


def _alike(features: Floats) -> NDArray[np.int64]:
    """An order of whole numbers (count, K) in which every `_LEAF` are alike: a tree of halves by what differs most."""
    parts, order = [np.arange(len(features))], []
    while parts:
        part = parts.pop()
        if len(part) <= _LEAF:
            order.append(part)
            continue
        own = features[part].astype(np.float64)
        widest = (len(part) * (own * own).sum(axis=0) - own.sum(axis=0) ** 2).argmax()
        part = part[own[:, widest].argsort(kind="stable")]
        half = -(-len(part) // _LEAF) // 2 * _LEAF
        parts += [part[half:], part[:half]]
    return np.concatenate(order)


def _with_half_squares(features: Floats) -> Floats:
    """(..., K) to (..., K + 1): at the end minus half of the square."""
    half = -np.rint((features * features).sum(axis=-1, keepdims=True) / 2)
    return np.concatenate([features, half], axis=-1).astype(np.float32)


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
        order = _alike(features)
        missing = -count % _LEAF  # of the last leaf: filled up by what is far from everything
        self._leaves = np.pad(order, (0, missing), "edge").reshape(-1, _LEAF)
        self._features = _with_half_squares(features[self._leaves])  # (leaves, _LEAF, K + 1)
        self._features[-1, _LEAF - missing :] = 0
        self._features[-1, _LEAF - missing :, -1] = -_FAR
        self._centres = _with_half_squares(np.rint(features[self._leaves].mean(axis=1, dtype=np.float64)))

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
        stepped = in_steps(found)
        pictures, ways = self._best(stepped[0], *self._candidates(stepped))
        apart = self._compare(found, pictures, ways)
        best, every = apart.argmin(axis=1), np.arange(len(pixels))
        return apart[every, best], pictures[every, best]

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

    def _candidates(self, found: Planes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(N, CANDIDATES) training pictures whose invariants are nearest; (N,) whether it may be a brighter copy."""
        whole, *others = (self._coarse_of(found, *window) for window in windows.SOUGHT)
        asked = [(darkened(whole[0], tone), whole[1]) for tone in TONES] + others
        wanted = np.stack([invariants(*each) for each in asked], axis=1)  # (N, A, K)
        half = np.rint((wanted * wanted).sum(axis=2, keepdims=True) / 2)
        wanted = np.concatenate([wanted, np.ones_like(half)], axis=2)
        # Scores are minus half of the squared distance.
        near = (wanted @ self._centres.T - half).max(axis=1)
        leaves = np.sort(_largest(near, min(_LEAVES, len(self._leaves))), axis=1)
        brighter, as_is, best = np.zeros(len(wanted), np.bool_), [], []
        for i, each in enumerate(leaves):
            scores = wanted[i] @ self._features[each].reshape(-1, wanted.shape[2]).T - half[i]
            nearest = scores.max(axis=1)
            brighter[i] = nearest[1 : len(TONES)].max() > NEARLY * nearest.max()
            as_is.append(scores[0])
            best.append(scores.max(axis=0))
        count = len(self._pictures)
        ranks = np.stack(best)
        np.put_along_axis(ranks, _largest(np.stack(as_is), min(SURE, count)), np.float32(_FAR), axis=1)
        chosen = _largest(ranks, min(CANDIDATES, count))
        places = self._leaves[leaves].reshape(len(leaves), -1)
        return np.sort(np.take_along_axis(places, chosen, axis=1), axis=1), brighter

    @staticmethod
    def _coarse_of(found: Planes, rows: Floats, columns: Floats) -> tuple[Floats, Floats]:
        area = np.outer(rows.sum(axis=1), columns.sum(axis=1))
        seen = np.rint(rows @ found.astype(np.float32) @ columns.T / area).reshape(3, -1, COARSE**2)
        return to_white(seen[0]), seen[1:].swapaxes(0, 1)

    def _best(
        self, grey: Planes, candidates: NDArray[np.int64], brighter: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each picture the candidates to be compared (N, C), and ways and windows of each, (N, C, WAYS + 1).

        Those by which it is nearest, and the whole picture in the way of the first.
        """
        seen = to_white(windows.tried(grey.astype(np.float32)).reshape(len(grey), -1, COARSE**2))
        pictures = self._coarse[candidates].astype(np.float32)
        squares = _squares(pictures, seen)  # (N, candidates, ways · windows)
        for tone in TONES[1:]:
            darker = _squares(pictures[brighter], darkened(seen[brighter], tone))
            squares[brighter] = np.minimum(squares[brighter], darker)
        chosen = np.argsort(squares.min(axis=2), axis=1, kind="stable")[:, :COMPARED]
        squares = np.take_along_axis(squares, chosen[:, :, None], axis=1)
        ways = np.argsort(squares, axis=2, kind="stable")[:, :, :WAYS]
        whole = ways[:, :, :1] // len(windows.WINDOWS) * len(windows.WINDOWS) + windows.STILL
        return np.take_along_axis(candidates, chosen, axis=1), np.concatenate([ways, whole], axis=2)

    def _compare(self, found: Planes, pictures: NDArray[np.int64], ways: NDArray[np.int64]) -> Floats:
        """(N, C) distances of drawings (3, N, SIDE, SIDE) to training pictures, by the best of ways (N, C, W)."""
        way, window = divmod(ways, len(windows.WINDOWS))
        wide = found.astype(np.float32)
        laid = np.stack([windows.turned(wide, each) for each in range(8)], axis=2)
        laid = laid[:, np.arange(len(ways))[:, None, None], way]  # (3, N, C, W, SIDE, SIDE)
        grey = windows.LUMA_ROWS[window] @ laid[0] @ windows.LUMA_COLUMNS[window].swapaxes(-1, -2)
        colours = windows.CHROMA_ROWS[window] @ laid[1:] @ windows.CHROMA_COLUMNS[window].swapaxes(-1, -2)
        grey, colours = np.rint(grey / windows.LUMA_AREA[window]), np.rint(colours / windows.CHROMA_AREA[window])
        inside = windows.LUMA_INSIDE[window], windows.CHROMA_INSIDE[window]
        apart: Floats = distances(grey, colours, levels(self._pictures[pictures]), inside).min(axis=2)
        return apart
