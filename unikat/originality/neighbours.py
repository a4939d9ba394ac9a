"""The nearest training picture of a drawing, and whether that is too near."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unikat.bundle import ORIGINALITY, Bundle, BundleError, read_sized
from unikat.conditions import CompleteConditions
from unikat.originality.descriptor import Floats, Pixels
from unikat.originality.index import Index
from unikat.originality.search import Search


@dataclass(frozen=True)
class Measured:
    """Of N drawings."""

    distance: Floats  # (N,) to the nearest training picture; 0: the same
    percentile: Floats  # (N,) share of held-out real pictures of these conditions that are nearer to one
    near: NDArray[np.bool_]  # (N,) nearer than the limit of these conditions
    nearest: NDArray[np.int64]  # (N,) number of that picture, in the order of the data set's training part


class Neighbours:
    """Measures drawings against the training pictures of a bundle. May be used by several threads."""

    def __init__(self, index: Index) -> None:
        self._calibration = index.calibration
        self._search = Search(index)

    @classmethod
    def of(cls, bundle: Bundle) -> Neighbours | None:
        """Those of a bundle; None where it has no index.

        Raises BundleError for an index that is missing, not what `model.json` lists, or malformed.
        """
        for file in bundle.model.files:
            if file.path == ORIGINALITY:
                path = bundle.path / file.path
                try:
                    data = read_sized(path, file.size)
                    if file.digest != "sha256:" + hashlib.sha256(data).hexdigest():
                        raise ValueError("is not what model.json lists; restore the file")
                    return cls(Index.from_bytes(data))
                except ValueError as error:
                    raise BundleError(f"{path}: {error}") from error
        return None

    def measure(self, pixels: Pixels, conditions: Sequence[CompleteConditions]) -> Measured:
        """Drawings (N, H, W, 3 or 4), of any size, each with the conditions that drew it.

        The same pixels and conditions give the same on every machine and in every batch. Raises ValueError for pixels
        of another shape, and where there are not as many conditions.
        """
        if pixels.ndim != 4 or pixels.shape[-1] not in (3, 4) or pixels.dtype != np.uint8:
            raise ValueError(f"pixels: must be uint8 (N, H, W, 3 or 4), not {pixels.dtype} {pixels.shape}")
        if len(pixels) != len(conditions):
            raise ValueError(f"conditions: must be one for each of {len(pixels)} drawings, not {len(conditions)}")
        distance, nearest = self._search.nearest(pixels)
        rows = [self._calibration.row(each) for each in conditions]
        table = self._calibration.distances[rows]  # (N, QUANTILES)
        percentile = (table < distance[:, None]).sum(axis=1, dtype=np.float32) / np.float32(table.shape[1])
        return Measured(distance, percentile, distance < self._calibration.limits[rows], nearest)
