"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file; whoever reads it meanwhile finds the one before or this one. Raises OSError."""
    target = Path(os.path.realpath(path))  # the file that a link leads to
    if target.exists() and not target.is_file():  # a pipe, a terminal
        target.write_bytes(data)
        return
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        beside.write_bytes(data)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise
