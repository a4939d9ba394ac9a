"""Tags: a column in which a picture has any number of words becomes a column of yes and no for each of some words."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from unikat.tables import plain
from unikat_training.data.folder.levels import recurs
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.tables import Rows, Table
from unikat_training.data.naming import attribute_name, same_name
from unikat_training.data.report import RARE
from unikat_training.errors import DatasetError

_SEPARATORS: Final = (",", ";", "|")
_SEPARATED: Final = 0.05  # of the cells: in so many there is more than one tag
_FEW: Final = 0.02  # of the pictures; a tag that fewer have, or that fewer have not, is no attribute unless it is named
_SEVERAL: Final = 0.1  # of the pictures; where fewer have rows that differ, these contradict each other
_TWICE: Final = 5  # pictures, likewise
_SHOWN: Final = 5


@dataclass(frozen=True)
class _Tags:
    """The tags of a column, under the names that attributes of theirs have."""

    of: Sequence[frozenset[str]]  # by row
    unnamed: frozenset[str] = frozenset()  # cannot be named in a request
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.counts.update(tag for tags in self.of for tag in sorted(tags))

    def telling(self) -> list[str]:
        """Those that tell pictures apart, the most frequent first."""
        few = max(_FEW * len(self.of), min(RARE, len(self.of) / 5))
        return [tag for tag, count in self.counts.most_common() if few <= count <= len(self.of) - few]


def joined_rows(table: Table) -> Table:
    """The table with one row a picture, where many have several that differ, as of boxes: lists of what differs.

    Of what differs only tags are kept: numbers of boxes say nothing of a picture.
    """
    groups = defaultdict[str, list[tuple[str, Mapping[str, object]]]](list)
    for where, row in table.rows:
        groups[str(row.get(table.file_column))].append((where, row))
    differing = {
        key: [c for c in table.columns if len({str(row.get(c)) for _, row in group}) > 1]
        for key, group in groups.items()
    }
    if sum(map(bool, differing.values())) < max(_TWICE, _SEVERAL * len(groups)):
        return table  # mistakes
    rows: Rows = [
        (group[0][0], {**group[0][1]} | {c: _all(row.get(c) for _, row in group) for c in differing[key]})
        for key, group in groups.items()
    ]
    lists = dict.fromkeys(c for columns in differing.values() for c in columns)
    dropped = [c for c in lists if _tags(c, [row.get(c) for _, row in rows]) is None]
    notes = [
        *table.notes,
        f"{table.name}: {len(table.rows)} rows of {len(rows)} pictures are taken together"
        + (f", without {', '.join(dropped)}, which differ in them" if dropped else ""),
    ]
    return replace(table, columns=tuple(c for c in table.columns if c not in dropped), rows=rows, notes=notes)


def _all(cells: Iterable[object]) -> list[object]:
    return [each for cell in cells for each in (cell if isinstance(cell, list | tuple) else [cell])]


def with_tags(tables: Sequence[Table], options: FolderOptions) -> tuple[list[Table], tuple[str, ...]]:
    """The tables with columns of yes and no in the place of tags: the most frequent of all tables, and those asked for.

    Also the attributes that were asked for, with the most frequent tags in the place of a column of tags.
    """
    changed, asked = list(tables), options.attribute
    for column in dict.fromkeys(column for table in tables for column in table.columns):
        having = [i for i, table in enumerate(changed) if column in table.columns and column != table.file_column]
        cells = [row.get(column) for i in having for _, row in changed[i].rows]
        tags = _tags(column, cells) if options.tags else None
        if tags is None or not tags.telling():
            continue
        others = {_name(each) for i in having for each in changed[i].columns if each != column}
        frequent = [tag for tag in tags.telling() if tag not in others][: options.tags]
        named = [tag for tag in map(_name, asked) if tag in tags.counts and tag not in others]
        chosen = list(dict.fromkeys(frequent + named))
        if not asked and all(len(of.intersection(frequent)) == 1 for of in tags.of):  # they are categories
            chosen = [column]
            values = iter([{column: next(tag for tag in frequent if tag in of)} for of in tags.of])
        else:
            values = iter([{tag: "yes" if tag in of else "no" for tag in chosen} for of in tags.of])
        whole = any(same_name(name) == same_name(column) for name in asked)
        note = _note(changed[having[0]].name, column, tags, frequent) if whole or not asked else ""
        for i in having:
            rows: Rows = [(where, {**row} | new) for (where, row), new in zip(changed[i].rows, values, strict=False)]
            columns = (*(each for each in changed[i].columns if each != column), *chosen)
            notes = [*changed[i].notes, *([note] if note and i == having[0] else [])]
            changed[i] = replace(changed[i], columns=columns, rows=rows, notes=notes)
        asked = tuple(_name(name) if _name(name) in named else name for name in asked)
        if whole:
            asked = (*(name for name in asked if same_name(name) != same_name(column)), *frequent)
    return changed, asked


def _note(name: str, column: str, tags: _Tags, chosen: Sequence[str]) -> str:
    note = (
        f"{name}: {column} has {len(tags.counts)} tags, of which the {len(chosen)} most frequent ones are attributes "
        "of yes and no, or the categories of one; --tags takes more or fewer, --attribute TAG those that are named"
    )
    telling = tags.telling()
    common = [tag for tag, count in tags.counts.most_common(_SHOWN) if tag not in telling and count > len(tags.of) / 2]
    note += f"; nearly all pictures have {', '.join(common)}" if common else ""
    some = sorted(tags.unnamed)[:_SHOWN]
    return note + (f"; {len(tags.unnamed)} cannot be named in a request: {', '.join(some)}" if some else "")


def _tags(column: str, cells: list[object]) -> _Tags | None:
    """The tags in the cells of a column; None where they hold something else."""
    cells = [None if isinstance(cell, float) and math.isnan(cell) else cell for cell in cells]
    split = _split_lists(cells) if any(isinstance(cell, list | tuple) for cell in cells) else _split(column, cells)
    if split is None or max(map(len, split), default=0) < 2:
        return None
    counts = Counter(tag for tags in split for tag in {*tags})
    often = max(2, _FEW * len(split))
    if sum(count for count in counts.values() if count >= often) < counts.total() / 2:  # of a caption few words recur
        return None
    names = {tag: _name(tag) for tag in counts}
    of = [frozenset(name for tag in tags if (name := names[tag])) for tags in split]
    return _Tags(of, frozenset(tag for tag, name in names.items() if not name))


def _split_lists(cells: list[object]) -> list[list[str]] | None:
    """Lists of texts; None where there is another list, such as a box."""
    lists = [cell if isinstance(cell, list | tuple) else [] if cell is None else [cell] for cell in cells]
    if any(not isinstance(tag, str) for tags in lists for tag in tags):
        return None
    return [[tag for each in tags if (tag := _tag(str(each)))] for tags in lists]


def _split(column: str, cells: list[object]) -> list[list[str]] | None:
    """Texts at the separator that is in most of them; None where they are categories, or numbers, in whole."""
    if any(not isinstance(cell, str) for cell in cells if cell is not None):
        return None
    texts = [str(cell or "").strip() for cell in cells]
    said = [text for text in texts if text]
    separator = max(_SEPARATORS, key=lambda each: sum(each in text for text in said))
    if not any(separator in text for text in said):
        separator = " " if "tag" in column.lower() else ""
    if not separator or sum(separator in text for text in said) < _SEPARATED * len(said):
        return None
    split = [[tag for each in text.strip("[]").split(separator) if (tag := _tag(each))] for text in texts]
    if recurs(said) and len({tag for tags in split for tag in tags}) >= len({*said}):  # "Lyon, France" is one
        return None
    return split


def _tag(text: str) -> str:
    """A word without quotes; "" for a number."""
    tag = plain(text).strip("'\"")
    return "" if tag.strip("-+").replace(".", "").isdecimal() else tag


def _name(tag: str) -> str:
    """What an attribute of a tag is called; "" where it cannot be named, and for a face such as :d."""
    try:
        name = attribute_name(tag.replace("\\", ""))
    except DatasetError:
        return ""
    return name if len(name) > 1 else ""
