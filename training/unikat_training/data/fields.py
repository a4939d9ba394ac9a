"""Typed access to the fields of `dataset.json`; what is wrong with one is said by its name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypeAlias, TypeVar

from unikat_training.errors import DatasetError

Object: TypeAlias = dict[str, object]
Value = TypeVar("Value")

KINDS = {str: "a string", int: "a whole number of 0 or more", list: "a list", dict: "an object"}


def read_object(file: Path) -> Object:
    """The JSON object in `file`. Raises DatasetError when it is missing, unreadable or something else."""
    try:
        return checked(json.loads(file.read_text("utf-8")), dict, str(file))
    except FileNotFoundError as error:
        raise DatasetError(f"{file}: missing; prepare the data set again") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DatasetError(f"{file}: cannot be read as JSON: {error}") from error


def get(row: Object, key: str, kind: type[Value], where: str = "") -> Value:
    """The value at `key`, when it is of this one of `KINDS`."""
    if key not in row:
        raise DatasetError(f"{where}{key}: missing; the fields here are {', '.join(sorted(row)) or 'none'}")
    return checked(row[key], kind, f"{where}{key}")


def checked(value: object, kind: type[Value], where: str) -> Value:
    """`value`, when it is of this one of `KINDS`."""
    # By its very type: bool is an int in Python.
    if type(value) is kind and not (isinstance(value, int) and value < 0):
        return value
    found = repr(value) if isinstance(value, int | float | str | None) else f"a {type(value).__name__}"
    raise DatasetError(f"{where}: expected {KINDS[kind]}, found {found}")
