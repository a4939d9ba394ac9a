"""What is in zips and tars, and where: nothing is unpacked, and what a small archive can claim is bounded."""

from __future__ import annotations

import functools
import io
import os
import re
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from unikat_training.data.folder.embedded import picture_bytes

MAX_MEMBERS: Final = 2_000_000
MAX_DIRECTORY: Final = 2**27  # bytes of a zip's table of contents, which Python reads at once
FREE_BYTES: Final = 2**30  # that the members of a zip may have together, whatever its size
MAX_RATIO: Final = 100  # of the members' bytes to the archive's; pictures are some 1, flat BMPs and text up to 100
MAX_HEADER: Final = 2**20  # bytes of a member's header in a tar


class ArchiveBomb(ValueError):
    """The archive holds far more than there are bytes in it, or more members than are read."""


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


@dataclass(frozen=True, slots=True)
class Member:
    """A file in an archive; `unsafe` says why it is not read."""

    name: str
    place: Place
    size: int  # bytes
    unsafe: str = ""


def zip_members(path: Path) -> Iterator[Member]:
    """The files in a zip. Raises ArchiveBomb, zipfile.BadZipFile and OSError."""
    total = 0
    for member in opened_zip(path).infolist():
        name = _zip_name(member)
        total += member.file_size
        if name.endswith("/"):
            continue
        outside = "its path leads out of the archive" if _is_outside(name) else ""
        yield Member(name, Place(path, member.filename), member.file_size, outside)
    if total > FREE_BYTES + MAX_RATIO * (size := path.stat().st_size):
        raise ArchiveBomb(f"its members are {total} bytes in an archive of {size}, as no pictures are")


def is_tar(path: Path) -> bool:
    """True for what begins with a header of a tar. Raises ArchiveBomb and OSError."""
    with _Headers(path) as file:
        try:
            tarfile.open(fileobj=file, mode="r:").close()
        except tarfile.TarError:
            return False
    return True


def tar_members(path: Path) -> Iterator[Member]:
    """The files in a tar that is not packed. Raises ArchiveBomb, tarfile.TarError and OSError."""
    count = 0
    with _Headers(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        while (member := archive.next()) is not None:
            # Each would keep its copy of the headers that are meant for all.
            archive.members.clear()  # type: ignore[attr-defined]  # typeshed leaves it out
            if (count := count + 1) > MAX_MEMBERS:
                raise ArchiveBomb(f"more than {MAX_MEMBERS} members")
            name = re.sub(r"^(\./)+", "", member.name)
            if member.isdir():
                continue
            readable = member.isreg() and not member.issparse() and not _is_outside(name)
            place = Place(path, "", member.offset_data, member.size)
            yield Member(name, place, member.size, "" if readable else "a link, or a path out of the archive")


class _Headers(io.FileIO):
    """A tar of which headers are read; one that claims gigabytes is refused before they are."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER:
            raise ArchiveBomb(f"a header of {size} bytes; at most {MAX_HEADER} are read")
        return super().read(size) or b""


@functools.lru_cache(maxsize=16)
def opened_zip(path: Path) -> zipfile.ZipFile:
    """A zip, opened once a process: opening reads the whole directory of the archive. Raises ArchiveBomb."""
    return _Zip(path)


class _Zip(zipfile.ZipFile):
    """A zip of which the table of contents is bounded."""

    def __init__(self, path: Path) -> None:
        self._file = _Bounded(path)
        try:
            super().__init__(self._file)
            if len(self.infolist()) > MAX_MEMBERS:
                raise ArchiveBomb(f"{len(self.infolist())} members; at most {MAX_MEMBERS} are read")
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """The file as well, which `zipfile` leaves open for whoever gave it."""
        super().close()
        self._file.close()


class _Bounded(io.BufferedReader):
    """A zip that Python reads: whatever its end claims, its table of contents is read at once up to a limit only."""

    def __init__(self, path: Path) -> None:
        super().__init__(io.FileIO(path))
        self._size = os.fstat(self.fileno()).st_size

    def read(self, size: int | None = -1) -> bytes:
        """As of a file. Raises ArchiveBomb for more bytes at once than a table of contents may have."""
        rest = self._size - self.tell()
        wanted = rest if size is None or size < 0 else min(size, rest)
        if wanted > MAX_DIRECTORY:
            raise ArchiveBomb(f"a table of contents of {wanted} bytes; at most {MAX_DIRECTORY} are read")
        return super().read(size)


def _zip_name(member: zipfile.ZipInfo) -> str:
    name = member.filename
    if not member.flag_bits & 0x800:  # macOS writes UTF-8 without saying so, and Python reads it as DOS text
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")  # PowerShell 5 and others pack with Windows' separators


def _is_outside(name: str) -> bool:
    return name.startswith("/") or ".." in name.split("/") or name[1:2] == ":"
