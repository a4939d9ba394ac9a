"""Typed access to the fields of `dataset.json`; what is wrong with one is said by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias

Object: TypeAlias = dict[str, object]


class DatasetError(ValueError):
    """A data set, or what it should be made from, cannot be used; the message says what is wrong and what to do."""


def read_object(file: Path) -> Object:
    """The JSON object in `file`. Raises DatasetError when it is missing, unreadable or something else."""
    try:
        return as_object(json.loads(file.read_text("utf-8")), str(file))
    except FileNotFoundError as error:
        raise DatasetError(f"{file}: missing; prepare the data set again") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{file}: cannot be read as JSON: {error}") from error


def as_object(value: object, where: str) -> Object:
    """`value`, when it is a JSON object."""
    if isinstance(value, dict):
        return value
    raise DatasetError(f"{where}: expected an object, found {_kind(value)}")


def text(row: Object, key: str, *, where: str = "") -> str:
    """The string at `key`."""
    value = _field(row, key, where)
    if isinstance(value, str):
        return value
    raise DatasetError(f"{where}{key}: expected a string, found {_kind(value)}")


def integer(row: Object, key: str, *, where: str = "") -> int:
    """The whole number at `key`, 0 or more."""
    value = _field(row, key, where)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise DatasetError(f"{where}{key}: expected a whole number of 0 or more, found {_kind(value)}")


def array(row: Object, key: str, *, where: str = "") -> list[object]:
    """The list at `key`."""
    value = _field(row, key, where)
    if isinstance(value, list):
        return value
    raise DatasetError(f"{where}{key}: expected a list, found {_kind(value)}")


def mapping(row: Object, key: str, *, where: str = "") -> Object:
    """The object at `key`."""
    return as_object(_field(row, key, where), f"{where}{key}")


def _field(row: Object, key: str, where: str) -> object:
    if key not in row:
        raise DatasetError(f"{where}{key}: missing; the fields here are {', '.join(sorted(row)) or 'none'}")
    return row[key]


def _kind(value: object) -> str:
    return repr(value) if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"
