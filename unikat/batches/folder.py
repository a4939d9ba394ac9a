"""A destination that is a folder of this machine, or mounted on it.

Not fsspec's local file system: that one neither syncs what it wrote, nor can it be kept from following a symbolic link.
Here every folder below the opened prefix is entered by its descriptor, and links are refused on the way, so that who
can create links in an open folder cannot lead a worker out of it, whenever the link appears.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Final

from unikat.batches.destination import FILE
from unikat.batches.storage import DestinationError, DestinationRefused, Storage

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a named pipe must not hold a writer up
_UNFINISHED: Final = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
_NO_LINKS: Final = frozenset({errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP})  # from file systems that have none
# From so many files on, one sync of the whole file system is cheaper than one for each file
# (256 files of 2 KB on ext4: 14 ms instead of 65 ms).
_MANY: Final = 16
_syncfs: Final[Any] = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # Linux's; Python does not offer it


class FolderStorage(Storage):
    """Writes go to a temporary name in the same folder, are synced to disk and renamed, and the folder is synced."""

    def __init__(self, url: str, root: str, inner: Sequence[str]) -> None:
        """`root`: a folder that is there, without links; `inner`: the folders from there to the destination."""
        super().__init__(url)
        self._root = root
        self._inner = tuple(inner)

    @classmethod
    def below(cls, url: str, prefixes: Sequence[str]) -> FolderStorage:
        """Raises DestinationRefused if links lead out of what is open."""
        target = PurePosixPath(os.path.realpath(url.removeprefix(FILE)))
        roots = [os.path.realpath(prefix.removeprefix(FILE)) for prefix in prefixes if prefix.startswith(FILE)]
        around = [root for root in roots if target.is_relative_to(root)]
        if not around:
            raise DestinationRefused(f"{url} leads to {target} by a symbolic link, and that is not open here")
        root = max(around, key=len)
        return cls(url, root, target.relative_to(root).parts)

    def write_many(self, files: Mapping[str, bytes]) -> None:
        for folder, names in _by_folder(files).items():
            data = {name: files[f"{folder}/{name}" if folder else name] for name in names}
            with self._reasons():
                try:
                    self._put(folder, data)
                except FileNotFoundError:  # somebody removed the folder or, for want of locks, tidied up
                    self._put(folder, data)

    def _put(self, folder: str, files: Mapping[str, bytes]) -> None:
        with self._entered(folder, create=True) as fd:
            _put(fd, files, self.touch)

    def create(self, name: str, data: bytes) -> bool:
        folder, base = _split(name)
        with self._reasons(), self._entered(folder, create=True) as fd:
            return _put_new(fd, base, data)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        folder, base = _split(name)
        with (
            self._reasons(),
            self._entered(folder, create=True) as fd,
            _replacing(fd, [base]) as temporary,
            _created(fd, temporary[base]) as file,
        ):
            yield file
            file.flush()
            os.fsync(file.fileno())

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        found: dict[str, bytes] = {}
        for folder, bases in _by_folder(names).items():
            with self._reasons(), suppress(FileNotFoundError), self._entered(folder) as fd:
                for base in bases:
                    with suppress(FileNotFoundError), self._opened(fd, base) as file:
                        found[f"{folder}/{base}" if folder else base] = file.read()
        return [found.get(name) for name in names]

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        with self.reading(name) as file, self._reasons():
            file.seek(offset)
            return file.read(size)

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        folder, base = _split(name)
        with self._missing_or_reasons(name), self._entered(folder) as fd:
            file = self._opened(fd, base)
        with file:
            yield file

    def remove(self, names: Iterable[str]) -> None:
        for folder, bases in _by_folder(names).items():
            with self._reasons(), suppress(FileNotFoundError), self._entered(folder) as fd:
                for base in bases:
                    with suppress(FileNotFoundError):
                        os.unlink(base, dir_fd=fd)

    def names(self, folder: str) -> list[str]:
        with self._reasons(), suppress(FileNotFoundError), self._entered(folder) as fd, os.scandir(fd) as entries:
            found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
            return sorted(f"{name}/" if is_dir else name for name, is_dir in found if not _UNFINISHED.fullmatch(name))
        return []

    def tidy(self, folder: str) -> None:
        with self._reasons(), suppress(FileNotFoundError), self._entered(folder) as fd:
            if _nobody_writes(fd):
                _drop(fd, [name for name in os.listdir(fd) if _UNFINISHED.fullmatch(name)])

    def remove_folder(self, folder: str) -> None:
        parent, base = _split(folder)
        with self._reasons(), suppress(FileNotFoundError), self._entered(parent) as fd, suppress(OSError):
            os.rmdir(base, dir_fd=fd)

    @contextmanager
    def _entered(self, folder: str, create: bool = False) -> Iterator[int]:
        """The descriptor of a folder. Raises FileNotFoundError if it is not there and not to be created.

        With `create`, it is locked so that nobody tidies up what is being written; the lock dies with its process.
        """
        try:
            fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise DestinationError(f"{self.url}: the folder {self._root} is not there") from error
        try:
            for name in (*self._inner, *_segments(folder)):
                below = self._enter(fd, name, create)
                os.close(fd)
                fd = below
            if create:
                with suppress(OSError):  # not every file system has locks
                    fcntl.flock(fd, fcntl.LOCK_SH)
            yield fd
        finally:
            os.close(fd)

    def _enter(self, parent: int, name: str, create: bool) -> int:
        try:
            return os.open(name, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            if not create:
                raise
        except OSError:
            if stat.S_ISLNK(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise self._is_link(name) from None
            raise
        with suppress(FileExistsError):
            os.mkdir(name, dir_fd=parent)
            os.fsync(parent)
        return os.open(name, _FOLDER, dir_fd=parent)

    def _opened(self, fd: int, name: str) -> BinaryIO:
        try:
            return os.fdopen(os.open(name, _READ, dir_fd=fd), "rb")
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._is_link(name) from None
            raise

    def _is_link(self, name: str) -> DestinationRefused:
        return DestinationRefused(f'{self.url}: "{name}" is a symbolic link; none is followed inside of a destination')

    @contextmanager
    def _reasons(self) -> Iterator[None]:
        """What the system says, as what a person can act on; without names of files, so that it stays the same."""
        self.touch()
        try:
            yield
        except OSError as error:
            raise DestinationError(f"{self.url}: {error.strerror or error}") from error


def _put(fd: int, files: Mapping[str, bytes], touch: Callable[[], object]) -> None:
    """Write files into the folder `fd`: all to temporary names, synced, then renamed."""
    sync_once = len(files) >= _MANY and _syncfs is not None
    with _replacing(fd, files) as temporary:
        for name, data in files.items():
            touch()
            with _created(fd, temporary[name]) as file:
                file.write(data)
                if not sync_once:
                    file.flush()
                    os.fsync(file.fileno())
        if sync_once and _syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))


def _put_new(fd: int, name: str, data: bytes) -> bool:
    """Write a file into the folder `fd` unless there is one of the name: a link is made only where there is nothing."""
    temporary = f".{name}.{secrets.token_hex(4)}.tmp"
    try:
        with _created(fd, temporary) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, name, src_dir_fd=fd, dst_dir_fd=fd, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            os.rename(temporary, name, src_dir_fd=fd, dst_dir_fd=fd)
        os.fsync(fd)
        return True
    finally:
        _drop(fd, [temporary])


@contextmanager
def _replacing(fd: int, names: Iterable[str]) -> Iterator[dict[str, str]]:
    """Temporary names for files of the folder `fd`, which get their own when the block ends, and go if it fails."""
    temporary = {name: f".{name}.{secrets.token_hex(4)}.tmp" for name in names}
    try:
        yield temporary
        for name in temporary:
            os.rename(temporary[name], name, src_dir_fd=fd, dst_dir_fd=fd)
        os.fsync(fd)
    except BaseException:
        _drop(fd, temporary.values())
        raise


def _created(fd: int, name: str) -> BinaryIO:
    return os.fdopen(os.open(name, _NEW, 0o666, dir_fd=fd), "wb")


def _nobody_writes(fd: int) -> bool:
    """Whether no living process writes into a folder, as far as can be told; holds writers off until it is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # not every file system has locks
        return True
    return True


def _drop(fd: int, names: Iterable[str]) -> None:
    for name in names:
        with suppress(OSError):
            os.unlink(name, dir_fd=fd)


def _by_folder(names: Iterable[str]) -> dict[str, list[str]]:
    """Folder -> names in it."""
    found: dict[str, list[str]] = {}
    for name in names:
        folder, base = _split(name)
        found.setdefault(folder, []).append(base)
    return found


def _split(name: str) -> tuple[str, str]:
    """(folder, name in it). Raises ValueError for a name that leads elsewhere."""
    folder, _, base = name.rpartition("/")
    _segments(name)
    return folder, base


def _segments(name: str) -> list[str]:
    segments = name.split("/") if name else []
    if any(segment in ("", ".", "..") for segment in segments):
        raise ValueError(f"{name!r} does not name a file in a destination")
    return segments
