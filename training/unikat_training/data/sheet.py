"""The contact sheet of a data set: example pictures of every category, with its name and count."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat_training.data.dataset import Attribute
from unikat_training.sheet import Block, Pixels, Strip, draw_sheet

COLUMNS = 16
CATEGORIES = 40  # a sheet is for looking at: beyond this, the rest is counted


def contact_sheet(images: Pixels, labels: npt.NDArray[np.int64], attributes: tuple[Attribute, ...]) -> Image.Image:
    """Images (N, H, W, 3 or 4) by labels (N, A), a block an attribute; without attributes one grid."""
    if attributes:
        return draw_sheet(list(_blocks(images, labels, attributes)))
    chosen = _spread(np.arange(len(images)), COLUMNS * COLUMNS)
    strips = [Strip("", images[chosen[start : start + COLUMNS]]) for start in range(0, len(chosen), COLUMNS)]
    return draw_sheet([Block("", strips)])


def _blocks(images: Pixels, labels: npt.NDArray[np.int64], attributes: tuple[Attribute, ...]) -> Iterator[Block]:
    for column, attribute in enumerate(attributes):
        strips = []
        for value, category in enumerate(attribute.categories[:CATEGORIES]):
            members = np.flatnonzero(labels[:, column] == value)
            strips.append(Strip(f"{category} ({len(members)})", images[_spread(members, COLUMNS)]))
        yield Block(attribute.name, strips)
        hidden = len(attribute.categories) - CATEGORIES
        if hidden > 0:
            yield Block(f"and {hidden} more categories", ())


def _spread(members: npt.NDArray[np.int64], limit: int) -> npt.NDArray[np.int64]:
    """At most `limit` of `members`, evenly spread from first to last."""
    if len(members) <= limit:
        return members
    return members[np.linspace(0, len(members) - 1, limit).round().astype(np.int64)]
