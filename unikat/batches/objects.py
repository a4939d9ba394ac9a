"""A destination in an object store, by fsspec: whatever it knows whose puts are atomic.

Credentials and endpoints come from the environment only, by each library's own variables (AWS_ACCESS_KEY_ID,
AWS_ENDPOINT_URL, ...; FSSPEC_S3_... for any option of s3fs).
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, BinaryIO, Final

import fsspec
from fsspec.asyn import AsyncFileSystem

from unikat.batches.storage import DestinationError, DestinationRefused, Storage

_LONGEST_REASON: Final = 300  # characters
_AT_ONCE: Final = 128  # puts, as many as fsspec begins at a time; after them it is known that the store answers
_S3: Final = ("s3", "s3a")
# A put is whole or not at all, which fsspec's other file systems do not promise. Of these, S3 is what is tested.
_STORES: Final = frozenset({*_S3, "gs", "gcs", "az", "abfs", "abfss"})
# A store that does not answer is known after seconds, not after the libraries' minutes.
_S3_CONFIG: Final[Mapping[str, Any]] = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 2}}
# Checksums that the SDK adds by itself since 2025 make many stores that speak S3 refuse a put, each with another error
# (of credentials, of a header, of the length). Who wants them names them in these variables.
_CHECKSUMS: Final[Mapping[str, str]] = {
    "request_checksum_calculation": "AWS_REQUEST_CHECKSUM_CALCULATION",
    "response_checksum_validation": "AWS_RESPONSE_CHECKSUM_VALIDATION",
}


class ObjectStorage(Storage):
    """One put a file; several files are put at once, as many as fsspec finds right."""

    def __init__(self, url: str) -> None:
        """Raises DestinationRefused for what is no object store, DestinationError if its library is missing."""
        super().__init__(url)
        self._scheme, _, self._base = url.partition("://")
        if self._scheme not in _STORES:
            known = ", ".join(f"{scheme}://" for scheme in sorted(_STORES))
            raise DestinationRefused(
                f"{url} is no object store that is known here ({known}); mount it, take the folder"
            )
        with self._reasons():
            self._store()

    def write_many(self, files: Mapping[str, bytes]) -> None:
        names = list(files)
        for first in range(0, len(names), _AT_ONCE):
            with self._reasons():
                some = names[first : first + _AT_ONCE]
                self._store().pipe({self._path(name): bytes(files[name]) for name in some})

    def create(self, name: str, data: bytes) -> bool:
        """See `Storage`. The condition is S3's; a store that does not know it ignores it, or says so."""
        path = self._path(name)
        with self._reasons():
            try:
                self._store().pipe_file(path, data, **({"mode": "create"} if self._scheme in _S3 else {}))
            except OSError as error:
                if error.errno == errno.ENOSYS:
                    self._store().pipe_file(path, data)
                elif self._store().exists(path):
                    return False
                else:
                    raise
            return True

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        try:
            with tempfile.NamedTemporaryFile(prefix="unikat-") as file:
                with open(file.name, "wb") as content:
                    yield content
                with self._reasons():
                    self._store().put_file(file.name, self._path(name))
        except OSError as error:
            raise self._local(error) from error

    def read_many(self, names: Sequence[str]) -> list[bytes | None]:
        everything = [None] * len(names)
        with self._reasons():
            paths = [self._path(name) for name in names]
            replies = self._store().cat_ranges(paths, everything, everything, on_error="return")
            return [_found(reply) for reply in replies]

    def read_range(self, name: str, offset: int, size: int) -> bytes:
        path = self._path(name)
        with self._missing_or_reasons(name):
            try:
                data: bytes = self._store().cat_file(path, start=offset, end=offset + size)
            except Exception:
                if self._store().info(path)["size"] > offset:
                    raise
                return b""  # a range that begins behind the end, which stores refuse, each in its own words
            return data

    @contextmanager
    def reading(self, name: str) -> Iterator[BinaryIO]:
        """The file is fetched as a whole, so that it cannot change while it is read."""
        with ExitStack() as stack:
            try:
                file = stack.enter_context(tempfile.NamedTemporaryFile(prefix="unikat-"))
            except OSError as error:  # FileNotFoundError too: it is not the file of that name that is missing
                raise self._local(error) from error
            with self._missing_or_reasons(name):
                self._store().get_file(self._path(name), file.name)
            yield stack.enter_context(open(file.name, "rb"))

    def remove(self, names: Iterable[str]) -> None:
        paths = [self._path(name) for name in names]
        if paths:
            with self._reasons():
                try:
                    self._store().rm(paths)
                except FileNotFoundError:
                    pass
                except Exception:  # many at once need a checksum in S3, and some stores have no such call
                    for path in paths:
                        with suppress(FileNotFoundError):
                            self._store().rm_file(path)

    def names(self, folder: str) -> list[str]:
        path = self._path(folder).rstrip("/")
        with self._reasons(), suppress(FileNotFoundError):
            entries = self._store().ls(path, detail=True)
            found = [(entry["name"].removeprefix(path + "/"), entry["type"]) for entry in entries]
            return sorted(
                name.rstrip("/") + ("/" if kind == "directory" else "") for name, kind in found if name and name != path
            )
        return []

    def tidy(self, folder: str) -> None:
        """An object store shows nothing unfinished."""

    def remove_folder(self, folder: str) -> None:
        """An object store has no empty folders."""

    def _path(self, name: str) -> str:
        return f"{self._base}/{name}"

    def _store(self) -> AsyncFileSystem:
        """fsspec's own one of this process; made anew after an error, because credentials may have changed."""
        options: dict[str, Any] = {"use_listings_cache": False}  # others write there too
        if self._scheme in _S3:
            checksums = {name: "when_required" for name, variable in _CHECKSUMS.items() if variable not in os.environ}
            asked = fsspec.config.conf.get("s3", {}).get("config_kwargs", {})
            options["config_kwargs"] = {**_S3_CONFIG, **checksums, **asked}
        try:
            return fsspec.filesystem(self._scheme, **options)
        except ImportError as error:
            raise DestinationError(f"{self.url}: a package is missing here (see unikat[s3]): {error}") from error

    def _local(self, error: OSError) -> DestinationError:
        """A temporary file of this machine cannot be written: that may pass, as all trouble of a destination."""
        return DestinationError(f"{self.url}: {error.strerror or error} (for a temporary file; TMPDIR says where)")

    @contextmanager
    def _reasons(self) -> Iterator[None]:
        """Whatever a store's library raises: each has its own exceptions, and all of them are about the store."""
        self.touch()
        try:
            yield
        except (DestinationError, DestinationRefused):
            raise
        except Exception as error:
            fsspec.get_filesystem_class(self._scheme).clear_instance_cache()
            reason = " ".join(f"{error or type(error).__name__}".split())
            raise DestinationError(f"{self.url}: {reason[:_LONGEST_REASON]}") from error


def _found(reply: bytes | Exception) -> bytes | None:
    if isinstance(reply, FileNotFoundError):
        return None
    if isinstance(reply, Exception):
        raise reply
    return reply
