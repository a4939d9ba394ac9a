"""Sheets of strips: blocks with a heading, rows with a label, columns with a heading, one image framed a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from unikat_training.data.sheet import FONT
from unikat_training.pictures import LABEL_SIZE, LABEL_WIDTH, TILE, png

Pixels = npt.NDArray[np.uint8]
BOLD = FONT.replace("DejaVuSans.ttf", "DejaVuSans-Bold.ttf")
# Sizes in pixels.
LINE = LABEL_SIZE + 3
HEADING = LINE + 8
EDGE = 6
GAP = 3


@dataclass(frozen=True)
class Strip:
    """One row: images (columns, H, H, 3), and which of them is framed."""

    label: str
    images: Pixels
    framed: int | None = None


@dataclass(frozen=True)
class Block:
    """Rows that belong together."""

    heading: str
    strips: Sequence[Strip]


def draw_blocks(title: str, columns: Sequence[str], blocks: Sequence[Block]) -> bytes:
    """A PNG. Small images are enlarged by a whole factor, large ones are made smaller: a sheet is for an overview."""
    side = blocks[0].strips[0].images.shape[1]
    tile = side * max(1, TILE // side) if side <= TILE else TILE
    left = LABEL_WIDTH if any(strip.label for block in blocks for strip in block.strips) else EDGE
    rows = sum(len(block.strips) for block in blocks)
    headings = sum(bool(block.heading) for block in blocks)
    top = EDGE + 2 * LINE + GAP
    height = top + rows * (tile + GAP) + headings * HEADING + EDGE
    sheet = Image.new("RGB", (left + len(columns) * (tile + GAP) + EDGE, height), "white")
    pen = ImageDraw.Draw(sheet)
    write(pen, (EDGE, EDGE), title)
    for index, column in enumerate(columns):
        write(pen, (left + index * (tile + GAP) + tile // 2, top - 4), column, anchor="ms")
    for block in blocks:
        if block.heading:
            write(pen, (EDGE, top + HEADING - 8), block.heading, anchor="ls", bold=True)
            top += HEADING
        for strip in block.strips:
            paste_strip(sheet, pen, strip, (left, top, tile))
            top += tile + GAP
    return png(sheet)


def paste_strip(sheet: Image.Image, pen: ImageDraw.ImageDraw, strip: Strip, place: tuple[int, int, int]) -> None:
    """`place` is left edge, top edge and the side of a tile."""
    left, top, tile = place
    for line, words in enumerate(wrapped(strip.label, left - EDGE - GAP)[: tile // LINE]):
        write(pen, (EDGE, top + 1 + line * LINE), words)
    smaller = strip.images.shape[1] > tile
    for column, pixels in enumerate(strip.images):
        x = left + column * (tile + GAP)
        if column == strip.framed:
            pen.rectangle((x - 2, top - 2, x + tile + 1, top + tile + 1), fill="black")
        how = Image.Resampling.LANCZOS if smaller else Image.Resampling.NEAREST
        sheet.paste(Image.fromarray(pixels).resize((tile, tile), how), (x, top))


def write(pen: ImageDraw.ImageDraw, place: tuple[int, int], words: str, anchor: str = "la", bold: bool = False) -> None:
    pen.text(place, words, fill="black", font=font_of(BOLD if bold else FONT), anchor=anchor)


def wrapped(words: str, width: int) -> list[str]:
    """In lines of at most `width` pixels; a word that is wider is cut."""
    font = font_of(FONT)
    lines = []
    for part in words.split("\n"):
        line = ""
        for word in part.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
            while font.getlength(line) > width:
                line = line[:-2] + "…"
        lines.append(line)
    return lines


@cache
def font_of(file: str) -> ImageFont.FreeTypeFont:
    # Not Raqm, which refuses control characters and is not on every machine.
    return ImageFont.truetype(file, LABEL_SIZE, layout_engine=ImageFont.Layout.BASIC)
