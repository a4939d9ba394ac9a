"""The keys of a log, from a file as others are (`unikat.key_file`): seeds of Ed25519, all of which sign."""

from __future__ import annotations

from pathlib import Path

from unikat.key_file import read_keys
from unikat.transparency.note import SigningKey


def read_signing_keys(path: Path, origin: str) -> list[SigningKey]:
    """The keys of a file, under the name of the log, in the file's order. Raises ValueError and OSError."""
    keys = [SigningKey(origin, seed) for seed in read_keys(path).values()]
    if not keys:
        raise ValueError(f"{path} has no key: unikat keys log makes one")
    return keys
