"""The directions of a bundle: what latents can be moved along, as `directions.json` has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from unikat.bundle import Bundle, BundleError, read_bounded
from unikat.conditions import is_finite
from unikat.json_text import parse_json
from unikat.recipes.text import DIRECTION

FILE: Final = "directions.json"
FORMAT: Final = 1
MAX_DIRECTIONS: Final = 256

LARGEST: Final = 2**24  # bytes of the file


@dataclass(frozen=True)
class Direction:
    """`vector` is float32 (latent size,), `strength` the mean change by one standard deviation (grey levels of 255)."""

    name: str
    vector: npt.NDArray[np.float32]
    strength: float


def read_directions(bundle: Bundle) -> list[Direction]:
    """Those of a bundle, none where it has no such file. Raises BundleError for a bad file.

    A direction without a name has its number, from "1".
    """
    if FILE not in {file.path for file in bundle.model.files}:
        return []
    path = bundle.path / FILE
    try:
        return parse_directions(read_bounded(path, LARGEST), bundle.model.latent_size)
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error


def parse_directions(content: bytes, latent_size: int) -> list[Direction]:
    """The directions that the file holds. Raises ValueError for a bad one, and for one of a later format."""
    try:
        document = parse_json(content)
        rows = list(document["directions"])
        is_newer = document["format"] > FORMAT
        found = [
            Direction(
                str(row.get("name", number)), np.array(row["vector"], dtype=np.float32), float(row.get("strength", 0.0))
            )
            for number, row in enumerate(rows, 1)
        ]
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError, AttributeError) as error:
        raise ValueError(f"does not hold directions: {error!r}; restore the file") from error
    if is_newer:
        raise ValueError(f"format {document['format']} is newer than {FORMAT}; upgrade unikat")
    names = [direction.name for direction in found]
    if len(set(names)) < len(names) or len(names) > MAX_DIRECTIONS or not all(map(DIRECTION.fullmatch, names)):
        raise ValueError(f"directions need distinct names of a-z, 0-9 and -, and are at most {MAX_DIRECTIONS}")
    if not all(is_finite(each.strength) for each in found):
        raise ValueError("strengths must be finite numbers")
    if not all(each.vector.shape == (latent_size,) and np.isfinite(each.vector).all() for each in found):
        raise ValueError(f"vectors must have {latent_size} finite numbers, as latents do")
    return found
