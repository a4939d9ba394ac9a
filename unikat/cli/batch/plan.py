"""What a batch draws, as it is typed: `--grid`, and the files of `--plan`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.where import parse_where

if TYPE_CHECKING:
    from unikat.batch import Plan
    from unikat.request import Where

ALL: Final = "*"
COUNT: Final = "count"
_JSON_ENDINGS: Final = (".jsonl", ".ndjson")


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
    """The lines of a CSV or JSONL file; `count` is for lines that have none. Raises Problem that names the line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".csv":
                lines = list(_read_csv(path, file, count))
            elif path.suffix.lower() in _JSON_ENDINGS:
                lines = list(_read_json(path, file, count))
            else:
                raise Problem(f"--plan {path}: the name must end in .csv or .jsonl", code=BAD_INPUT)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        why = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else getattr(error, "strerror", error)
        raise Problem(f"--plan {path}: {why}", code=BAD_INPUT) from error
    if not lines:
        raise Problem(f"--plan {path}: there is nothing in it", code=BAD_INPUT)
    return lines


def at(path: Path, number: int) -> str:
    return f"--plan {path}, line {number}"


def _wrong(path: Path, number: int, why: str, *hints: str) -> Problem:
    return Problem(f"{at(path, number)}: {why}", *hints, code=BAD_INPUT)


def _read_csv(path: Path, file: Iterable[str], count: int | None) -> Iterator[Line]:
    rows = csv.DictReader(file, strict=True)
    names = list(rows.fieldnames or ())
    if any(";" in name or "\t" in name for name in names):
        example = f"Write {COUNT},style,category and, below it, 100,noto,face."
        raise _wrong(path, 1, "columns are separated by commas, not by semicolons or tabs", example)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:  # DictReader would take the last one's fields and say nothing
        raise _wrong(path, 1, f'the column "{twice}" is there twice')
    for row in rows:
        number = rows.line_num
        if None in row or None in row.values():
            raise _wrong(path, number, "it has other columns than the first line")
        text = (row.pop(COUNT, "") or "").strip()
        wishes = [f"{name}={value}" for name, value in row.items() if value.strip()]
        try:
            where = parse_where(wishes)
        except Problem as problem:
            raise _wrong(path, number, problem.message.removeprefix("--where ")) from problem
        yield _line(path, number, where, int(text) if text.isdecimal() else text or None, count)


def _read_json(path: Path, file: Iterable[str], count: int | None) -> Iterator[Line]:
    for number, text in enumerate(file, 1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
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
