"""The keys of watermarks: those of a file, and one that everybody knows. Marks of all of them can be found."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from unikat.key_file import ID_RULE, add_key, is_key_id, read_keys

OPEN: Final = "open"  # id of the key that everybody knows: whoever has Unikat finds its marks, and can make them
NO_MARK: Final = "none"  # stands for a key's id where images are to have no marks
_OPEN_KEY: Final = hashlib.sha256(b"unikat: the open key of watermarks").digest()


def check_key_id(text: str) -> str:
    """A key's id, or "none". Raises ValueError."""
    if not is_key_id(text):
        raise ValueError(f'{ID_RULE}; "none" stands for no marks; not {text[:40]!r}')
    return text


def read_mark_keys(path: Path | None) -> dict[str, bytes]:
    """The keys of a file, 32 bytes by id, and the open one. Raises ValueError and OSError."""
    keys = read_keys(path) if path else {}
    if taken := keys.keys() & {OPEN, NO_MARK}:
        raise ValueError(f"{path}: no key can be called {' or '.join(sorted(taken))}, which stands for something else")
    return {OPEN: _OPEN_KEY} | keys


def add_mark_key(path: Path, id: str) -> None:
    """As `add_key`."""
    if id in (OPEN, NO_MARK):
        raise ValueError(f"no key can be called {id}, which stands for something else")
    add_key(path, id)
