"""Tables as spreadsheets and people write them: bytes to rows, for files of labels and for plans of batches."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SEPARATORS: Final = ",;\t|"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TableError(ValueError):
    """A table that cannot be read; the message begins with the line, where there is one."""


@dataclass(frozen=True)
class Row:
    """A row by the names of its columns. `cells` is the number of cells that it has in the file."""

    line: int  # in the file, from 1; of a row of several lines the last
    values: dict[str, str]
    cells: int


@dataclass(frozen=True)
class CsvTable:
    """A table's columns without those that have neither name nor content, and its rows without empty ones."""

    columns: tuple[str, ...]
    width: int  # cells of the heading, the empty ones too
    rows: tuple[Row, ...]


def read_text(content: bytes) -> tuple[str, str]:
    """The text, and the encoding that it is in: by its mark, UTF-8, or what Excel writes on Windows."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(content, encoding), encoding
    try:
        return content.decode("utf-8"), "utf-8"
    except UnicodeDecodeError as error:
        if b"\0" in content:
            raise TableError(f"is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8") from error
        # cp1252 has no meaning for five bytes: what has them is in another encoding, or no text.
        return _decoded(content, "cp1252"), "cp1252"


def read_csv(text: str) -> CsvTable:
    """Rows separated by commas, semicolons, tabs or bars, as the heading has them. Raises TableError."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")  # Excel for Mac wrote "\r" alone
    first, _, rest = text.partition("\n")
    named = first.strip().strip('"').lower()
    skipped = 0
    if named.startswith("sep=") and len(named) <= 5:  # Excel's own way to say it
        separator, text, skipped = first.strip().strip('"')[4:] or "\t", rest, 1
    else:
        separator = _separator(first)
    return _table(_cells(text, separator, skipped))


def plain(name: str) -> str:
    """A name as it is compared and kept: one of Unicode's ways to write it (NFC), no blanks around it."""
    return unicodedata.normalize("NFC", name).strip()


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise TableError(f"is neither UTF-8 nor {encoding} ({error.reason}); save it as UTF-8") from error


def _separator(heading: str) -> str:
    outside = "".join(heading.split('"')[::2])  # what is not in quotes
    return max(SEPARATORS, key=outside.count)  # the first wins when there is one column only


def _cells(text: str, separator: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            yield reader.line_num + skipped, cells
    except csv.Error as error:
        raise TableError(f"line {reader.line_num + skipped}: {error}") from error


def _table(lines: Iterator[tuple[int, list[str]]]) -> CsvTable:
    _, heading = next(lines, (0, []))
    names = [plain(name) for name in heading]
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise TableError(f'line 1: the column "{repeated[0]}" is there twice')
    found = [(line, cells) for line, cells in lines if any(cell.strip() for cell in cells)]
    filled = {i for _, cells in found for i, cell in enumerate(cells) if cell.strip()}
    kept = [i for i, name in enumerate(names) if name or i in filled]
    if sum(not names[i] for i in kept) > 1:
        raise TableError("line 1: several columns have no name; name them")
    rows = tuple(
        Row(line, {names[i]: cells[i] if i < len(cells) else "" for i in kept}, _width(cells, len(names)))
        for line, cells in found
    )
    return CsvTable(tuple(names[i] for i in kept), len(names), rows)


def _width(cells: list[str], heading: int) -> int:
    # Empty cells beyond the heading are what a spreadsheet leaves; they are not counted.
    while len(cells) > heading and not cells[-1].strip():
        cells = cells[:-1]
    return len(cells)
