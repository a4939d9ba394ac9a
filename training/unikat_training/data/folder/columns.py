"""From a table to labels: which column names the pictures, which columns are attributes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from unikat.tables import plain
from unikat_training.data.folder.levels import is_split, recurs
from unikat_training.data.folder.listing import Labels
from unikat_training.data.folder.matching import EXACT, IDS, NO_ENDING, PARTS, Matcher
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.tables import FILE_COLUMNS, LABEL, Rows, Table, category
from unikat_training.data.folder.tags import joined_rows
from unikat_training.data.naming import same_name
from unikat_training.data.report import Problem
from unikat_training.errors import DatasetError

_MEANT: Final = re.compile(r"file|im(age|g)|pic|photo|path|name|id", re.IGNORECASE)  # in a heading: ids of pictures
_TRIED = 200  # rows, evenly spread, by which a column is judged


def with_file_column(table: Table, matcher: Matcher, options: FolderOptions) -> Table:
    """The table with one row a picture, and the column that names it known. Raises DatasetError for no such column."""
    folder = _folder(table)
    table = _headed(table, matcher, folder)
    return joined_rows(replace(table, file_column=_file_column(table, matcher, folder, options.file_column)))


def read_labels(table: Table, matcher: Matcher, asked: Sequence[str]) -> Labels:
    """Pairs a table's rows with pictures; `asked`: the columns that are attributes, empty: those that recur.

    Raises DatasetError when it names no picture that is here, or a column that was asked for is not there.
    """
    folder, file = _folder(table), table.file_column
    table = _one_hot_joined(table, file) if not asked else table
    splits = [column for column in table.columns if column != file and _is_split_column(table, column)]
    attributes, notes = _attributes(table, file, matcher, asked)
    labels = Labels(tuple(attributes), problems=list(table.problems), notes=[*table.notes, *notes])
    found = Counter[str]()
    for where, row in table.rows:
        try:
            values = tuple(_value(row, column) for column in attributes)
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


def _folder(table: Table) -> str:
    return f"{table.name.rpartition('/')[0]}/".removeprefix("/")


def _headed(table: Table, matcher: Matcher, folder: str) -> Table:
    """The table with names for its columns where its first line is no heading but names a picture, too."""
    if table.file_column or not any(
        matcher.find(column, folder).how not in ("", NO_ENDING) for column in table.columns if column
    ):
        return table
    others = len(table.columns) - 1
    names, left = dict[str, str](), 0
    for column in table.columns:
        if matcher.find(column, folder).how and "file" not in names.values():
            names[column] = "file"
        else:
            left += 1
            names[column] = LABEL if others == 1 else f"column_{left}"
    first = (f"{table.name}:1", {name: column for column, name in names.items()})
    rows: Rows = [(where, {names[column]: value for column, value in row.items()}) for where, row in table.rows]
    notes = [*table.notes, f"{table.name} has no heading; its columns are taken to be {', '.join(names.values())}"]
    return replace(table, columns=tuple(names.values()), rows=[first, *rows], notes=notes)


def _one_hot_joined(table: Table, file: str) -> Table:
    """The table with one column where a column for each category says 0 or 1, and one of them is 1."""
    hot = [c for c in table.columns if c != file and all(_bit(row.get(c)) is not None for _, row in table.rows)]
    if len(hot) < 2 or any(sum(_bit(row.get(c)) or 0 for c in hot) != 1 for _, row in table.rows):
        return table
    others = [column for column in table.columns if column not in hot]
    rows: Rows = [
        (where, {c: row.get(c) for c in others} | {LABEL: next(c for c in hot if _bit(row.get(c)))})
        for where, row in table.rows
    ]
    notes = [*table.notes, f"{table.name}: {len(hot)} columns of 0 and 1 are the categories of one attribute"]
    return replace(table, columns=(*others, LABEL), rows=rows, notes=notes)


def _bit(value: object) -> int | None:
    text = str(value).strip()
    return int(float(text)) if text in ("0", "1", "0.0", "1.0") else None


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
            f"{next(iter(matcher.pictures), 'nothing')}); say which by --file-column, then names in other "
            "folders count too; or do without by --labels folders or --labels none"
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


def _attributes(table: Table, file: str, matcher: Matcher, asked: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns that are attributes, and notes on those that are none."""
    if asked:
        return [_column(table, name, "--attribute") for name in asked], []
    chosen, constant, notes = list[str](), list[str](), dict[str, str]()
    for column in table.columns:
        values = [row.get(column) for _, row in table.rows]
        texts = [str(value) for value in values if value is not None and str(value).strip()]
        if column == file or not texts or _is_index(column, texts):
            continue
        why = "it tells splits apart" if _is_split_column(table, column) else _why_none(column, values, texts, matcher)
        if why:
            notes[column] = why
        elif not column:
            raise DatasetError(f"{table.name}: a column has no name; name it, or choose columns by --attribute")
        else:
            chosen.append(column)
            constant += [column] if len(set(texts)) == 1 and len(texts) == len(values) else []
    if len(constant) < len(chosen):
        chosen = [column for column in chosen if column not in constant]
        notes |= dict.fromkeys(constant, "it has one value")
    return chosen, [f"{table.name}: the column {column} is no attribute: {why}" for column, why in notes.items()]


def _why_none(column: str, values: list[object], texts: list[str], matcher: Matcher) -> str:
    """Why a column holds no categories; "" where it may."""
    if sum(isinstance(value, list | dict) and not _is_single(value) for value in values) > len(values) / 2:
        return "it holds lists or objects"
    if matcher.worth(texts[:: max(1, len(texts) // _TRIED)]) >= PARTS:
        return "it names the pictures, too"
    if not recurs(texts):
        return f"{len(set(texts))} different values in {len(texts)} rows; --attribute {column} takes it"
    return ""


def _is_single(value: object) -> bool:
    try:
        category(value)
    except ValueError:
        return False
    return True


def _is_index(column: str, texts: list[str]) -> bool:
    """True for the column that pandas writes before the others: 0, 1, 2, … under no name."""
    return (not column or column.startswith("Unnamed:")) and texts == [str(i) for i in range(len(texts))]
