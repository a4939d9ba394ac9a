"""From a table to labels: which column names the pictures, which columns are attributes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from unikat.tables import plain
from unikat_training.data.fields import DatasetError
from unikat_training.data.folder.levels import is_split, recurs
from unikat_training.data.folder.matching import EXACT, IDS, Matcher
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.tables import Table, category
from unikat_training.data.naming import same_name
from unikat_training.data.report import Problem

FILE_COLUMNS: Final = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img")
_MEANT: Final = re.compile(r"file|im(age|g)|pic|photo|path|name|id", re.IGNORECASE)  # in a heading: ids of pictures
_TRIED = 200  # rows, evenly spread, by which a column is judged


@dataclass
class Labels:
    """What a table says of pictures: for each a value for each attribute, None where there is none."""

    attributes: tuple[str, ...]
    of: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)  # picture -> train, …, where a column says so
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_labels(table: Table, matcher: Matcher, options: FolderOptions) -> Labels:
    """Pairs a table's rows with pictures.

    Raises DatasetError when no column names pictures, or a column that was asked for is not there.
    """
    folder = table.name.rpartition("/")[0]
    folder = f"{folder}/" if folder and not table.file_column else ""
    file = _file_column(table, matcher, folder, options.file_column)
    splits = [column for column in table.columns if column != file and _is_split_column(table, column)]
    attributes = _attributes(table, file, splits, matcher, options.attribute)
    labels = Labels(tuple(attributes.chosen), problems=list(table.problems), notes=[*table.notes, *attributes.notes])
    found = Counter[str]()
    for where, row in table.rows:
        try:
            values = tuple(_value(row, column) for column in attributes.chosen)
        except ValueError as error:
            labels.problems.append(Problem("bad label", where, f"{row.get(file)}: {error}"))
            continue
        text = str(row.get(file) or "").strip()
        if not text:
            labels.problems.append(Problem("bad label", where, f"no {file}"))
            continue
        match = matcher.find(text, folder)
        if not match.picture:
            labels.problems.append(Problem("label without image", text, match.problem))
        elif labels.of.setdefault(match.picture, values) != values:
            labels.problems.append(Problem("bad label", match.picture, "labelled twice, differently; the first holds"))
        else:
            found[match.how] += 1
            if splits:
                labels.splits[match.picture] = str(row.get(splits[0]))
    if table.rows and not labels.of:
        raise DatasetError(f"{table.name}: it names no picture that is here, such as {table.rows[0][1].get(file)!r}")
    guessed = [f"{count} {how}" for how, count in found.items() if how != EXACT]
    if guessed:
        labels.notes.append(f"{table.name}: pictures found by the column {file}: {', '.join(guessed)}")
    return labels


def _value(row: Mapping[str, object], column: str) -> str | None:
    try:
        return category(row.get(column))
    except ValueError as error:
        raise ValueError(f"{column} {error}") from error


def _file_column(table: Table, matcher: Matcher, folder: str, asked: str) -> str:
    if asked:
        return _column(table, asked, "--file-column")
    if table.file_column:
        return table.file_column
    rows = table.rows[:: max(1, len(table.rows) // _TRIED)]
    worth = {column: matcher.worth([str(row.get(column) or "") for _, row in rows], folder) for column in table.columns}
    if len(table.rows) < len(matcher) / 2:  # numbers that happen to be pictures' names, too
        worth = {column: value for column, value in worth.items() if value > IDS or _MEANT.search(column)}
    best = max(worth.values(), default=0.0)
    if not best:
        columns = ", ".join(table.columns) or "none"
        raise DatasetError(
            f"{table.name}: no column names the pictures (columns: {columns}; a picture is called "
            f"{next(iter(matcher.pictures), 'nothing')}); say which by --file-column, or do without by --labels "
            "folders or --labels none"
        )
    good = [column for column, value in worth.items() if value == best]
    return min(good, key=lambda column: column.lower() not in FILE_COLUMNS)


def _column(table: Table, asked: str, flag: str) -> str:
    """The column that is called so, in any case; or as the attribute that is made of it."""
    for known in (lambda name: name == asked, lambda name: same_name(name) == same_name(asked)):
        found = [column for column in table.columns if known(plain(column))]
        if found:
            return found[0]
    columns = ", ".join(column for column in table.columns if column)
    raise DatasetError(f"{flag} {asked}: {table.name} has no such column; choose from {columns or 'none'}")


def _is_split_column(table: Table, column: str) -> bool:
    values = {str(row.get(column) or "").strip() for _, row in table.rows}
    return bool(values) and all(is_split(value) for value in values)


@dataclass
class _Attributes:
    chosen: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _attributes(table: Table, file: str, splits: Sequence[str], matcher: Matcher, asked: Sequence[str]) -> _Attributes:
    if asked:
        return _Attributes([_column(table, name, "--attribute") for name in asked])
    attributes = _Attributes()
    for column in table.columns:
        values = [row.get(column) for _, row in table.rows]
        texts = [str(value) for value in values if value is not None and str(value).strip()]
        if column == file or not texts or _is_index(column, texts):
            continue
        if column in splits:
            attributes.notes.append(f"{table.name}: the column {column} tells splits apart and is no attribute")
        elif not column:
            raise DatasetError(f"{table.name}: a column has no name; name it, or choose columns by --attribute")
        elif sum(isinstance(value, list | dict) and not _is_single(value) for value in values) > len(values) / 2:
            attributes.notes.append(f"{table.name}: the column {column} is no attribute: it holds lists or objects")
        elif matcher.worth(texts[:: max(1, len(texts) // _TRIED)]) >= 0.98:
            attributes.notes.append(f"{table.name}: the column {column} names the pictures, too, and is no attribute")
        elif not recurs(texts):
            attributes.notes.append(
                f"{table.name}: the column {column} is no attribute: {len(set(texts))} different values in "
                f"{len(texts)} rows; --attribute {column} takes it"
            )
        else:
            attributes.chosen.append(column)
    return attributes


def _is_single(value: object) -> bool:
    try:
        category(value)
    except ValueError:
        return False
    return True


def _is_index(column: str, texts: list[str]) -> bool:
    """True for the column that pandas writes before the others: 0, 1, 2, … under no name."""
    return (not column or column.startswith("Unnamed:")) and texts == [str(i) for i in range(len(texts))]
