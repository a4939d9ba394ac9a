"""A folder or a zip as a list of files that can be read; nothing outside it ever is."""

from __future__ import annotations

import functools
import os
import stat
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unikat_training.data.fields import DatasetError
from unikat_training.data.report import Problem

MAX_FILE = 256 * 1024 * 1024  # bytes; larger ones are no pictures


@dataclass(frozen=True)
class Container:
    """The files in a folder or zip, by path within it, with "/" between folders."""

    path: Path
    files: tuple[str, ...]  # sorted
    problems: tuple[Problem, ...] = field(default=())

    def read(self, name: str) -> bytes:
        """The content of one of `files`. Raises OSError or ValueError when it cannot be read."""
        return read_member(self.path, name)


def open_container(path: Path) -> Container:
    """Lists the files at `path`. Raises DatasetError when it is neither a folder nor a zip."""
    problems: list[Problem] = []
    if path.is_dir():
        files = list(_walk(path, "", problems, frozenset()))
    elif path.is_file() and zipfile.is_zipfile(path):
        files = list(_zip_members(path, problems))
    elif path.exists():
        raise DatasetError(f"PATH {path}: not a folder, zip, CSV or JSONL file")
    else:
        raise DatasetError(f"PATH {path}: no such file or folder")
    return Container(path, tuple(sorted(set(files))), tuple(problems))


def read_member(path: Path, name: str) -> bytes:
    """The content of file `name` in the folder or zip at `path`. Raises OSError or ValueError."""
    if path.is_dir():
        return (path / name).read_bytes()
    try:
        # RuntimeError: encrypted; NotImplementedError: an unknown compression method.
        return _opened(path).read(name)
    except (zipfile.BadZipFile, RuntimeError, KeyError, EOFError) as error:
        raise ValueError(str(error)) from error
    except Exception as error:  # zlib.error, lzma.LZMAError: each method has its own
        raise ValueError(f"{type(error).__name__}: {error}") from error


def display(name: str) -> str:
    """A file name that can be printed and written as UTF-8, in one of Unicode's ways to write it (NFC)."""
    return unicodedata.normalize("NFC", os.fsencode(name).decode("utf-8", "replace"))


def is_outside(name: str) -> bool:
    """True for a path that is absolute or climbs out of its folder."""
    return name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or name[1:2] == ":"


def _walk(folder: Path, prefix: str, problems: list[Problem], above: frozenset[tuple[int, int]]) -> Iterator[str]:
    # Links are followed, since people arrange pictures by links; a folder that is its own ancestor is a loop.
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(Problem("broken", display(prefix), error.strerror or str(error)))
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        problems.append(Problem("unsafe", display(prefix), "a link to a folder that it is in"))
        return
    for entry in entries:
        name = prefix + entry.name
        if _is_ignored(entry.name):
            continue
        try:
            mode, size = (status := entry.stat()).st_mode, status.st_size
        except OSError as error:
            problems.append(Problem("broken", display(name), error.strerror or str(error)))
            continue
        if stat.S_ISDIR(mode):
            yield from _walk(folder / entry.name, f"{name}/", problems, above | {here})
        elif problem := _unreadable(name, stat.S_ISREG(mode), size):
            problems.append(problem)
        else:
            yield name


def _zip_members(path: Path, problems: list[Problem]) -> Iterator[str]:
    try:
        members = _opened(path).infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DatasetError(f"PATH {path}: not a readable zip: {error}") from error
    for member in members:
        if member.is_dir() or any(_is_ignored(part) for part in member.filename.split("/")):
            continue
        if is_outside(member.filename):
            problems.append(Problem("unsafe", display(member.filename), "its path leads out of the archive"))
        elif problem := _unreadable(member.filename, True, member.file_size):
            problems.append(problem)
        else:
            yield member.filename


def _is_ignored(name: str) -> bool:
    # What operating systems leave behind.
    return (name.startswith(".") and name != "..") or name in {"__MACOSX", "Thumbs.db", "desktop.ini"}


def _unreadable(name: str, regular: bool, size: int) -> Problem | None:
    if not regular:
        return Problem("unsafe", display(name), "a device, pipe or socket")
    if size > MAX_FILE:
        return Problem("unsafe", display(name), f"{size} bytes; at most {MAX_FILE} are read")
    return None


@functools.lru_cache(maxsize=1)
def _opened(path: Path) -> zipfile.ZipFile:
    # Once a process: opening reads the whole directory of the archive.
    return zipfile.ZipFile(path)
