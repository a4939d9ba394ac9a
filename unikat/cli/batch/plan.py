"""What a batch draws, as it is typed: `--grid`, and the files of `--plan`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from unikat.bundle import read_bounded
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.where import parse_where
from unikat.json_text import parse_json
from unikat.tables import TableError, read_csv, read_text

if TYPE_CHECKING:
    from unikat.batch import Plan
    from unikat.request import Where

ALL: Final = "*"
COUNT: Final = "count"
_CSV_ENDINGS: Final = (".csv", ".tsv")
_JSON_ENDINGS: Final = (".jsonl", ".ndjson")
MAX_PLAN: Final = 64 * 2**20  # bytes: far more than a request may have
_WHOLE: Final = re.compile(r"([0-9]+)(?:\.0*)?")


def parse_grid(options: Iterable[str]) -> dict[str, str | list[str]]:
    """`style=*` and `category=face,heart`, each attribute once. Raises Problem, with how it should look."""
    grid: dict[str, str | list[str]] = {}
    for option in options:
        attribute, equals, value = (part.strip() for part in option.partition("="))
        if not (attribute and equals and value):
            raise _malformed(option, "it needs an attribute and categories")
        if attribute in grid:
            raise _malformed(option, f'"{attribute}" is named twice; write {attribute}=one,other')
        grid[attribute] = ALL if value == ALL else _parse_categories(option, value)
    return grid


def _parse_categories(option: str, value: str) -> list[str]:
    categories = [part.strip() for part in value.split(",")]
    if "" in categories:
        raise _malformed(option, "a category is empty")
    if ALL in categories:
        raise _malformed(option, f'"{ALL}" means all categories and stands alone')
    if any(":" in category for category in categories):
        raise _malformed(option, "a grid takes whole categories; a blend that all images share goes with --where")
    return categories


def _malformed(option: str, why: str) -> Problem:
    example = "Write --grid 'style=*' or --grid category=face,heart."
    return Problem(f"--grid {option}: {why}", example, code=BAD_INPUT)


@dataclass(frozen=True)
class Line:
    """A line of a plan, and its number in the file."""

    number: int
    plan: Plan


def read_plan(path: Path, count: int | None) -> list[Line]:
    """The lines of a CSV, TSV or JSONL file; `count` is for lines that have none. Raises Problem that names the line.

    The rules of tables are those of files of labels (`unikat.tables`).
    """
    ending = path.suffix.lower()
    if ending not in _CSV_ENDINGS + _JSON_ENDINGS:
        raise Problem(f"--plan {path}: the name must end in .csv, .tsv or .jsonl", code=BAD_INPUT)
    try:
        content = read_bounded(path, MAX_PLAN)
    except ValueError as error:
        raise Problem(f"--plan {path}: {error}", code=BAD_INPUT) from error
    return parse_plan(path, content, count)


def parse_plan(path: Path, content: bytes, count: int | None) -> list[Line]:
    """As `read_plan`, of the content of a file that is called `path`."""
    try:
        text, _ = read_text(content)
        lines = list((_read_json if path.suffix.lower() in _JSON_ENDINGS else _read_csv)(path, text, count))
    except TableError as error:
        where = ", " if str(error).startswith("line ") else ": "
        raise Problem(f"--plan {path}{where}{error}", code=BAD_INPUT) from error
    if not lines:
        raise Problem(f"--plan {path}: there is nothing in it", code=BAD_INPUT)
    return lines


def at(path: Path, number: int) -> str:
    return f"--plan {path}, line {number}"


def _wrong(path: Path, number: int, why: str, *hints: str) -> Problem:
    return Problem(f"{at(path, number)}: {why}", *hints, code=BAD_INPUT)


def _read_csv(path: Path, text: str, count: int | None) -> Iterator[Line]:
    table = read_csv(text)
    names = {column: column.lower() for column in table.columns}  # attributes are in small letters
    if len(set(names.values())) != len(names):
        raise _wrong(path, 1, "two columns have the same name in small letters")
    for row in table.rows:
        if row.cells != table.width:
            raise _wrong(path, row.line, "it has other columns than the first line")
        cells = {names[column]: cell.strip() for column, cell in row.values.items()}
        given = cells.pop(COUNT, "")
        # A column without a name is the index that pandas writes.
        wishes = [f"{name}={value}" for name, value in cells.items() if name and value]
        try:
            where = parse_where(wishes)
        except Problem as problem:
            raise _wrong(path, row.line, problem.message.removeprefix("--where ")) from problem
        yield _line(path, row.line, where, _count(given), count)


def _count(text: str) -> int | str | None:
    whole = _WHOLE.fullmatch(text)  # spreadsheets write 3.0
    return int(whole[1]) if whole else text or None


def _read_json(path: Path, content: str, count: int | None) -> Iterator[Line]:
    for number, text in enumerate(content.split("\n"), 1):
        if not text.strip():
            continue
        try:
            line = parse_json(text)
        except ValueError as error:
            raise _wrong(path, number, f"no JSON: {error}") from error
        if not isinstance(line, dict) or set(line) - {"where", COUNT} or not isinstance(line.get("where", {}), dict):
            example = 'Write {"where": {"style": "noto", "category": {"face": 0.7, "heart": 0.3}}, "count": 100}'
            raise _wrong(path, number, "it is no line of a plan", example)
        yield _line(path, number, line.get("where", {}), line.get(COUNT), count)


def _line(path: Path, number: int, where: Where, given: object, count: int | None) -> Line:
    from unikat.batch import Plan

    images = count if given is None else given
    if images is None:
        raise _wrong(path, number, "it has no count; --count would be for all that have none")
    return Line(number, Plan(where, cast(int, images)))  # what it is instead, `create_batch` says
