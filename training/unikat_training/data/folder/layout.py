"""Finds out how a folder or zip is labelled, and pairs files with labels."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from unikat_training.data.fields import DatasetError
from unikat_training.data.folder.container import Container, display, is_outside, open_container
from unikat_training.data.folder.tables import STYLEGAN, TABLE_SUFFIXES, Row, Table, read_table
from unikat_training.data.naming import typable
from unikat_training.data.pictures import SUFFIXES
from unikat_training.data.report import Problem


@dataclass
class Listing:
    """Files of a container and their labels, before any is decoded. Without attributes it is a plain set."""

    path: Path
    attributes: tuple[str, ...] = ()
    items: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def list_pictures(path: Path, labels: Path | None, chosen: tuple[str, ...]) -> Listing:
    """Lists what is at `path`: a folder, a zip, or a CSV or JSONL file with its pictures beside it.

    `labels` names the label file when it should not be looked for; `chosen` names the attributes.
    Raises DatasetError when there is nothing to list or it is unclear how it is labelled.
    """
    if path.is_file() and path.suffix.lower() in TABLE_SUFFIXES:
        path, labels = path.parent, labels or path
    container = open_container(path)
    root = _root(container)
    name, content = _label_file(container, root, labels)
    table = read_table(name, content, chosen) if content is not None else None
    listing = Listing(path, problems=list(container.problems))
    used = {name} | ({STYLEGAN} if content is not None else set())
    files = [file for file in container.files if file not in used and file != root + name]
    if table is not None:
        _pair(listing, files, root, table)
    elif content is None and any("/" in file.removeprefix(root) for file in files if _is_picture(file)):
        _by_folder(listing, files, root, chosen)
    else:
        _refuse_attribute(chosen, "the pictures have no labels")
        _plain(listing, files)
    if not listing.items and not listing.problems:
        raise DatasetError(f"PATH {path}: no pictures; looked for {' '.join(sorted(SUFFIXES))}")
    listing.attributes, listing.items, listing.warnings = typable(listing.attributes, listing.items)
    return listing


def _root(container: Container) -> str:
    """The one folder that wraps everything, as archives often have it; "" when there is none."""
    tops = {file.partition("/")[0] for file in container.files}
    if len(tops) != 1 or not all("/" in file for file in container.files):
        return ""
    prefix = f"{tops.pop()}/"
    inner = [file.removeprefix(prefix) for file in container.files]
    # With pictures only, it is no wrapping but the one category.
    wraps = all("/" in name for name in inner if _is_picture(name)) or any(_is_label_file(name) for name in inner)
    return prefix if wraps else ""


def _label_file(container: Container, root: str, labels: Path | None) -> tuple[str, bytes | None]:
    try:
        if labels is not None:
            inside = labels.as_posix()
            if inside in container.files:
                return inside, container.read(inside)
            return labels.name, labels.read_bytes()
        found = [f.removeprefix(root) for f in container.files if _is_label_file(f.removeprefix(root))]
        if STYLEGAN in found:
            found = [STYLEGAN]
        if len(found) > 1:
            raise DatasetError(f"more than one file of labels; choose one by --labels: {', '.join(found)}")
        return (found[0], container.read(root + found[0])) if found else ("", None)
    except (OSError, ValueError) as error:
        if isinstance(error, DatasetError):
            raise
        raise DatasetError(f"--labels {labels or found[0]}: cannot be read: {error}") from error


def _is_label_file(name: str) -> bool:
    return "/" not in name and (name == STYLEGAN or PurePosixPath(name).suffix.lower() in TABLE_SUFFIXES)


def _is_picture(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in SUFFIXES


def _refuse_attribute(chosen: tuple[str, ...], reason: str) -> None:
    if chosen:
        raise DatasetError(f"--attribute {chosen[-1]}: {reason}")


def _plain(listing: Listing, files: list[str]) -> None:
    for file in files:
        if _is_picture(file):
            listing.items.append((file, ()))
        else:
            listing.problems.append(Problem("not an image", display(file)))


def _by_folder(listing: Listing, files: list[str], root: str, chosen: tuple[str, ...]) -> None:
    _refuse_attribute(chosen[1:], "folders are one attribute; give one name")
    listing.attributes = chosen or ("category",)
    for file in files:
        category, inside, _ = file.removeprefix(root).partition("/")
        if not _is_picture(file):
            listing.problems.append(Problem("not an image", display(file)))
        elif inside:
            listing.items.append((file, (display(category),)))
        else:
            listing.problems.append(Problem("unlabelled", display(file), "it is in no category's folder"))


def _pair(listing: Listing, files: list[str], root: str, table: Table) -> None:
    listing.attributes = table.attributes
    listing.problems += table.problems
    finder = _Finder(files, root)
    labelled: dict[str, tuple[str | None, ...]] = {}
    for row in table.rows:
        file = finder.find(row)
        if isinstance(file, Problem):
            listing.problems.append(file)
        elif labelled.setdefault(file, row.values) != row.values:
            listing.problems.append(Problem("bad label", display(file), "labelled twice, differently; the first holds"))
    for file in files:
        values = labelled.get(file)
        if values is None:
            kind = "unlabelled" if _is_picture(file) else "not an image"
            listing.problems.append(Problem(kind, display(file)))
            continue
        missing = [a for a, value in zip(table.attributes, values, strict=True) if value is None]
        if missing:
            listing.problems.append(Problem("unlabelled", display(file), f"no {', '.join(missing)}"))
        else:
            listing.items.append((file, tuple(value for value in values if value is not None)))


class _Finder:
    """Finds the file that a table means: by its path, or by its bare name when only one file has it."""

    def __init__(self, files: list[str], root: str) -> None:
        self._paths = {_key(file.removeprefix(root)): file for file in files}
        self._names: dict[str, list[str]] = defaultdict(list)
        for file in files:
            self._names[_key(file).rpartition("/")[2]].append(file)

    def find(self, row: Row) -> str | Problem:
        if is_outside(row.file):
            return Problem("unsafe", row.file, "a label's path leads outside")
        key = _key(row.file)
        if key in self._paths:
            return self._paths[key]
        same = self._names[key] if "/" not in key and key in self._names else []
        if len(same) == 1:
            return same[0]
        detail = f"{len(same)} files have that name; give the path" if same else ""
        return Problem("label without image", row.file, detail)


def _key(path: str) -> str:
    # macOS writes "é" as two characters (NFD), most others as one (NFC); Windows separates by "\".
    return unicodedata.normalize("NFC", path.replace("\\", "/")).removeprefix("./")
