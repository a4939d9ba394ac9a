"""Labels written in a file: CSV, JSONL, or StyleGAN's dataset.json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from unikat_training.data import fields
from unikat_training.data.fields import DatasetError, Object
from unikat_training.data.report import Problem

FILE_COLUMNS = ("file", "path", "filename", "file_name", "image")
TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl")
STYLEGAN = "dataset.json"


@dataclass(frozen=True)
class Row:
    """The labels of one file; a value is None where the table does not say."""

    file: str
    values: tuple[str | None, ...]


@dataclass
class Table:
    """All that a label file says."""

    attributes: tuple[str, ...]
    rows: list[Row] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def read_table(name: str, content: bytes, chosen: tuple[str, ...]) -> Table | None:
    """Reads label file `name`; `chosen` are the attributes to use, none: all.

    None when a StyleGAN file says that there are no labels. Raises DatasetError when the file cannot be used.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{name}: not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8") from error
    if name.lower().endswith(".json"):
        return _read_stylegan(name, text, chosen)
    records = list(_json_lines(name, text) if name.lower().endswith(".jsonl") else _csv_rows(name, text))
    return _table(name, records, chosen)


def _table(name: str, records: list[tuple[int, Object | str]], chosen: tuple[str, ...]) -> Table:
    rows = [record for _, record in records if isinstance(record, dict)]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    files = [column for column in columns if column.strip().lower() in FILE_COLUMNS]
    if len(files) != 1:
        found = ", ".join(columns) or "none"
        raise DatasetError(f"{name}: exactly one column must be named {' or '.join(FILE_COLUMNS)}; columns: {found}")
    others = tuple(column for column in columns if column != files[0])
    missing = [column for column in chosen if column not in others]
    if missing:
        raise DatasetError(f"--attribute {missing[0]}: {name} has no such column; choose from {', '.join(others)}")
    attributes = chosen or others
    if any(not attribute.strip() for attribute in attributes):
        raise DatasetError(f"{name}: a column has no name; name it, or choose columns by --attribute")
    table = Table(tuple(attribute.strip() for attribute in attributes))
    for number, record in records:
        row = _row(record, files[0], attributes) if isinstance(record, dict) else record
        if isinstance(row, Row):
            table.rows.append(row)
        else:
            table.problems.append(Problem("bad label", f"{name}:{number}", row))
    return table


def _row(record: Object, file: str, attributes: tuple[str, ...]) -> Row | str:
    """The row, or what is wrong with it."""
    path = record.get(file)
    if not isinstance(path, str) or not path.strip():
        return f"no {file}"
    values = []
    for attribute in attributes:
        value = record.get(attribute)
        if isinstance(value, list | dict):
            return f"{attribute} of {path} is a {type(value).__name__}; expected one value"
        values.append(_category(value))
    return Row(path.strip(), tuple(values))


def _category(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() or None


def _csv_rows(name: str, text: str) -> Iterator[tuple[int, Object | str]]:
    heading = text.partition("\n")[0]
    delimiter = max(",;\t|", key=heading.count)  # the first wins when there is one column only
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = next(reader, [])
        repeated = {column for column in columns if columns.count(column) > 1}
        if repeated:
            raise DatasetError(f"{name}: column {sorted(repeated)[0]!r} is there twice")
        for cells in reader:
            if len(cells) > len(columns):
                yield reader.line_num, f"{len(cells)} cells for {len(columns)} columns"
            elif cells:
                padded = cells + [""] * (len(columns) - len(cells))
                yield reader.line_num, dict(zip(columns, padded, strict=True))
    except csv.Error as error:
        raise DatasetError(f"{name}:{reader.line_num}: {error}") from error


def _json_lines(name: str, text: str) -> Iterator[tuple[int, Object | str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"not JSON: {error}"
                continue
            yield number, value if isinstance(value, dict) else "not a JSON object"


def _read_stylegan(name: str, text: str, chosen: tuple[str, ...]) -> Table | None:
    try:
        document = fields.as_object(json.loads(text), name)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{name}: not JSON: {error}") from error
    if "format" in document:
        raise DatasetError(f"{name}: this is a prepared data set already; train on it, or give the original pictures")
    if document.get("labels", ()) is None:
        return None
    if len(chosen) > 1:
        raise DatasetError(f"--attribute {chosen[1]}: {name} labels one attribute; give one name")
    names = document.get("classes")  # not StyleGAN's own, but without it classes are but numbers
    table = Table(chosen or ("category",))
    for index, pair in enumerate(fields.array(document, "labels", where=f"{name}: ")):
        row = _pair(pair, names if isinstance(names, list) else [])
        if isinstance(row, Row):
            table.rows.append(row)
        else:
            table.problems.append(Problem("bad label", f"{name}: labels[{index}]", row))
    return table


def _pair(pair: object, names: list[object]) -> Row | str:
    if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str) or type(pair[1]) is not int:
        return 'expected ["path", whole number]'
    path, number = pair
    return Row(path, (str(names[number]) if 0 <= number < len(names) else str(number),))
