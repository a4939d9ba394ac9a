"""A destination as something to write to and read from: a folder, or what fsspec knows as an object store."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import BinaryIO

from unikat.batches.destination import FILE, is_open, normalise


class DestinationError(Exception):
    """The destination does not work at the moment; `str()` is the reason, for people.

    A full disk, a folder or bucket that is gone, permissions, credentials, the network: all that may pass, so that
    trying again later is right.
    """


class DestinationRefused(Exception):
    """Nothing may be written there; trying again changes nothing."""


class DamagedFile(DestinationRefused):
    """An encrypted file is not what was written by its name."""


class Storage(ABC):
    """The files of one destination, by names with "/" between folder and file. Thread-safe, and nothing is cached.

    All methods raise DestinationError and DestinationRefused; those that read raise FileNotFoundError where there is
    no file of the name.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.touch: Callable[[], object] = lambda: None  # called whenever something begins to be read or written

    @staticmethod
    def open(url: str, prefixes: Sequence[str]) -> Storage:
        """For a worker: raises DestinationRefused unless `url` is below one of `prefixes`, wherever links lead.

        A prefix that is a folder must be there: it is not created, because it may be a disk that is not mounted.
        """
        Storage.check_open(url, prefixes)
        if url.startswith(FILE):
            from unikat.batches.folder import FolderStorage

            return FolderStorage.below(url, prefixes)
        return _object_storage(url)

    @staticmethod
    def check_open(url: str, prefixes: Sequence[str]) -> None:
        """Raise DestinationRefused, which names the setting, unless `url` is below one of `prefixes`, as text."""
        if not is_open(url, prefixes):
            opened = ", ".join(prefixes) or "nothing"
            raise DestinationRefused(f"{url} is not open here (UNIKAT_DESTINATIONS opens {opened})")

    @staticmethod
    def at(url: str) -> Storage:
        """For a person's own program: any destination. Raises ValueError for a URL that is not canonical."""
        if not is_open(url, [url]):
            raise ValueError(f"{url} is not the URL of a destination")
        if url.startswith(FILE):
            from unikat.batches.folder import FolderStorage

            return FolderStorage(url, url.removeprefix(FILE), ())
        return _object_storage(url)

    @classmethod
    def named(cls, where: str) -> Storage:
        """As `at`, for a URL or a path. Raises ValueError for what is neither."""
        return cls.at(normalise(where if "://" in where else os.path.abspath(where)))

    def url_of(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}"

    def stored(self, name: str) -> str:
        """The name that `names` has for a file; either is taken everywhere."""
        return name

    def write(self, name: str, data: bytes) -> None:
        """Write a file, wholly or not at all; folders are created, what was there is replaced."""
        self.write_many({name: data})

    @abstractmethod
    def write_many(self, files: Mapping[str, bytes]) -> None:
        """Write several files, each wholly or not at all. When this returns, all of them survive a loss of power."""

    @abstractmethod
    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one of the name; whether it was written (False also if the answer was lost).

        A file system without links, and an object store without conditional puts, replace one that came in the same
        moment: whoever relies on what was written reads it again.
        """

    @abstractmethod
    def writing(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to be written bit by bit: it gets its name when the block ends, and nothing is left if it fails."""

    def read(self, name: str) -> bytes:
        data = self.read_many([name])[0]
        if data is None:
            raise FileNotFoundError(self.url_of(name))
        return data

    @abstractmethod
    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        """Whole files, None where there is none; at once where that is faster."""

    @abstractmethod
    def read_range(self, name: str, offset: int, size: int) -> bytes:
        """`size` bytes of a file from `offset`; fewer where it ends before."""

    @abstractmethod
    def reading(self, name: str) -> AbstractContextManager[BinaryIO]:
        """A file opened for reading and seeking."""

    @abstractmethod
    def remove(self, names: Iterable[str]) -> None:
        """Remove files, those that are there."""

    @abstractmethod
    def names(self, folder: str) -> list[str]:
        """Names of what is directly in a folder, sorted, folders with a "/" behind; unfinished files are left out."""

    @abstractmethod
    def tidy(self, folder: str) -> None:
        """Remove from a folder the unfinished files of writers that died."""

    @abstractmethod
    def remove_folder(self, folder: str) -> None:
        """Remove a folder if nothing is in it."""

    @abstractmethod
    def _reasons(self) -> AbstractContextManager[None]:
        """What goes wrong inside becomes a DestinationError, whose text a person can act on."""

    @contextmanager
    def _missing_or_reasons(self, name: str) -> Iterator[None]:
        """As `_reasons`, but where there is no file `name`, that is what is raised."""
        missing: FileNotFoundError | None = None
        with self._reasons():
            try:
                yield
            except FileNotFoundError as error:
                missing = error
        if missing is not None:
            raise FileNotFoundError(self.url_of(name)) from missing


def _object_storage(url: str) -> Storage:
    from unikat.batches.objects import ObjectStorage

    return ObjectStorage(url)
