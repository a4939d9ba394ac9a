"""Files of labels as rows by column: CSV, TSV, JSONL, JSON, Parquet, StyleGAN's dataset.json."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import pyarrow as pa

from unikat.batches.layout import parse_conditions
from unikat.batches.parquet import open_parquet
from unikat.conditions import where_of_weights
from unikat.tables import TableError, plain, read_csv, read_text
from unikat_training.data.fields import Object
from unikat_training.data.folder.embedded import class_names, picture_names, plain_columns
from unikat_training.data.formats import SUFFIXES, suffix
from unikat_training.data.report import Problem
from unikat_training.errors import DatasetError

STYLEGAN: Final = "dataset.json"
LABEL: Final = "category"  # the attribute where a file of labels has no name for it
CONDITIONS: Final = "conditions"  # what `unikat batch` calls the labels of its pictures
_PICTURE: Final = rf".*(?:{'|'.join(map(re.escape, sorted(SUFFIXES)))})"
_LIST: Final = re.compile(rf"({_PICTURE})[\s,;:|]+(\S.*)", re.IGNORECASE)
_LABEL_FIRST: Final = re.compile(rf"(\S+)[\s,;:|]+(\S{_PICTURE})", re.IGNORECASE)
PICTURE: Final = "\0picture"  # the column that names pictures in the same file; no other is called so
FILE_COLUMNS: Final = ("file", "path", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img")
SPREADSHEETS: Final = (".xlsx", ".xls", ".ods", ".numbers")
UNREAD_LISTS: Final = (".yaml", ".yml", ".xml", ".toml", ".lst")  # labels, where they name pictures
UNREAD_LABELS: Final = re.compile(  # by their names
    r"(.*[^a-z])?(labels?|annot\w*|attr\w*|categor\w*|class(es)?|meta(data)?|captions?|tags?)([^a-z].*)?"
    r"\.(npy|npz|mat|h5|hdf5|pkl|pickle|feather|arrow|(csv|tsv|txt|jsonl?)\.gz)",
    re.IGNORECASE,
)


Rows: TypeAlias = list[tuple[str, Mapping[str, object]]]  # where a row is, and what it says


@dataclass
class Table:
    """What a file of labels says. `name` is its path; rows are by line, values by column."""

    name: str
    columns: tuple[str, ...] = ()
    rows: Rows = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    file_column: str = ""  # where it is known beforehand

    def __post_init__(self) -> None:
        """Columns that nobody has named are those of the rows."""
        self.columns = self.columns or tuple(dict.fromkeys(key for _, row in self.rows for key in row))


def read_table(name: str, content: bytes) -> Table | None:
    """Reads the file of labels `name`; None where it is another kind of file, or says that there are no labels.

    Raises DatasetError when it cannot be used.
    """
    ending = suffix(name)
    if ending == ".parquet":
        return _read_parquet(name, content)
    if ending in SPREADSHEETS:
        raise DatasetError(f"{name}: not read here; save it as CSV")
    try:
        text, encoding = read_text(content)
        if ending in (".csv", ".tsv"):
            table = _read_csv(name, text)
        elif ending in (".jsonl", ".ndjson"):
            table = _read_json_lines(name, text)
        elif ending == ".txt":
            table = _read_list(name, text)
            if not table.rows:
                return None  # any other text
        else:
            found = _read_json(name, text)
            if found is None:
                return None
            table = found
    except TableError as error:
        line, colon, rest = str(error).partition(": ")
        where = f":{line.removeprefix('line ')}: {rest}" if colon and line.startswith("line ") else f": {error}"
        raise DatasetError(f"{name}{where}") from error
    if encoding == "cp1252":
        table.notes.append(f"{name} is not UTF-8: it is read as Windows' cp1252; look whether names are right")
    return table


def category(value: object) -> str | None:
    """The name of a category, None where there is none. Raises ValueError, with why, for what is no single value.

    Whole floats are whole numbers, as NumPy and pandas write them; of a one-hot vector the position counts.
    """
    if value is None or value == [] or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, list | tuple):
        if len(value) == 1:
            return category(value[0])
        if sorted(value, key=str) == [*(0 for _ in value[1:]), 1]:
            return str(list(value).index(1))
        raise ValueError("is a list; expected one value")
    if isinstance(value, dict):
        raise ValueError("is a blend or another object; expected one value")
    return plain(str(value)) or None


def _read_csv(name: str, text: str) -> Table:
    found = read_csv(text)
    table = Table(name, found.columns)
    for row in found.rows:
        where = f"{name}:{row.line}"
        if row.cells > found.width:
            table.problems.append(Problem("bad label", where, f"{row.cells} cells for {found.width} columns"))
        else:
            table.rows.append((where, row.values))
    for column in found.columns:
        _drop_fractions([values for _, values in table.rows], column)
    return table


def _read_list(name: str, text: str) -> Table:
    """Lines of a picture and its label: "cat/1.png 0". Words above them name columns if as many follow each picture."""
    heading, lines = list[str](), list[tuple[str, str, str]]()
    for number, line in enumerate(text.split("\n"), 1):
        if found := _LIST.fullmatch(line.strip()):
            lines.append((f"{name}:{number}", found[1], found[2]))
        elif line.strip() and not lines:
            heading = line.split()
    widths = {len(said.split()) for _, _, said in lines}
    columns = heading[-max(widths, default=0) :]
    if len(widths) == 1 and 1 < len(columns) == max(widths) and len(heading) <= len(columns) + 1:
        rows: Rows = [
            (where, {"file": file} | dict(zip(columns, said.split(), strict=True))) for where, file, said in lines
        ]
        return Table(name, ("file", *columns), rows, file_column="file")
    if not lines:
        texts = [(f"{name}:{number}", line.strip()) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        turned = [(where, found[2], found[1]) for where, line in texts if (found := _LABEL_FIRST.fullmatch(line))]
        lines = turned if len(turned) == len(texts) >= 2 * len({label for _, _, label in turned}) else []
    rows = [(where, {"file": file, LABEL: _said(said)}) for where, file, said in lines]
    return Table(name, ("file", LABEL), rows, file_column="file")


def _said(text: str) -> str | list[float]:
    """What a list says of a picture: a label, after which numbers may stand in further columns; or numbers of a box."""
    first, *others = text.split("\t")
    if others and not _numbers(first) and _numbers(" ".join(others)):
        return first
    found = _numbers(text)
    return found if len(found) > 1 else text


def _numbers(text: str) -> list[float]:
    """The numbers of a text of nothing else, else none."""
    try:
        return [float(word) for word in text.split()]
    except ValueError:
        return []


def _drop_fractions(rows: list[Mapping[str, object]], column: str) -> None:
    """ "1.0" to "1" in a column of nothing else: pandas writes whole numbers so where one is missing."""
    cells = [str(row[column]).strip() for row in rows]
    if any(cells) and all(cell.removesuffix(".0").isdecimal() and cell.endswith(".0") for cell in cells if cell):
        for row, cell in zip(rows, cells, strict=True):
            if isinstance(row, dict):
                row[column] = cell.removesuffix(".0")


def _read_json_lines(name: str, text: str) -> Table:
    rows, problems = Rows(), list[Problem]()
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            where = f"{name}:{number}"
            try:
                rows.append((where, _record(json.loads(line))))
            except TypeError as error:
                problems.append(Problem("bad label", where, str(error)))
            except (ValueError, RecursionError) as error:
                problems.append(Problem("bad label", where, f"not JSON: {error}"))
    return Table(name, rows=rows, problems=problems)


def _record(value: object) -> Object:
    if not isinstance(value, dict):
        raise TypeError("not a JSON object")
    return {plain(str(key)): item for key, item in value.items()}


def _read_json(name: str, text: str) -> Table | None:
    """A list of objects, {"picture": label, …}, or what StyleGAN's tools write."""
    stylegan = name.rpartition("/")[2] == STYLEGAN
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        if not stylegan:
            lines = _read_json_lines(name, text)  # what many programs call .json
            return lines if len(lines.rows) > len(lines.problems) else None
        raise DatasetError(f"{name}: not JSON: {error}") from error
    if isinstance(document, dict) and stylegan:
        if "format" in document:
            raise DatasetError(
                f"{name}: this is a prepared data set already; train on it, or give the original pictures"
            )
        return _read_stylegan(name, document)
    if isinstance(document, dict) and {"images", "annotations"} <= document.keys():
        return _read_coco(name, document)
    if isinstance(document, dict):
        document = _records(document)
    if isinstance(document, dict) and document:
        return _by_key(name, document)
    if isinstance(document, list) and document and all(isinstance(row, dict) for row in document):
        return Table(name, rows=[(f"{name}[{index}]", _record(row)) for index, row in enumerate(document)])
    if stylegan:
        raise DatasetError(f"{name}: expected an object, found a {type(document).__name__}")
    if isinstance(document, list) and document and all(isinstance(pair, list) and len(pair) == 2 for pair in document):
        return Table(
            name, rows=[(f"{name}[{i}]", {"file": pair[0], LABEL: pair[1]}) for i, pair in enumerate(document)]
        )
    return None


def _read_coco(name: str, document: Object) -> Table:
    """What is in each picture: the names of its objects' categories."""
    try:
        names = {each["id"]: each["name"] for each in _objects(document.get("categories", []))}
        of = {each["id"]: (each["file_name"], dict[object, None]()) for each in _objects(document["images"])}
        for each in _objects(document["annotations"]):
            if each["image_id"] in of:  # of another part of the data set
                of[each["image_id"]][1][names[each["category_id"]]] = None
    except (KeyError, TypeError) as error:
        why = "its annotations have no categories of a list that names them, such as captions"
        raise DatasetError(f"{name}: looks like COCO, but {why} ({error})") from error
    if not any(said for _, said in of.values()):
        raise DatasetError(f"{name}: looks like COCO, but no annotation of its images has a category")
    rows: list[Object] = [{"file": file, LABEL: [*said]} for file, said in of.values()]
    return Table(name, rows=_numbered(name, rows), file_column="file")


def _objects(values: object) -> list[Object]:
    if not isinstance(values, list) or not all(isinstance(each, dict) for each in values):
        raise TypeError("expected a list of objects")
    return values


def _records(document: Object) -> Object | list[Object]:
    """The rows of an object that holds one list of them, or a table by columns as pandas writes it; else itself."""
    columns, data, values = document.get("columns"), document.get("data"), list(document.values())
    if isinstance(columns, list) and isinstance(data, list) and all(isinstance(row, list) for row in data):
        return [dict(zip(map(str, columns), row, strict=False)) for row in data]
    lists = [value for value in values if isinstance(value, list) and value and isinstance(value[0], dict)]
    if len(lists) == 1 and all(isinstance(row, dict) for row in lists[0]):
        return lists[0]
    if all(isinstance(value, dict) and [*value] == [str(i) for i in range(len(value))] for value in values):
        by_column = [[*value.values()] for value in values if isinstance(value, dict)]
    elif any(key.lower() in FILE_COLUMNS for key in document) and all(isinstance(value, list) for value in values):
        by_column = [value for value in values if isinstance(value, list)]
    else:
        return document
    if len({len(column) for column in by_column}) != 1:
        return document
    return [dict(zip(document, row, strict=True)) for row in zip(*by_column, strict=True)]


def _read_stylegan(name: str, document: Object) -> Table | None:
    labels = document.get("labels")
    if labels is None:
        return None
    if isinstance(labels, dict):
        labels = [list(pair) for pair in labels.items()]
    if not isinstance(labels, list):
        raise DatasetError(f"{name}: labels: expected a list of pairs, found a {type(labels).__name__}")
    names = document.get("classes")  # not StyleGAN's own, but without it classes are but numbers
    classes = [str(each) for each in names] if isinstance(names, list) else []
    table = Table(name, ("file", LABEL), file_column="file")
    for index, pair in enumerate(labels):
        where = f"{name}: labels[{index}]"
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            table.problems.append(Problem("bad label", where, 'expected ["path", label]'))
            continue
        label = pair[1]
        if isinstance(label, int | float) and 0 <= label < len(classes) and label == int(label):
            label = classes[int(label)]
        table.rows.append((where, {"file": pair[0], LABEL: label}))
    return table


def _by_key(name: str, document: Object) -> Table | None:
    """{"picture": label, …}, {"picture": {"attribute": label, …}, …} or {"label": ["picture", …], …}."""
    values, rows = list(document.values()), Rows()
    if all(isinstance(value, dict) for value in values):
        rows = [
            (f"{name}: {key}", {"file": key, **value}) for key, value in document.items() if isinstance(value, dict)
        ]
    elif all(isinstance(value, list) for value in values):
        pairs: list[tuple[object, object]] = [*document.items()]
        if not all(suffix(key) in SUFFIXES for key in document):
            pairs = [(file, key) for key, value in document.items() if isinstance(value, list) for file in value]
        rows = [(f"{name}: {file}", {"file": file, LABEL: label}) for file, label in pairs if isinstance(file, str)]
    elif not any(isinstance(value, list | dict) for value in values):
        rows = [(f"{name}: {key}", {"file": key, LABEL: value}) for key, value in document.items()]
    return Table(name, rows=rows, file_column="file") if rows else None


def _read_parquet(name: str, content: bytes) -> Table:
    try:
        parquet = open_parquet(pa.BufferReader(content))
        # Not the pictures, where it holds some.
        read = parquet.read(columns=plain_columns(parquet.schema_arrow), use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{name}: not a Parquet file: {error}") from error
    if CONDITIONS in read.column_names and "file" in read.column_names:  # the manifest of a batch
        pairs = zip(read["file"].to_pylist(), read[CONDITIONS].to_pylist(), strict=True)
        try:
            rows: list[Object] = [{"file": file, **drawn(texts)} for file, texts in pairs]
        except ValueError as error:
            raise DatasetError(f"{name}: not the manifest of a batch: {error}") from error
        return Table(name, rows=_numbered(name, rows), file_column="file")
    rows = read.to_pylist()
    for column, classes in class_names(read.schema).items():
        for row in rows:
            row[column] = _class(row.get(column), classes)
    if len(read.column_names) == len(parquet.schema_arrow.names):
        return Table(name, tuple(read.column_names), _numbered(name, rows))
    for row, picture in zip(rows, picture_names(name, len(rows)), strict=True):  # it holds the pictures themselves
        row[PICTURE] = picture
    return Table(name, (PICTURE, *read.column_names), _numbered(name, rows), file_column=PICTURE)


def _numbered(name: str, rows: Iterable[Object]) -> Rows:
    return [(f"{name}: row {i}", row) for i, row in enumerate(rows)]


def _class(value: object, names: list[str]) -> str | None:
    # -1 is how unlabelled pictures of a test split are marked
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def drawn(conditions: Mapping[str, str]) -> Object:
    """Conditions as a batch records them: a category, or the weights of a blend, which is no category."""
    return {**where_of_weights(parse_conditions(conditions))}
