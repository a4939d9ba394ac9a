"""Finds out how a folder or archive is labelled, and pairs pictures with labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from unikat_training.data.fields import DatasetError
from unikat_training.data.folder import options as ways
from unikat_training.data.folder.columns import Labels, read_labels
from unikat_training.data.folder.container import Container, Place, display, open_container
from unikat_training.data.folder.levels import (
    PathLabels,
    folder_labels,
    hint_of_names,
    in_split,
    is_split,
    level_labels,
    name_labels,
    split_folders,
)
from unikat_training.data.folder.matching import Matcher
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.tables import SIDECARS, SPREADSHEETS, STYLEGAN, Table, read_table, sidecar_table
from unikat_training.data.formats import (
    HEAD,
    OTHER_PICTURES,
    SUFFIXES,
    TABLE_SUFFIXES,
    is_readable,
    may_be_picture,
    other_picture,
    suffix,
    way_out,
)
from unikat_training.data.naming import clean, typable
from unikat_training.data.report import Problem


@dataclass
class Listing:
    """Pictures and their labels, before any is decoded. Without attributes it is a plain set."""

    path: Path
    attributes: tuple[str, ...] = ()
    items: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)  # a picture's name, its categories
    places: Mapping[str, Place] = field(default_factory=dict)  # where pictures are, by name
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # how labels were found
    litter: Counter[str] = field(default_factory=Counter)


@dataclass
class _Found:
    """What labels there are, whatever they come from: for each picture a value an attribute."""

    attributes: tuple[str, ...] = ()
    of: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)
    splits: Mapping[str, str] = field(default_factory=dict)


def list_pictures(path: Path, options: FolderOptions) -> Listing:
    """Lists what is at `path`: a folder, a zip, a tar, or a file of labels with its pictures beside it.

    Raises DatasetError when there is nothing to list or it is unclear how it is labelled.
    """
    if path.is_file() and suffix(path.name) in TABLE_SUFFIXES:
        if options.labels == ways.AUTO:
            options = replace(options, labels=str(path))
        path = path.parent
    container = open_container(path)
    listing = Listing(path, problems=container.problems, litter=container.litter)
    pictures = _pictures(container, listing)
    listing.places = {name: container.files[name] for name in pictures}
    found = _labels(container, pictures, options, listing)
    if not pictures:
        raise DatasetError(_nothing(path, listing))
    _pair(listing, pictures, found, options)
    named = typable(listing.attributes, [labels for _, labels in listing.items], options.fold)
    listing.attributes = named.attributes
    listing.items = [(file, labels) for (file, _), labels in zip(listing.items, named.rows, strict=True)]
    listing.warnings += named.warnings
    return listing


def _pictures(container: Container, listing: Listing) -> list[str]:
    """The files that can be decoded; what else there is becomes a problem, unless it may be of use."""
    pictures = []
    for name, place in container.files.items():
        ending = suffix(name)
        what = OTHER_PICTURES.get(ending, "")
        if may_be_picture(name):
            head = _head(place)
            ending, what = (".png" if is_readable(head) else ending), other_picture(head)
        if what:
            listing.problems.append(Problem("unreadable format", display(name), way_out(what)))
        elif ending not in SUFFIXES:
            listing.problems.append(Problem("not an image", display(name)))
        else:
            pictures.append(name)
    return pictures


def _head(place: Place) -> bytes:
    try:
        return place.read(HEAD)
    except (OSError, ValueError):
        return b""


def _nothing(path: Path, listing: Listing) -> str:
    kinds = Counter(suffix(p.item) or "no ending" for p in listing.problems)
    others = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(8))
    there = f"; there are {others}" if others else ""
    way = next((f" ({p.item}: {p.detail})" for p in listing.problems if p.kind == "unreadable format"), "")
    return f"PATH {path}: no pictures{there}{way}; looked for {' '.join(sorted(SUFFIXES))}"


def _labels(container: Container, pictures: list[str], options: FolderOptions, listing: Listing) -> _Found:
    way = options.labels
    if way == ways.AUTO and options.label_level:
        way = ways.FOLDERS
    if way == ways.NONE:
        if options.attribute or options.label_level or options.file_column:
            raise DatasetError("--labels none: takes no --attribute, --label-level and --file-column")
        return _Found()
    if way == ways.NAMES:
        return _by_path(name_labels(pictures, options), "the beginnings of the files' names", listing)
    if way != ways.FOLDERS:
        found = _by_tables(container, pictures, options, listing)
        if found is not None:
            return found
    if options.file_column:
        raise DatasetError(f"--file-column {options.file_column}: there is no file of labels")
    levels = level_labels if options.label_level else folder_labels
    by_path = _by_path(levels(pictures, options), "the folders", listing)
    if not by_path.attributes:
        if options.attribute:
            raise DatasetError(f"--attribute {options.attribute[-1]}: the pictures have no labels")
        hint = hint_of_names(pictures)
        listing.warnings += [hint] if hint else []
    return by_path


def _by_path(found: PathLabels, source: str, listing: Listing) -> _Found:
    listing.notes += found.notes
    listing.warnings += found.warnings
    if found.attributes:
        listing.notes.append(f"labels: {source}")
    return _Found(found.attributes, found.of)


def _by_tables(container: Container, pictures: list[str], options: FolderOptions, listing: Listing) -> _Found | None:
    """Labels from files; None when there are none that could be meant."""
    matcher = Matcher(pictures)
    if options.labels != ways.AUTO:
        name, content = _asked_table(container, options.labels)
        table = read_table(name, content)
        return _Found() if table is None else _merged([read_labels(table, matcher, options)], [table], listing)
    tables, labels, failures = list[Table](), list[Labels](), list[DatasetError]()
    for table in _tables(container, listing, failures):
        try:
            read = read_labels(table, matcher, options)
        except DatasetError as error:
            failures += [error] if suffix(table.name) != ".txt" else []  # any text
            continue
        if read.attributes:
            tables.append(table)
            labels.append(read)
        elif read.notes:
            why = "; ".join(read.notes)
            failures.append(DatasetError(f"{why}; choose a column by --attribute, or do without by --labels none"))
        else:
            listing.warnings.append(f"{table.name} has no labels, so it is not used")
    beside = None if tables else _by_sidecars(container, pictures, options, listing)
    if not tables and not beside and not failures:
        return None
    if not tables and not beside and (options.attribute or options.file_column or not _folders_tell(pictures, options)):
        raise failures[0]
    listing.warnings += [f"not used: {failure}" for failure in failures]
    return _merged(labels, tables, listing) if tables else beside


def _folders_tell(pictures: list[str], options: FolderOptions) -> bool:
    return bool(folder_labels(pictures, options).attributes)


def _asked_table(container: Container, labels: str) -> tuple[str, bytes]:
    endings = (*TABLE_SUFFIXES, ".txt")
    if suffix(labels) not in endings:
        raise DatasetError(
            f"--labels {labels}: must be folders, names, none, or a file that ends in {' '.join(endings)}"
        )
    path = Path(labels)
    try:
        if path.as_posix() in container.files:
            return path.as_posix(), container.files[path.as_posix()].read()
        inside = path.resolve().is_relative_to(container.path.resolve())
        name = path.resolve().relative_to(container.path.resolve()).as_posix() if inside else path.name
        return name, path.read_bytes()
    except (OSError, ValueError) as error:
        raise DatasetError(f"--labels {labels}: cannot be read: {error}") from error


def _tables(container: Container, listing: Listing, failures: list[DatasetError]) -> list[Table]:
    """The files that can be tables: StyleGAN's where there is one, else all that are no file beside a picture."""
    stems = {name.rpartition(".")[0] for name in listing.places}
    endings = (*TABLE_SUFFIXES, *SPREADSHEETS, ".txt")
    names = [name for name in container.files if suffix(name) in endings and name.rpartition(".")[0] not in stems]
    stylegan = [name for name in names if name.rpartition("/")[2] == STYLEGAN]
    tables = []
    for name in stylegan or [name for name in names if "submission" not in name.lower()]:  # Kaggle's has no labels
        try:
            table = read_table(name, container.files[name].read())
        except (OSError, ValueError) as error:
            failures.append(DatasetError(str(error) if isinstance(error, DatasetError) else f"{name}: {error}"))
            continue
        if table is not None:
            tables.append(table)
        elif name in stylegan:
            listing.notes.append(f"{name} says that the pictures have no labels")
            listing.problems = [p for p in listing.problems if p.item != name]
    return tables


def _by_sidecars(container: Container, pictures: list[str], options: FolderOptions, listing: Listing) -> _Found | None:
    beside = {}
    for name in container.files:
        if suffix(name) in SIDECARS:
            beside[name.rpartition(".")[0]] = name
    pairs = [(picture, beside[stem]) for picture in pictures if (stem := picture.rpartition(".")[0]) in beside]
    table = sidecar_table((picture, name, container.files[name].read()) for picture, name in pairs)
    if not table.rows:
        return None
    return _merged([read_labels(table, Matcher(pictures), options)], [table], listing)


def _merged(labels: list[Labels], tables: list[Table], listing: Listing) -> _Found:
    """The labels of tables that have the same columns, such as one a split. Raises DatasetError for other ones."""
    if len({read.attributes for read in labels}) > 1:
        raise DatasetError(
            "more than one file of labels, with other columns; choose one by --labels: "
            + ", ".join(
                f"{table.name} ({', '.join(read.attributes)})" for table, read in zip(tables, labels, strict=True)
            )
        )
    found = _Found(labels[0].attributes, {}, {})
    of, splits = dict[str, tuple[str | None, ...]](), dict[str, str]()
    for read in labels:
        for picture, values in read.of.items():
            if of.setdefault(picture, values) != values:
                detail = "labelled twice, differently; the first holds"
                listing.problems.append(Problem("bad label", display(picture), detail))
        splits |= read.splits
        listing.problems += read.problems
        listing.notes += read.notes
    listing.notes.append(f"labels: {', '.join(table.name for table in tables)}")
    used = {table.name for table in tables}
    listing.problems = [
        p for p in listing.problems if p.kind != "not an image" or not (p.item in used or suffix(p.item) in SIDECARS)
    ]
    return replace(found, of=of, splits=splits)


def _pair(listing: Listing, pictures: list[str], found: _Found, options: FolderOptions) -> None:
    """Sorts pictures into items and problems."""
    chosen = _in_split(pictures, found, options)
    listing.attributes = found.attributes
    unlabelled = tuple(None for _ in found.attributes)
    for picture in pictures:
        if picture not in chosen:
            listing.problems.append(Problem("excluded", display(picture), "of another split"))
            continue
        values = [clean(value) if value else "" for value in found.of.get(picture, unlabelled)]
        missing = [name for name, value in zip(found.attributes, values, strict=True) if not value]
        if missing:
            detail = f"no {', '.join(missing)}" if picture in found.of else ""
            listing.problems.append(Problem("unlabelled", display(picture), detail))
        else:
            listing.items.append((picture, tuple(values)))


def _in_split(pictures: list[str], found: _Found, options: FolderOptions) -> set[str]:
    if not options.split:
        return set(pictures)
    wanted = {split.casefold() for split in options.split}
    known = {split for split in [*split_folders(pictures), *found.splits.values()] if is_split(split)}
    missing = [split for split in options.split if split.casefold() not in {each.casefold() for each in known}]
    if missing:
        raise DatasetError(f"--split {missing[0]}: no such split; choose from {', '.join(sorted(known)) or 'none'}")
    return {p for p in pictures if in_split(p, options.split) or found.splits.get(p, "").casefold() in wanted}
