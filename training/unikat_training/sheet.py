"""Sheets of pictures: blocks with a heading, rows with a label, columns with a heading, captions, framed pictures."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

Pixels = npt.NDArray[np.uint8]
# Sizes in pixels.
SMALLEST = 48  # smaller pictures are enlarged to at least this, by a whole factor: pixels stay pixels
LARGEST = 128  # larger ones are made smaller
LABEL_WIDTH = 160
LETTERS = 12
LINE = 15
EDGE = 6
GAP = 2  # around each picture: room for a frame
# Behind pictures with alpha, a column after the other: white and black drawings can be seen on each.
GROUNDS = ("#c9ced3", "#a8dcf5", "#ffe08a", "#2b3a67")


@dataclass(frozen=True)
class Strip:
    """One row: pictures (n, H, H, 3 or 4), what is written under each, and which of them is framed."""

    label: str
    images: Pixels
    captions: Sequence[str] = ()
    framed: int | None = None


@dataclass(frozen=True)
class Block:
    """Rows that belong together; all pictures of a sheet have one size."""

    heading: str
    strips: Sequence[Strip]


def draw_sheet(
    blocks: Sequence[Block], title: str = "", columns: Sequence[str] = (), largest: int = LARGEST
) -> Image.Image:
    """The sheet, RGB. There must be a picture."""
    strips = [strip for block in blocks for strip in block.strips]
    side = strips[0].images.shape[1]
    tile = min(side * -(-SMALLEST // side), largest)
    labels = [font().getlength(line) for strip in strips for line in wrapped(strip.label, LABEL_WIDTH)]
    left = EDGE + (int(max(labels)) + EDGE if any(labels) else 0)
    wide = left + max(len(strip.images) for strip in strips) * (tile + 2 * GAP) + EDGE
    headings = [title, *(block.heading for block in blocks)]
    width = max(wide, *(int(font(bold=True).getlength(words)) + 2 * EDGE for words in headings))
    bands = list(_Page(width, left, tile).bands(blocks, title, columns))
    sheet, top = Image.new("RGB", (width, sum(band.height for band in bands)), "white"), 0
    for band in bands:
        sheet.paste(band, (0, top))
        top += band.height
    return sheet


@dataclass(frozen=True)
class _Page:
    """What the bands of a sheet have in common, in pixels: its width, where pictures begin, and their side."""

    width: int
    left: int
    tile: int

    def bands(self, blocks: Sequence[Block], title: str, columns: Sequence[str]) -> Iterator[Image.Image]:
        if title:
            yield self._heading(title)
        if columns:
            band, pen = self._band(LINE)
            for index, words in enumerate(columns):
                write(pen, (self._x(index) + self.tile // 2, LINE - 3), words, anchor="ms")
            yield band
        for block in blocks:
            if block.heading:
                yield self._heading(block.heading)
            for strip in block.strips:
                yield self._strip(strip)
        yield self._band(EDGE - GAP)[0]

    def _band(self, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        band = Image.new("RGB", (self.width, height), "white")
        return band, ImageDraw.Draw(band)

    def _x(self, column: int) -> int:
        return self.left + GAP + column * (self.tile + 2 * GAP)

    def _heading(self, words: str) -> Image.Image:
        band, pen = self._band(LINE + EDGE)
        write(pen, (EDGE, LINE + 1), words, anchor="ls", bold=True)
        return band

    def _strip(self, strip: Strip) -> Image.Image:
        tile = self.tile
        band, pen = self._band(tile + 2 * GAP + (LINE if strip.captions else 0))
        for line, words in enumerate(wrapped(strip.label, LABEL_WIDTH)[: max(1, tile // LINE)]):
            write(pen, (EDGE, GAP + line * LINE), words)
        how = Image.Resampling.LANCZOS if strip.images.shape[1] > tile else Image.Resampling.NEAREST
        for column, pixels in enumerate(strip.images):
            x = self._x(column)
            if column == strip.framed:
                pen.rectangle((x - GAP, 0, x + tile + GAP - 1, tile + 2 * GAP - 1), fill="black")
            picture = Image.fromarray(pixels).resize((tile, tile), how)
            if picture.mode == "RGBA":
                ground = Image.new("RGBA", picture.size, GROUNDS[column % len(GROUNDS)])
                picture = Image.alpha_composite(ground, picture)
            band.paste(picture, (x, GAP))
        for column, words in enumerate(strip.captions):
            write(pen, (self._x(column), tile + 2 * GAP), words)
        return band


def write(pen: ImageDraw.ImageDraw, place: tuple[int, int], words: str, anchor: str = "la", bold: bool = False) -> None:
    words = "".join(letter if letter.isprintable() else " " for letter in words)
    pen.text(place, words, fill="black", font=font(bold), anchor=anchor)


def wrapped(words: str, width: int) -> list[str]:
    """In lines of at most `width` pixels; a word that is wider is cut."""
    lines = []
    for part in words.split("\n"):
        line = ""
        for word in part.split():
            longer = f"{line} {word}".strip()
            if line and font().getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
            while font().getlength(line) > width:
                line = line[:-2] + "…"
        lines.append(line)
    return lines


@cache
def font(bold: bool = False) -> ImageFont.FreeTypeFont:
    """Pillow's own font knows English only; this one also Europe's other languages, Greek and Cyrillic."""
    from matplotlib import get_data_path

    file = Path(get_data_path()) / "fonts" / "ttf" / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    # Not Raqm, which refuses control characters and is not on every machine.
    return ImageFont.truetype(str(file), LETTERS, layout_engine=ImageFont.Layout.BASIC)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
