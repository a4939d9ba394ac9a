"""The file of a bundle that says what its training pictures look like, and how near is too near.

A NumPy archive (`.npz`) without pickled objects: descriptors of the training pictures, not the pictures, and the
distances from pictures that were held out to their nearest training picture, by condition.
"""

from __future__ import annotations

import io
import json
import lzma
import zipfile
import zlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from unikat.conditions import CompleteConditions
from unikat.originality.descriptor import SIZE, Floats, Pixels

FORMAT: Final = 1
QUANTILES: Final = 256  # distances that stand for those of a cell
_MEMBERS: Final = ("about", "pictures", "distances", "limits")


@dataclass(frozen=True)
class Calibration:
    """How near held-out real pictures are to training pictures: of all, and of the categories of one attribute.

    Row 0 is that of all pictures; it holds for categories of which too few were held out, too.
    """

    attribute: str  # whose categories have rows; "" where there is only that of all
    rows: dict[str, int]  # category -> its row
    distances: Floats  # (rows, QUANTILES), ascending
    limits: Floats  # (rows,): a drawing nearer than this is too near

    @classmethod
    def none(cls) -> Calibration:
        """Of which nothing is too near."""
        return cls("", {}, np.zeros((1, QUANTILES), np.float32), np.zeros(1, np.float32))

    def row(self, conditions: CompleteConditions) -> int:
        """The row by which a drawing is judged; of a blend that of the largest weight, the first of equal ones."""
        weights = conditions.weights.get(self.attribute)
        return self.rows.get(max(weights, key=lambda name: weights[name]), 0) if weights else 0


@dataclass(frozen=True)
class Index:
    """Descriptors (M, SIZE) of training pictures, in the order of the data set's training part, with calibration."""

    pictures: Pixels
    calibration: Calibration
    has_alpha: bool  # whether they had alpha, and so may stand on any background

    def to_bytes(self) -> bytes:
        """The file; the same index gives the same bytes."""
        calibration = self.calibration
        about = {
            "format": FORMAT,
            "attribute": calibration.attribute,
            "rows": calibration.rows,
            "has_alpha": self.has_alpha,
        }
        members: tuple[NDArray[Any], ...] = (
            np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
            self.pictures,
            calibration.distances,
            calibration.limits,
        )
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, values in zip(_MEMBERS, members, strict=True):
                file = io.BytesIO()
                np.save(file, values, allow_pickle=False)
                # LZMA takes a quarter less than what `np.savez_compressed` knows, and `np.load` reads it.
                archive.writestr(zipfile.ZipInfo(f"{name}.npy"), file.getvalue(), zipfile.ZIP_LZMA)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Index:
        """Raises ValueError for what is no such file, of a newer format, or contradicts itself."""
        members = _members(data)
        try:
            about = json.loads(members["about"].tobytes())
            found, attribute, rows = about["format"], about["attribute"], about["rows"]
            has_alpha = about["has_alpha"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"about: is no description of an index: {error!r}") from error
        if found != FORMAT:
            raise ValueError(f"format {found!r} is not {FORMAT}; upgrade unikat")
        pictures, distances, limits = members["pictures"], members["distances"], members["limits"]
        if not (isinstance(attribute, str) and isinstance(has_alpha, bool) and _are_rows(rows, len(limits))):
            raise ValueError("about: attribute must be a text, has_alpha true or false, rows names with their numbers")
        if pictures.dtype != np.uint8 or pictures.ndim != 2 or pictures.shape[1] != SIZE or not len(pictures):
            raise ValueError(f"pictures: must be uint8 (M, {SIZE}), not {pictures.dtype} {pictures.shape}")
        if not (_are_floats(limits, 1) and _are_floats(distances, 2) and len(limits) == len(distances) > 0):
            raise ValueError("distances, limits: must be float32, with a row for each limit")
        return cls(pictures, Calibration(attribute, rows, distances, limits), has_alpha)


def _are_rows(rows: object, count: int) -> bool:
    return isinstance(rows, dict) and all(type(row) is int and 0 <= row < count for row in rows.values())


def _are_floats(values: NDArray[Any], dimensions: int) -> bool:
    return values.dtype == np.float32 and values.ndim == dimensions and values.size > 0


def _members(data: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            return {name: archive[name] for name in _MEMBERS}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
        raise ValueError(f"is no index of training pictures: {error}") from error
