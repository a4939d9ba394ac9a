"""What a series is: a TOML file, checked key by key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from unikat.background import canonical
from unikat.bundle import parse_reference
from unikat.conditions import choose_from, is_finite
from unikat.palette import MOST, Palette
from unikat.request import Where
from unikat.sampling import MAX_SEED

T = TypeVar("T")

ALIGNMENTS: Final = ("left", "center", "right", "bottom-left", "bottom", "bottom-right")
SCALINGS: Final = ("pixels", "smooth")
MAX_COUNT: Final = 1000  # drawings of a subject: subject number s has the images from 1000 s on
MAX_SIDE: Final = 8192  # pixels of a banner
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")  # it is part of a file's name
_SIZE: Final = re.compile(r"([1-9][0-9]{0,4})x([1-9][0-9]{0,4})")


class SpecError(ValueError):
    """A key of the file is wrong: the message begins with it, and says what is allowed."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(f"{key}: {message}")


@dataclass(frozen=True)
class Size:
    """A banner. `fill` is the share of its width and height that the drawing may take."""

    width: int
    height: int
    align: str
    fill: float


@dataclass(frozen=True)
class Subject:
    """What is drawn: conditions beside the ones of all, and the index of its first drawing."""

    where: Where
    first_index: int


@dataclass(frozen=True)
class Series:
    """A series, fully resolved. `grounds` are "#rrggbbaa", and drawing number i of a subject has ground i, cyclically.

    `palette` are the colours as they are written; empty: the drawings keep theirs.
    """

    model: str
    seed: int
    subjects: Mapping[str, Subject]
    sizes: Mapping[str, Size]
    count: int = 1
    truncation: float | None = None
    conditions: Where = field(default_factory=dict)
    palette: tuple[str, ...] = ()
    grounds: tuple[str, ...] = ("#ffffffff",)
    scaling: str = "pixels"


def parse_series(text: bytes) -> Series:
    """A series from TOML. Raises SpecError that names the key and what is allowed."""
    try:
        content = tomllib.loads(text.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SpecError("file", f"is not TOML: {error}") from error
    _known(content, [*_READERS, *_SIZE_DEFAULTS], "")
    for key in ("model", "seed", "sizes"):
        if key not in content:
            raise SpecError(key, "is missing; " + _MISSING[key])
    values = {key: read(content[key], key) for key, read in _READERS.items() if key in content}
    defaults = {key: _SIZE_DEFAULTS[key](content[key], key) for key in _SIZE_DEFAULTS if key in content}
    values["sizes"] = _table("sizes", content["sizes"], lambda value, key: _size(value, key, defaults))
    values.setdefault("subjects", {"drawing": {}})
    for name, where in values["subjects"].items():
        for attribute in where.keys() & values.get("conditions", {}).keys():
            raise SpecError(f"subjects.{name}.{attribute}", "stands in [conditions] too; name it in one of them")
    values["subjects"] = {n: Subject(w, MAX_COUNT * i) for i, (n, w) in enumerate(values["subjects"].items())}
    return Series(**values)


_MISSING: Final = {
    "model": 'write model = "portraits@1"',
    "seed": "write seed = 7; the same one draws the same images",
    "sizes": 'write [sizes], and below it leaderboard = "728x90"',
}


def _known(table: Mapping[str, Any], names: Iterable[str], prefix: str) -> None:
    for key in table:
        if key not in names:
            raise SpecError(f"{prefix}{key}", f"unknown key; {choose_from(sorted(names), key)}")


def _table(key: str, value: object, read: Callable[[Any, str], T]) -> dict[str, T]:
    if not isinstance(value, dict) or not value:
        raise SpecError(key, f"must be a table with at least one name, not {value!r}")
    for name in value:
        if not _NAME.fullmatch(name):
            raise SpecError(f"{key}.{name}", "a name is part of a file's name: small letters, digits, - and _")
    return {name: read(each, f"{key}.{name}") for name, each in value.items()}


def _size(value: object, key: str, defaults: Mapping[str, Any]) -> Size:
    if isinstance(value, str):
        value = {"size": value}
    if not isinstance(value, dict) or "size" not in value:
        raise SpecError(key, f'must be "728x90", or {{ size = "728x90", align = "left" }}, not {value!r}')
    _known(value, ["size", *_SIZE_DEFAULTS], f"{key}.")
    found = _SIZE.fullmatch(str(value["size"]))
    if found is None or max(sides := (int(found[1]), int(found[2]))) > MAX_SIDE:
        raise SpecError(key, f'must be "WIDTHxHEIGHT" in pixels, at most {MAX_SIDE} each, not {value["size"]!r}')
    own = {name: read(value[name], f"{key}.{name}") for name, read in _SIZE_DEFAULTS.items() if name in value}
    kept: dict[str, Any] = {"align": "center", "fill": 0.9, **defaults, **own}
    return Size(*sides, **kept)


def _where(value: object, key: str) -> Where:
    """Conditions as `generate` takes them; what the model knows is checked where the model is at hand."""
    if not isinstance(value, dict):
        raise SpecError(key, f'must be a table: hair = "short", or hair = {{short = 0.7, long = 0.3}}, not {value!r}')
    for name, of in value.items():
        blend = isinstance(of, dict) and of and all(is_finite(weight) and weight >= 0 for weight in of.values())
        if not (isinstance(of, str) or blend):
            raise SpecError(f"{key}.{name}", f"must be a category, or weights by category, not {of!r}")
    return value


def _whole(least: int, most: int) -> Callable[[object, str], int]:
    def read(value: object, key: str) -> int:
        if type(value) is not int or not least <= value <= most:
            raise SpecError(key, f"must be a whole number from {least} to {most}, not {value!r}")
        return value

    return read


def _number(least: float, most: float) -> Callable[[object, str], float]:
    def read(value: object, key: str) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise SpecError(key, f"must be a number from {least} to {most}, not {value!r}")
        return float(value)

    return read


def _one_of(names: Sequence[str]) -> Callable[[object, str], str]:
    def read(value: object, key: str) -> str:
        if not (isinstance(value, str) and value in names):
            raise SpecError(key, f"must be one of {', '.join(names)}, not {value!r}")
        return value

    return read


def _reference(value: object, key: str) -> str:
    try:
        parse_reference(value if isinstance(value, str) else "")
    except ValueError as error:
        raise SpecError(key, str(error)) from error
    return str(value)


def _texts(value: object, key: str) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) for each in value):
        raise SpecError(key, f'must be a list of colours such as ["#1d2440", "tomato"], not {value!r}')
    return value


def _palette(value: object, key: str) -> tuple[str, ...]:
    colours = _texts(value, key)
    if len(colours) > MOST:
        raise SpecError(key, f"must be at most {MOST} colours, not {len(colours)}")
    for position, text in enumerate(colours):
        _of_colour(lambda text: Palette([text]), text, f"{key}[{position}]")
    return tuple(colours)


def _grounds(value: object, key: str) -> tuple[str, ...]:
    return tuple(_of_colour(canonical, text, f"{key}[{position}]") for position, text in enumerate(_texts(value, key)))


def _of_colour(make: Callable[[str], T], text: str, key: str) -> T:
    try:
        return make(text)
    except ValueError as error:
        raise SpecError(key, str(error)) from error


_READERS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "model": _reference,
    "seed": _whole(0, MAX_SEED),
    "count": _whole(1, MAX_COUNT),
    "truncation": _number(0, 2),
    "conditions": _where,
    "subjects": lambda value, key: _table(key, value, _where),
    "palette": _palette,
    "grounds": _grounds,
    "scaling": _one_of(SCALINGS),
    "sizes": lambda value, key: value,
}
_SIZE_DEFAULTS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "align": _one_of(ALIGNMENTS),
    "fill": _number(0.05, 1),
}
