"""Finds out how a folder or archive is labelled, and pairs pictures with labels."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

from unikat_training.data.folder import options as ways
from unikat_training.data.folder.archives import Place
from unikat_training.data.folder.container import Container, display, open_container
from unikat_training.data.folder.levels import in_split, split_folders
from unikat_training.data.folder.listing import Labels, Listing
from unikat_training.data.folder.matching import stem
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.sources import LabelSearch
from unikat_training.data.formats import (
    FILMS_AND_PAGES,
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
from unikat_training.errors import DatasetError


def list_pictures(path: Path, options: FolderOptions) -> Listing:
    """Lists what is at `path`: a folder, a zip, a tar, or a file of labels with its pictures beside it.

    Raises DatasetError when there is nothing to list or it is unclear how it is labelled.
    """
    if path.is_file() and suffix(path.name) in TABLE_SUFFIXES:
        if options.labels == ways.AUTO:
            options = replace(options, labels=str(path))
        path = path.parent
    container = open_container(path)
    listing = Listing(container, problems=container.problems)
    pictures = _pictures(container, listing)
    if not pictures:
        raise DatasetError(_nothing(path, listing))
    found = LabelSearch(listing, pictures, options).found()
    _pair(listing, pictures, found, options)
    named = typable(listing.attributes, [labels for _, labels in listing.items], options.fold)
    listing.attributes = named.attributes
    listing.items = [(file, labels) for (file, _), labels in zip(listing.items, named.rows, strict=True)]
    listing.warnings += named.warnings
    return listing


def _pictures(container: Container, listing: Listing) -> list[str]:
    """The files that can be decoded; what else there is becomes a problem, unless it may be of use."""
    pictures, others = list[str](), dict[str, str]()
    for name, place in container.files.items():
        ending = suffix(name)
        what = OTHER_PICTURES.get(ending, "")
        if may_be_picture(name):
            head = _head(place)
            ending, what = (".png" if is_readable(head) else ending), other_picture(head)
        if what:
            others[name] = what
        elif ending not in SUFFIXES:
            listing.problems.append(Problem("not an image", display(name)))
        else:
            pictures.append(name)
    stems = {stem(name).casefold() for name in pictures}
    for name, what in others.items():
        if what in FILMS_AND_PAGES:
            listing.problems.append(Problem("not an image", display(name), what))
        else:  # a camera's raw file may have a JPEG beside it
            kind = "other format" if stem(name).casefold() in stems else "unreadable format"
            listing.problems.append(Problem(kind, display(name), way_out(what)))
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


def _pair(listing: Listing, pictures: list[str], found: Labels, options: FolderOptions) -> None:
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


def _in_split(pictures: list[str], found: Labels, options: FolderOptions) -> set[str]:
    if not options.split:
        return set(pictures)
    wanted = {split.casefold() for split in options.split}
    known = {*split_folders(pictures), *found.splits.values()}
    folders = {part.casefold() for picture in pictures for part in picture.split("/")[:-1]}
    possible = {each.casefold() for each in known} | folders
    missing = [split for split in options.split if split.casefold() not in possible]
    if missing:
        raise DatasetError(f"--split {missing[0]}: no such split; choose from {', '.join(sorted(known)) or 'none'}")
    return {p for p in pictures if in_split(p, options.split) or found.splits.get(p, "").casefold() in wanted}
