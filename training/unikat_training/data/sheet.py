"""Contact sheets: one row of example images for each category, with its name and count."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib import get_data_path
from PIL import Image, ImageDraw, ImageFont

from unikat_training.data.dataset import Attribute

COLUMNS = 16
ROWS_PER_ATTRIBUTE = 40  # a sheet is for looking at: beyond this, the rest is counted
MIN_CELL = 48  # pixels; smaller images are enlarged by a whole factor
MAX_CELL = 128
MARGIN = 220  # pixels for the category names
GAP = 2
CHECK = 8  # pixels
HEADING = 26
# Pillow's own font knows English only; this one also Europe's other languages, Greek and Cyrillic.
FONT = str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


@dataclass(frozen=True)
class _Row:
    text: str
    indices: npt.NDArray[np.int64]  # empty: a heading


def write_contact_sheet(
    file: Path, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], attributes: tuple[Attribute, ...]
) -> None:
    """Draws images (N, H, W, 3 or 4) by labels (N, A) into a PNG; without attributes it is one grid."""
    rows = list(_rows(labels, attributes)) if attributes else list(_grid(len(images)))
    resolution = images.shape[1]
    cell = resolution * -(-MIN_CELL // resolution) if resolution < MIN_CELL else min(resolution, MAX_CELL)
    margin = MARGIN if attributes else GAP
    heights = [cell + GAP if len(row.indices) else HEADING for row in rows]
    columns = max(len(row.indices) for row in rows)
    sheet = Image.new("RGB", (margin + columns * (cell + GAP), max(1, sum(heights))), "#f4f4f4")
    draw, top = ImageDraw.Draw(sheet), 0
    for row, height in zip(rows, heights, strict=True):
        _draw_text(draw, row, top, cell)
        for column, index in enumerate(row.indices):
            picture = Image.fromarray(np.asarray(images[index]))
            resample = Image.Resampling.NEAREST if cell >= resolution else Image.Resampling.LANCZOS
            picture = picture.resize((cell, cell), resample)
            sheet.paste(on_checks(picture), (margin + column * (cell + GAP), top))
        top += height
    sheet.save(file)


def on_checks(picture: Image.Image) -> Image.Image:
    """A picture as RGB; one with alpha on grey checks, on which both white and black drawings can be seen."""
    if picture.mode != "RGBA":
        return picture
    rows, columns = np.indices((picture.height, picture.width)) // CHECK
    checks = Image.fromarray(np.where((rows + columns) % 2, 150, 190).astype(np.uint8)).convert("RGBA")
    return Image.alpha_composite(checks, picture).convert("RGB")


def _draw_text(draw: ImageDraw.ImageDraw, row: _Row, top: int, cell: int) -> None:
    heading = not len(row.indices)
    # Not Raqm, which refuses control characters and is not on every machine.
    font = ImageFont.truetype(FONT, 16 if heading else 13, layout_engine=ImageFont.Layout.BASIC)
    position = (6, top + (4 if heading else cell // 2 - 8))
    text = "".join(letter if letter.isprintable() else " " for letter in row.text)
    text = text if len(text) <= 32 else text[:31] + "…"
    draw.text(position, text, fill="black", font=font)


def _rows(labels: npt.NDArray[np.int64], attributes: tuple[Attribute, ...]) -> Iterator[_Row]:
    nothing = np.zeros(0, dtype=np.int64)
    for column, attribute in enumerate(attributes):
        yield _Row(attribute.name, nothing)
        for value, category in enumerate(attribute.categories[:ROWS_PER_ATTRIBUTE]):
            members = np.flatnonzero(labels[:, column] == value)
            yield _Row(f"{category} ({len(members)})", _spread(members))
        hidden = len(attribute.categories) - ROWS_PER_ATTRIBUTE
        if hidden > 0:
            yield _Row(f"and {hidden} more categories", nothing)


def _grid(count: int) -> Iterator[_Row]:
    chosen = _spread(np.arange(count), COLUMNS * COLUMNS)
    for start in range(0, len(chosen), COLUMNS):
        yield _Row("", chosen[start : start + COLUMNS])


def _spread(members: npt.NDArray[np.int64], limit: int = COLUMNS) -> npt.NDArray[np.int64]:
    """At most `limit` of `members`, evenly spread from first to last."""
    if len(members) <= limit:
        return members
    return members[np.linspace(0, len(members) - 1, limit).round().astype(np.int64)]
