"""Files of secret keys, which only their owner and a group may read: one a line, its id and 64 hex digits."""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from unikat.files import write_whole

ID_RULE: Final = 'the id of a key has 1 to 32 characters of a-z 0-9 and "-", and does not begin with "-"'
_ID: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LINE: Final = re.compile(r"(\S+)\s+([0-9a-fA-F]{64})")
_OF_OTHERS: Final = stat.S_IWGRP | stat.S_IRWXO  # a group may read: containers get secrets so


def is_key_id(text: str) -> bool:
    """Whether a key can be called so."""
    return _ID.fullmatch(text) is not None


def read_keys(path: Path) -> dict[str, bytes]:
    """The keys, 32 bytes by id. Raises ValueError naming the line, without what stands in it, and OSError."""
    with path.open(encoding="utf-8") as file:
        mode = os.fstat(file.fileno()).st_mode
        if mode & _OF_OTHERS:
            raise ValueError(f"{path} is open to others (mode {stat.S_IMODE(mode):04o}): chmod 600 {path}")
        lines = file.read().splitlines()
    keys: dict[str, bytes] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        if found is None or not is_key_id(found[1]) or found[1] in keys:
            raise ValueError(f"{path}, line {number}: must be the id of a key, which occurs once, and 64 hex digits")
        keys[found[1]] = bytes.fromhex(found[2])
    return keys


def add_key(path: Path, id: str) -> None:
    """Add a fresh key to a file, which is made where there is none. Raises ValueError and OSError."""
    line = new_key_line(id)
    before, found = "", None
    if path.exists():
        if id in read_keys(path):
            raise ValueError(f"{path} has a key {id} already")
        before, found = path.read_text(encoding="utf-8"), path.stat()
    path.parent.mkdir(parents=True, exist_ok=True)
    if before and not before.endswith("\n"):
        before += "\n"
    write_whole(path, (before + line).encode(), stat.S_IMODE(found.st_mode) if found else 0o600)
    if found:  # whose group may read it, still may
        with suppress(PermissionError):
            os.chown(path, -1, found.st_gid)


def new_key_line(id: str) -> str:
    """A line with a fresh key. Raises ValueError for what is no id."""
    if not is_key_id(id):
        raise ValueError(f"{ID_RULE}, not {id[:40]!r}")
    return f"{id} {secrets.token_hex(32)}\n"
