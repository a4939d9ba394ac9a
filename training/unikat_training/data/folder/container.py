"""A folder, zip or tar as a list of files that can be read; nothing outside it ever is."""

from __future__ import annotations

import functools
import os
import re
import stat
import tarfile
import unicodedata
import zipfile
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from unikat.batches.layout import CLAIM, SHEET
from unikat_training.data.folder.embedded import picture_bytes, picture_column, picture_names, row_count
from unikat_training.data.formats import ARCHIVE_SUFFIXES, SUFFIXES, suffix
from unikat_training.data.report import Problem
from unikat_training.errors import DatasetError

MAX_FILE = 256 * 1024 * 1024  # bytes; larger ones are no pictures
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


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a file are: in a file of their own, a member of a zip, a part of a file, a row of Parquet."""

    path: Path
    member: str = ""  # of a zip; with a row, a column
    offset: int = 0  # bytes
    size: int = -1  # bytes; -1: to the end
    row: int = -1  # of a Parquet file

    def read(self, limit: int = -1) -> bytes:
        """The content, or its first `limit` bytes. Raises OSError or ValueError when it cannot be read."""
        if self.row >= 0:
            return picture_bytes(self.path, self.member, self.row)
        size = self.size if limit < 0 else limit if self.size < 0 else min(limit, self.size)
        if not self.member:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(size)
        try:
            with opened_zip(self.path).open(self.member) as file:
                return file.read(size)
        except NotImplementedError as error:
            raise ValueError(f"{error}; unpack the zip, or pack it with another program") from error
        except RuntimeError as error:
            raise ValueError("encrypted; unpack the zip with its password") from error
        except Exception as error:  # BadZipFile, zlib.error, lzma.LZMAError: each method has its own
            raise ValueError(f"{type(error).__name__}: {error}") from error


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
        elif size > MAX_FILE and suffix(name) not in (*ARCHIVE_SUFFIXES, ".parquet"):
            self.problems.append(Problem("unsafe", display(name), f"{size} bytes; at most {MAX_FILE} are read"))
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
        column = picture_column(place.path) if suffix(name) == ".parquet" else ""
        rows = row_count(place.path) if column else 0
        if rows > (size := place.path.stat().st_size):  # a bomb: a row of Parquet may take no byte
            container.problems.append(Problem("unsafe", display(name), f"{rows} pictures in {size} bytes"))
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


def _add_archive(container: Container, path: Path, prefix: str) -> None:
    try:
        if zipfile.is_zipfile(path):
            return _add_zip(container, path, prefix)
        with path.open("rb") as file:
            head = file.read(8)
        packed = next((kind for magic, kind in _OTHER_ARCHIVES if head.startswith(magic)), None)
        if packed:
            raise DatasetError(f"PATH {path}: packed by {packed}; unpack it and give the folder (or a zip, or a tar)")
        if not tarfile.is_tarfile(path):
            raise DatasetError(f"PATH {path}: not a folder, zip, tar, CSV or JSONL file")
        _add_tar(container, path, prefix)
    except (zipfile.BadZipFile, tarfile.TarError, OSError) as error:
        raise DatasetError(f"PATH {path}: not a readable archive: {error}") from error


def _add_zip(container: Container, path: Path, prefix: str) -> None:
    for member in opened_zip(path).infolist():
        name = _zip_name(member)
        if name.endswith("/"):
            continue
        if _is_outside(name):
            container.problems.append(Problem("unsafe", display(name), "its path leads out of the archive"))
        else:
            container.add(prefix + name, Place(path, member.filename), member.file_size)


def _zip_name(member: zipfile.ZipInfo) -> str:
    name = member.filename
    if not member.flag_bits & 0x800:  # macOS writes UTF-8 without saying so, and Python reads it as DOS text
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")  # PowerShell 5 and others pack with Windows' separators


def _add_tar(container: Container, path: Path, prefix: str) -> None:
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            name = re.sub(r"^(\./)+", "", member.name)
            if member.isdir():
                continue
            if not member.isreg() or member.issparse() or _is_outside(name):
                container.problems.append(Problem("unsafe", display(name), "a link, or a path out of the archive"))
            else:
                container.add(prefix + name, Place(path, "", member.offset_data, member.size), member.size)


def _is_outside(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/") or name[1:2] == ":"


@functools.lru_cache(maxsize=16)
def opened_zip(path: Path) -> zipfile.ZipFile:
    """A zip, opened once a process: opening reads the whole directory of the archive."""
    return zipfile.ZipFile(path)
