"""A batch's contact sheet: a few of its images, cell by cell where it has several."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from io import BytesIO
from typing import Final

import pyarrow as pa
from PIL import Image

from unikat.batches.layout import Row
from unikat.batches.spec import BatchSpec, Cell
from unikat.batches.storage import DamagedFile, Storage
from unikat.metadata import of_several
from unikat.sheet import Sheet, fitted, grid

_ROWS: Final = 14
_COLUMNS: Final = 8
_IMAGES: Final = 64
_FEWEST: Final = 3  # images a cell: below it, a row for each cell shows too little
_LABEL_WIDTH: Final = 240  # pixels


class ContactSheet:
    """Chooses the images to show, is shown the rows of all, and draws."""

    def __init__(self, spec: BatchSpec, shards: Sequence[int]) -> None:
        """`shards`: those that are written, sorted."""
        self._spec = spec
        self._written = _Written(spec, shards)
        self._cells = self._choose()
        self._wanted = sorted(index for _, indexes in self._cells for index in indexes)
        self._rows: dict[int, Row] = {}

    def see(self, indexes: range, table: pa.Table) -> None:
        """Keep what is needed of the rows with these indexes."""
        for position in range(bisect_left(self._wanted, indexes.start), bisect_left(self._wanted, indexes.stop)):
            index = self._wanted[position]
            self._rows[index] = table.slice(index - indexes.start, 1).to_pylist()[0]

    def draw(self, storage: Storage) -> bytes | None:
        """The sheet as a PNG file; None if none of its images can be read."""
        images = {index: _image(storage, row) for index, row in self._rows.items()}
        if not any(images.values()):
            return None
        size = next(image.size for image in images.values() if image is not None)
        shown = {index: image for index, image in images.items() if image is not None and image.size == size}
        buffer = BytesIO()
        self._sheet(shown).draw().save(buffer, "PNG", optimize=False, pnginfo=of_several())
        return buffer.getvalue()

    def _choose(self) -> list[tuple[str, list[int]]]:
        """(label, indexes of images to show) of each row; one without a label where there are no rows of cells."""
        spec, at = self._spec, 0
        cells: list[tuple[Cell, range]] = []
        for cell in spec.cells:
            cells.append((cell, self._written.within(range(at, at + cell.count))))
            at += cell.count
        cells = [(cell, there) for cell, there in cells if there]
        if len(cells) < 2 or max(len(there) for _, there in cells) < _FEWEST:
            everything = self._written.within(range(spec.total))
            return [("", [self._written.index(n) for n in evenly(everything, _IMAGES)])]
        names = _differing(spec.cells)

        def label(cell: Cell) -> str:
            return ", ".join(_shares(cell.weights[name]) for name in names if name in cell.weights) or "any"

        chosen = [cells[n] for n in evenly(range(len(cells)), _ROWS)]
        return [(label(cell), [self._written.index(n) for n in evenly(there, _COLUMNS)]) for cell, there in chosen]

    def _sheet(self, images: dict[int, Image.Image]) -> Sheet:
        spec, written = self._spec, len(self._written)
        of = f" of {spec.total:,}" if written < spec.total else ""
        title = f"{spec.model}: {written:,}{of} images"
        note = f"seed {spec.seed}, truncation {spec.truncation:g}, model {spec.digest[:16]}"
        if len(self._cells) == 1:
            indexes = [index for index in self._cells[0][1] if index in images]
            shown = grid([images[index] for index in indexes])
            return Sheet(shown, title, note, captions=grid([str(index) for index in indexes]))
        rows = [[images.get(index) for index in indexes] for _, indexes in self._cells]
        captions = [[str(index) for index in indexes] for _, indexes in self._cells]
        labels = [fitted(label, _LABEL_WIDTH) for label, _ in self._cells]
        return Sheet(rows, title, note, row_labels=labels, captions=captions)


class _Written:
    """The images that are written, numbered without gaps."""

    def __init__(self, spec: BatchSpec, shards: Sequence[int]) -> None:
        self._shards, self._size = shards, spec.shard_size  # only the batch's last shard may be smaller
        self._count = sum(len(spec.shard_range(shard)) for shard in shards)

    def __len__(self) -> int:
        return self._count

    def index(self, number: int) -> int:
        """The index of an image in the batch."""
        at, place = divmod(number, self._size)
        return self._shards[at] * self._size + place

    def within(self, indexes: range) -> range:
        """Numbers of the images that have these indexes."""
        return range(self._number(indexes.start), self._number(indexes.stop))

    def _number(self, index: int) -> int:
        """How many images before `index` are written."""
        shard, place = divmod(index, self._size)
        at = bisect_left(self._shards, shard)
        is_written = at < len(self._shards) and self._shards[at] == shard
        return min(at * self._size + (place if is_written else 0), self._count)


def _differing(cells: Sequence[Cell]) -> list[str]:
    """The attributes in which cells differ."""
    names = dict.fromkeys(name for cell in cells for name in cell.weights)
    return [name for name in names if any(cell.weights.get(name) != cells[0].weights.get(name) for cell in cells)]


def _shares(of: Mapping[str, float]) -> str:
    if len(of) == 1:
        return next(iter(of))
    return " + ".join(f"{share:.0%} {category}" for category, share in of.items())


def evenly(numbers: range, count: int) -> list[int]:
    """At most `count` of `numbers`, evenly spread."""
    count = min(count, len(numbers))
    return [numbers[(2 * step + 1) * len(numbers) // (2 * count)] for step in range(count)]


def _image(storage: Storage, row: Row) -> Image.Image | None:
    """The image of a row of the manifest, in RGB; None if it was refused or cannot be read: `verify` complains."""
    if row.get("refused"):
        return None
    with suppress(OSError, SyntaxError, DamagedFile):  # what Pillow and the storage raise
        data = storage.read_range(row["file"], row["offset"], row["size"])
        with Image.open(BytesIO(data)) as image:
            return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return None
