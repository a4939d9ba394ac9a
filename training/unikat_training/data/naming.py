"""Names that can be typed into a request: folders and columns are called what people like, models are stricter."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from unikat.bundle import ATTRIBUTE_NAME, UNTYPABLE
from unikat_training.errors import DatasetError

_SHOWN = 8
_NUMBER = re.compile(r"-\d[\d.,]*")
_JOINERS = "\u200c\u200d"  # in Persian and Indian words, and in emoji


@dataclass(frozen=True)
class Names:
    """Attributes and, for each picture, one category an attribute, under names that a model bundle takes."""

    attributes: tuple[str, ...]
    rows: list[tuple[str, ...]]
    warnings: list[str]


def typable(attributes: Sequence[str], rows: Sequence[tuple[str, ...]], fold: bool = False) -> Names:
    """`attributes` and `rows` renamed where a request could not name them, with a warning for what changed.

    Categories that differ in capitals, blanks, - and _ only are warned of; with `fold` they become one.
    Raises DatasetError where nothing is left of a name, or two names become one.
    """
    columns = {attribute: attribute_name(attribute) for attribute in attributes}
    _check_distinct("attributes", columns)
    warnings, values = list[str](), list[Mapping[str, str]]()
    _warn(warnings, {old: new for old, new in columns.items() if _is_news(old, new)})
    for column, attribute in enumerate(columns.values()):
        counts = Counter(row[column] for row in rows)
        folded = _folded(counts) if fold else {name: name for name in counts}
        if not fold:
            warnings += [
                f"{attribute}: {twins} are different categories; --fold makes them one" for twins in _twins(counts)
            ]
        typed = {name: _category(name) for name in set(folded.values())}
        _check_distinct(f"categories of {attribute}", typed)
        values.append({old: typed[new] for old, new in folded.items()})
        _warn(warnings, {old: new for old, new in values[-1].items() if old != new})
    return Names(
        tuple(columns.values()),
        [tuple(of[label] for of, label in zip(values, row, strict=True)) for row in rows],
        warnings,
    )


def clean(name: str) -> str:
    """A name without what cannot be seen: NFC, one blank for several, no control and no zero-width characters."""
    seen = (c if c in _JOINERS or unicodedata.category(c) not in ("Cf", "Cc") else " " * c.isspace() for c in name)
    return unicodedata.normalize("NFC", " ".join("".join(seen).split()))


def same_name(name: str) -> str:
    """Equal for names that differ in capitals, blanks, - and _ only; -1 is not 1."""
    if _NUMBER.fullmatch(name.strip()):
        return name.strip()
    return re.sub(r"[\s_-]+", " ", unicodedata.normalize("NFKC", clean(name)).casefold()).strip()


def _twins(counts: Mapping[str, int]) -> list[str]:
    """Groups of categories that are written alike, for a warning."""
    alike = [group for group in _groups(counts).values() if len(group) > 1]
    return [" and ".join(f"{name} ({counts[name]})" for name in sorted(group)) for group in alike]


def _folded(counts: Mapping[str, int]) -> dict[str, str]:
    """Each name to the most frequent one of those that are written alike."""
    return {
        name: max(group, key=lambda each: (counts[each], each)) for group in _groups(counts).values() for name in group
    }


def _groups(names: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for name in names:
        groups[same_name(name)].append(name)
    return groups


def _is_news(old: str, new: str) -> bool:
    return old != new and old.strip().lower() != new


def _warn(warnings: list[str], renamed: Mapping[str, str]) -> None:
    lines = [f"{old!r} is called {new!r}" for old, new in sorted(renamed.items())]
    more = len(lines) - _SHOWN
    if lines:
        warnings.append("; ".join(lines[:_SHOWN]) + (f"; and {more} more" if more > 0 else ""))


def attribute_name(name: str) -> str:
    """ "Skin tone" to "skin_tone", "5 o'clock shadow" to "x5_o_clock_shadow", as R names columns, "Café" to "cafe".

    Raises DatasetError where nothing is left of a name.
    """
    letters = "".join(c for c in unicodedata.normalize("NFKD", name.lower()) if not unicodedata.combining(c))
    typed = re.sub(r"^(?=\d)", "x", re.sub(r"[^a-z0-9_-]+", "_", letters).strip("_"))
    if not ATTRIBUTE_NAME.fullmatch(typed):
        raise DatasetError(
            f"attribute {name!r}: cannot be named in a request; begin with a letter from a to z, and use a-z 0-9 _ - "
            "(at most 63)"
        )
    return typed


def _category(name: str) -> str:
    """ "squares, big" to "squares-big"."""
    if not UNTYPABLE.search(name):
        return name
    typed = re.sub(r"\s*[=,:]+\s*", "-", name).strip()
    if not typed.strip("-"):
        raise DatasetError(f"category {name!r}: cannot be named in a request; it has no letters but '=', ',' and ':'")
    return typed


def _check_distinct(what: str, names: Mapping[str, str]) -> None:
    taken: dict[str, str] = {}
    for old, new in names.items():
        if taken.setdefault(new, old) != old:
            raise DatasetError(f"{what}: {taken[new]!r} and {old!r} would both be called {new!r}; rename one")
