"""A folder, zip or tar as a list of files that can be read; nothing outside it ever is."""

from __future__ import annotations

import math
import os
import stat
import tarfile
import unicodedata
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from unikat.batches.layout import CLAIM, SHEET
from unikat_training.data.folder.archives import ArchiveBomb, Place, is_tar, tar_members, zip_members
from unikat_training.data.folder.embedded import picture_column, picture_names, rows_and_bytes
from unikat_training.data.formats import ARCHIVE_SUFFIXES, SUFFIXES, suffix
from unikat_training.data.report import Problem
from unikat_training.errors import DatasetError

MAX_FILE: Final = 256 * 1024 * 1024  # bytes; larger ones are read by nobody
MAX_PICTURE: Final = 80_000_000  # bytes; unpacking one from a zip takes twice as much
# What Windows, macOS, NAS and viewers leave behind, beside everything whose name begins with a dot.
LITTER: Final = frozenset(
    (
        *("__macosx", "icon\r", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "$recycle.bin"),
        *(
            "system volume information",
            "recycler",
            "lost+found",
            "@eadir",
            "@__thumb",
            "@recycle",
            "@recently-snapshot",
        ),
        *("#recycle", "#snapshot", "picasa.ini", "zbthumbnail.info"),
    )
)
# Archives that are not read: they have no table of contents that leads to one file.
_OTHER_ARCHIVES: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ", "xz"),
    (b"(\xb5/\xfd", "zstd"),
    (b"7z\xbc\xaf", "7-Zip"),
    (b"Rar!", "RAR"),
)


@dataclass
class Container:
    """The files in a folder or archive, by path within it, with "/" between folders; sorted when it is complete."""

    path: Path
    files: dict[str, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    litter: Counter[str] = field(default_factory=Counter)  # what was passed over, in files by its name

    def add(self, name: str, place: Place, size: int) -> None:
        """Adds a file, unless it is litter or too large."""
        passed = next((part for part in name.split("/") if is_litter(part)), None)
        if passed is not None:
            self.litter[passed if passed.lower() in LITTER else ".…"] += 1
        elif size > (most := _most(name)):
            self.problems.append(Problem("unsafe", display(name), f"{size} bytes; at most {most} are read"))
        else:
            self.files.setdefault(name, place)


def open_container(path: Path) -> Container:
    """Lists the files at `path`. Raises DatasetError when it is no folder, zip or tar that can be read.

    Archives in a folder that has no pictures beside them are listed like folders of their names.
    """
    container = Container(path)
    if path.is_dir():
        _walk(container, path, "", frozenset())
        if CLAIM in container.files:  # a batch of ours, whose sheet is none of its pictures
            container.files.pop(SHEET, None)
        if not any(suffix(name) in SUFFIXES for name in container.files):
            for name in [name for name in container.files if suffix(name) in ARCHIVE_SUFFIXES]:
                place = container.files.pop(name)
                _add_archive(container, place.path, f"{name[: -len(suffix(name))]}/")
            _add_embedded(container)
    elif path.exists():
        _add_archive(container, path, "")
    else:
        raise DatasetError(f"PATH {path}: no such file or folder")
    container.files = dict(sorted(container.files.items()))
    return container


def _add_embedded(container: Container) -> None:
    """Adds the pictures that Parquet files hold themselves."""
    for name, place in list(container.files.items()):
        if suffix(name) != ".parquet" or not (column := picture_column(place.path)):
            continue
        from unikat.batches.parquet import most_claimed  # pyarrow: only where there is such a file

        (rows, claimed), size = rows_and_bytes(place.path), place.path.stat().st_size
        if rows > size or claimed > most_claimed(size):  # a row of Parquet may take no byte
            claim = f"{rows} pictures of {claimed} bytes in {size} bytes"
            container.problems.append(Problem("unsafe", display(name), claim))
            continue
        for row, picture in enumerate(picture_names(name, rows)):
            container.files[picture] = Place(place.path, column, row=row)


def display(name: str) -> str:
    """A file name that can be printed and written as UTF-8, in one of Unicode's ways to write it (NFC)."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))


def is_litter(name: str) -> bool:
    """True for a file or folder that an operating system or a NAS left behind, or that is hidden."""
    return (name.startswith((".", "~$")) and name != "..") or name.lower() in LITTER


def _walk(container: Container, folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> None:
    # Links are followed, since people arrange pictures by links; a folder that is its own ancestor is a loop.
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        container.problems.append(Problem("broken", display(prefix), error.strerror or str(error)))
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        container.problems.append(Problem("unsafe", display(prefix), "a link to a folder that it is in"))
        return
    for entry in entries:
        name = prefix + entry.name
        try:
            mode, size = (status := entry.stat()).st_mode, status.st_size
        except OSError as error:
            if not is_litter(entry.name):
                container.problems.append(Problem("broken", display(name), error.strerror or str(error)))
            continue
        if stat.S_ISDIR(mode) and is_litter(entry.name):
            passed = sum(len(files) for _, _, files in os.walk(folder / entry.name))
            container.litter[entry.name if entry.name.lower() in LITTER else ".…"] += passed
        elif stat.S_ISDIR(mode):
            _walk(container, folder / entry.name, f"{name}/", above | {here})
        elif stat.S_ISREG(mode):
            container.add(name, Place(folder / entry.name), size)
        else:
            container.problems.append(Problem("unsafe", display(name), "a device, pipe or socket"))


def _most(name: str) -> float:
    """Bytes that a file may have. Of archives and Parquet files only parts are read."""
    if suffix(name) in (*ARCHIVE_SUFFIXES, ".parquet"):
        return math.inf
    return MAX_PICTURE if suffix(name) in SUFFIXES else MAX_FILE


def _add_archive(container: Container, path: Path, prefix: str) -> None:
    try:
        if zipfile.is_zipfile(path):
            members = zip_members(path)
        else:
            with path.open("rb") as file:
                head = file.read(8)
            packed = next((kind for magic, kind in _OTHER_ARCHIVES if head.startswith(magic)), None)
            if packed:
                raise DatasetError(
                    f"PATH {path}: packed by {packed}; unpack it and give the folder (or a zip, or a tar)"
                )
            if not is_tar(path):
                raise DatasetError(f"PATH {path}: not a folder, zip, tar, CSV or JSONL file")
            members = tar_members(path)
        for member in members:
            if member.unsafe:
                container.problems.append(Problem("unsafe", display(member.name), member.unsafe))
            else:
                container.add(prefix + member.name, member.place, member.size)
    except ArchiveBomb as error:
        raise DatasetError(f"PATH {path}: {error}; unpack it and give the folder") from error
    except (zipfile.BadZipFile, tarfile.TarError, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise DatasetError(f"PATH {path}: not a readable archive: {error}") from error
