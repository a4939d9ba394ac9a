"""An encrypted batch as the batch that it would be without encryption, in another place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from unikat.batches.destination import FILE
from unikat.batches.encrypted import SUFFIX, EncryptedStorage
from unikat.batches.layout import CLAIM
from unikat.batches.storage import DamagedFile, Storage
from unikat.batches.storage_keys import StorageKeys, key_id_of

_AT_ONCE: Final = 64  # files of one image; tars come one by one


class NotEmpty(Exception):
    """There is something where the decrypted files are to be."""


@dataclass
class Decrypted:
    """What was decrypted. `damaged` are messages about files that were not what the batch had written by their name."""

    url: str
    key_id: str
    files: int = 0
    bytes: int = 0
    damaged: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)  # files that are not encrypted, so none of the batch


def decrypt(
    source: str, target: str, keys: StorageKeys, progress: Callable[[int, int], None] = lambda done, total: None
) -> Decrypted:
    """Decrypt a folder or URL into another; `progress` is told how many files of how many are done.

    `batch.json` comes last: without it the target is no batch. Raises NotEmpty, ValueError for what is no destination
    or not encrypted, NoKey, DestinationError and DestinationRefused.
    """
    inner, there = Storage.named(source), Storage.named(target)
    claim = inner.read_many([CLAIM])[0]
    key_id = key_id_of(claim or b"")
    if not key_id:
        raise ValueError(f"{inner.url} holds no batch that is encrypted")
    storage = EncryptedStorage(inner, keys, key_id)
    facts = storage.read(CLAIM)
    _make_empty(there)
    done = Decrypted(there.url, key_id)
    names = []
    for name in _files(inner):
        if name.endswith(SUFFIX):
            names.append(name.removesuffix(SUFFIX))
        elif name != CLAIM:
            done.left_out.append(name)
    for some in _together(names):
        found = _read(storage, some, done)
        there.write_many(found)
        done.files += len(found)
        done.bytes += sum(map(len, found.values()))
        progress(done.files + len(done.damaged), len(names))
    there.write(CLAIM, facts)
    return done


def _make_empty(there: Storage) -> None:
    """Make the folder. Raises NotEmpty, also for what an earlier try left, which may be of another batch."""
    if there.url.startswith(FILE):
        os.makedirs(there.url.removeprefix(FILE), exist_ok=True)
    if there.names(""):
        raise NotEmpty(f"{there.url} is not empty: choose another folder, or remove what is there")


def _files(storage: Storage, folder: str = "") -> Iterator[str]:
    for name in storage.names(folder):
        path = f"{folder}/{name}" if folder else name
        if name.endswith("/"):
            yield from _files(storage, path.rstrip("/"))
        else:
            yield path


def _together(names: list[str]) -> Iterator[list[str]]:
    """Names, as many at a time as are read at once."""
    some: list[str] = []
    for name in names:
        some.append(name)
        if len(some) == _AT_ONCE or name.endswith(".tar"):
            yield some
            some = []
    if some:
        yield some


def _read(storage: EncryptedStorage, names: list[str], done: Decrypted) -> dict[str, bytes]:
    """The files that are whole; the others are noted."""
    try:
        found = storage.read_many(names)
    except DamagedFile as damaged:
        if len(names) > 1:
            return {name: data for each in names for name, data in _read(storage, [each], done).items()}
        done.damaged.append(str(damaged))
        return {}
    pairs = list(zip(names, found, strict=True))
    done.damaged += [f"{storage.url_of(name)} is gone" for name, data in pairs if data is None]
    return {name: data for name, data in pairs if data is not None}
