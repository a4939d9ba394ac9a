"""Contact sheets: many images on one picture, with labels that say what each was asked to be."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias, TypeVar

from PIL import Image, ImageDraw, ImageFont

# Sizes in pixels.
SMALLEST_TILE: Final = 96  # below it, people see little: images are enlarged to at least that
LARGEST_TILE: Final = 256
MARGIN: Final = 24
GAP: Final = 8
TITLE_SIZE: Final = 20
LABEL_SIZE: Final = 14
LINE: Final = 19  # height of a line of labels

BACKGROUND: Final = (250, 250, 248)
INK: Final = (28, 28, 30)
FAINT: Final = (120, 120, 126)

# Pixel art: below this side, enlarging by whole pixels shows more than smoothing does.
_NEAREST_BELOW: Final = 32

T = TypeVar("T")
Font: TypeAlias = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Sheet:
    """A grid of images. `rows` may hold None where there is no image; all images have one size.

    `row_labels` stand left of the rows, `column_labels` above the columns, `captions` under each image (lines apart by
    "\\n"); each may be empty. `title` and `note` stand above and below everything.
    """

    rows: Sequence[Sequence[Image.Image | None]]
    title: str = ""
    note: str = ""
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    captions: Sequence[Sequence[str | None]] = ()

    def draw(self) -> Image.Image:
        """The picture, in RGB. Raises ValueError if there is no image at all."""
        images = [image for row in self.rows for image in row if image is not None]
        if not images:
            raise ValueError("a sheet needs at least one image")
        layout = _Layout.of(self, enlarged_size(images[0].size))
        picture = Image.new("RGB", layout.size, BACKGROUND)
        pen = ImageDraw.Draw(picture)
        self._write_frame(pen, layout)
        for y, row in enumerate(self.rows):
            for x, image in enumerate(row):
                left, top = layout.corner(x, y)
                if image is not None:
                    tile = enlarge(image)
                    picture.paste(tile, (left, top), tile if tile.has_transparency_data else None)
                for line, words in enumerate((self.captions[y][x] or "").splitlines() if self.captions else ()):
                    text = fitted(words, layout.tile[0])
                    pen.text((left, top + layout.tile[1] + 3 + line * LINE), text, FAINT, font(text, LABEL_SIZE))
        return picture

    def _write_frame(self, pen: ImageDraw.ImageDraw, layout: _Layout) -> None:
        room = layout.size[0] - 2 * MARGIN
        title, note = fitted(self.title, room, TITLE_SIZE), fitted(self.note, room)
        pen.text((MARGIN, MARGIN), title, INK, font(title, TITLE_SIZE))
        pen.text((MARGIN, layout.size[1] - MARGIN - LINE), note, FAINT, font(note, LABEL_SIZE))
        for y, label in enumerate(self.row_labels):
            middle = layout.corner(0, y)[1] + layout.tile[1] // 2
            pen.text((layout.left - GAP - 4, middle), label, INK, font(label, LABEL_SIZE), anchor="rm")
        for x, label in enumerate(self.column_labels):
            centre = layout.corner(x, 0)[0] + layout.tile[0] // 2
            text = fitted(label, layout.tile[0])
            pen.text((centre, layout.top - 9), text, INK, font(text, LABEL_SIZE), anchor="ms")


@dataclass(frozen=True)
class _Layout:
    tile: tuple[int, int]
    left: int
    top: int
    row_height: int
    size: tuple[int, int]

    @classmethod
    def of(cls, sheet: Sheet, tile: tuple[int, int]) -> _Layout:
        labels = [int(font(label, LABEL_SIZE).getlength(label)) for label in sheet.row_labels]
        left = MARGIN + (max(labels) + GAP + 8 if labels else 0)
        top = MARGIN + (TITLE_SIZE + 14 if sheet.title else 0) + (LINE + 4 if sheet.column_labels else 0)
        lines = max(((caption or "").count("\n") + 1 for row in sheet.captions for caption in row), default=0)
        row_height = tile[1] + GAP + lines * LINE
        columns = max(len(row) for row in sheet.rows)
        width = left + columns * (tile[0] + GAP) - GAP + MARGIN
        note = LINE + 6 if sheet.note else 0
        height = top + len(sheet.rows) * row_height - GAP + note + MARGIN
        texts = ((sheet.title, TITLE_SIZE), (sheet.note, LABEL_SIZE))
        widest = max(math.ceil(font(text, size).getlength(text)) for text, size in texts) + 2 * MARGIN
        # A long title may widen the sheet, within reason; beyond that it is cut.
        return cls(tile, left, top, row_height, (max(width, min(widest, 960)), height))

    def corner(self, x: int, y: int) -> tuple[int, int]:
        return self.left + x * (self.tile[0] + GAP), self.top + y * self.row_height


def enlarged_size(size: tuple[int, int]) -> tuple[int, int]:
    """Size of a tile for images of `size`: a whole multiple where they are small, shrunk where they are large."""
    side = max(size)
    if side > LARGEST_TILE:
        return max(1, size[0] * LARGEST_TILE // side), max(1, size[1] * LARGEST_TILE // side)
    factor = math.ceil(SMALLEST_TILE / side)
    return size[0] * factor, size[1] * factor


def enlarge(image: Image.Image) -> Image.Image:
    """An image at the size of its tile: by whole pixels where it is tiny, else smoothly."""
    size = enlarged_size(image.size)
    tiny = max(image.size) < _NEAREST_BELOW
    return image.resize(size, Image.Resampling.NEAREST if tiny else Image.Resampling.LANCZOS)


def grid(items: Sequence[T], columns: int | None = None) -> list[list[T | None]]:
    """Images or captions in rows of `columns`, by default about as wide as high; None fills up the last row."""
    columns = columns or max(1, math.ceil(math.sqrt(len(items))))
    padded = [*items, *[None] * (-len(items) % columns)]
    return [padded[start : start + columns] for start in range(0, len(padded), columns)]


def font(text: str, size: int) -> Font:
    """Pillow's own font, which needs nothing on the machine; for what it cannot write, a common one if there is one."""
    return _loaded(text.isascii(), size)


@cache  # decoding it takes about a millisecond
def _loaded(is_ascii: bool, size: int) -> Font:
    if not is_ascii:
        with suppress(OSError):
            return ImageFont.truetype("DejaVuSans.ttf", size)
    return ImageFont.load_default(size)


def fitted(text: str, width: int, size: int = LABEL_SIZE) -> str:
    """`text`, cut with three dots where it is wider than `width` pixels."""
    if font(text, size).getlength(text) <= width:
        return text
    while text and font(text, size).getlength(text + "...") > width:
        text = text[:-1]
    return text.rstrip() + "..."
