"""What names people is in the log as a salted hash only, so that it can be erased while the log stays whole."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

SALT_BYTES: Final = 32


def salted_hash(salt: bytes, details: Mapping[str, str]) -> bytes:
    """SHA-256 of the salt (32 bytes) and the details as JSON: names sorted, no spaces, UTF-8. Raises ValueError.

    Whoever has salt and details can show that the entry is of them. Without the salt, nobody can find them by trying
    names.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt: {SALT_BYTES} random bytes, not {len(salt)}")
    try:
        return sha256(salt + canonical(details).encode()).digest()
    except UnicodeEncodeError as error:
        raise ValueError("details: they hold text that is not Unicode") from error


def canonical(details: Mapping[str, str]) -> str:
    """The JSON text that is hashed."""
    return json.dumps(dict(details), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
