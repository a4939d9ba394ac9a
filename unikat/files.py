"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def write_whole(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write a file; whoever reads it meanwhile finds the one before or this one. Raises OSError.

    With a `mode` it is on the disk when this returns, and was never readable by others than it says.
    """
    target = Path(os.path.realpath(path))  # the file that a link leads to
    if target.exists() and not target.is_file():  # a pipe, a terminal
        target.write_bytes(data)
        return
    beside = target.with_name(f".{target.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        if mode is None:
            beside.write_bytes(data)
        else:
            _write_with_mode(beside, data, mode)
        beside.replace(target)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def _write_with_mode(path: Path, data: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), mode)  # whatever the umask
        os.fsync(file.fileno())
