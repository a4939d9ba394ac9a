"""Keys that data keys of encrypted batches are wrapped with, from a file (`unikat.key_file`).

They are with whoever writes or reads the files, workers and people, and nowhere else: requests, Redis and `batch.json`
name a key by its id.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from unikat.batches.storage import DestinationRefused
from unikat.json_text import parse_json
from unikat.key_file import is_key_id, read_keys


class NoKey(DestinationRefused):
    """This process cannot encrypt or decrypt a batch's files; others may have the key."""


class StorageKeys:
    """The keys of a file, read again when one is asked for that was not there. Thread-safe; its text shows no key."""

    def __init__(self, path: Path | None) -> None:
        """`path`: None for no keys. Raises ValueError naming the line, and OSError."""
        self._path = path
        self._keys = read_keys(path) if path else {}

    def key(self, id: str) -> bytes:
        """32 bytes. Raises NoKey, which says what to do."""
        if self._path is None:
            raise NoKey(f'no storage key "{id}" here: UNIKAT_STORAGE_KEYS (--storage-keys) names no file')
        if id not in self._keys:
            try:
                self._keys = read_keys(self._path)
            except (OSError, ValueError) as error:
                raise NoKey(f'no storage key "{id}" here, and the file of the keys is not readable') from error
        if id not in self._keys:
            known = ", ".join(sorted(self._keys)) or "none"
            raise NoKey(f'no storage key "{id}" here (there is {known}): add its line to the file of the keys')
        return self._keys[id]


NO_KEYS: Final = StorageKeys(None)


def key_id_of(claim: bytes) -> str:
    """The id of the key of an encrypted batch, by its `batch.json`; "" for any other."""
    try:
        id = parse_json(claim)["encryption"]["key"]
    except (ValueError, KeyError, TypeError):
        return ""
    return id if isinstance(id, str) and is_key_id(id) else ""
