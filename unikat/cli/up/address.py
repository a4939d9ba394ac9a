"""Where the embedded Valkey listens: beside its data, or, where that path is too long for a socket, in a short folder.

Whoever can make that folder, or reach into it, can be the Valkey that service and workers talk to. So its name cannot
be known before (`mkdtemp`), it is this user's alone, and both are looked at again whenever it is used.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path
from typing import Final

# The path of a unix socket may have 107 bytes.
_LONGEST_PATH: Final = 100
_NAME: Final = "valkey.sock"
_POINTER: Final = "socket-folder"  # in the data folder: the path of the short one


def socket_of(data: Path) -> Path:
    """Where the Valkey that keeps its data in `data` listens, if it runs; for a deep folder what `make_socket` made."""
    path = data.resolve() / _NAME
    if _fits(path):
        return path
    try:
        folder = Path((data / _POINTER).read_text())
    except OSError:
        return path
    return folder / _NAME if _is_ours(folder) else path


def redis_url_of(data: Path) -> str:
    """The Valkey that keeps its data in `data`; Redis' usual place where there is none."""
    socket = socket_of(data)
    return f"unix://{socket}" if socket.exists() else "redis://localhost:6379"


def make_socket(data: Path) -> Path:
    """The same for a Valkey that is about to start; the folder is made where need be. Raises OSError."""
    path = data.resolve() / _NAME
    if _fits(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return path
    there = socket_of(data)
    if there != path:
        return there
    folder = Path(tempfile.mkdtemp(prefix="unikat-", dir=_place()))
    (data / _POINTER).write_text(str(folder))
    return folder / _NAME


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _LONGEST_PATH


def _place() -> str:
    """This user's folder for what runs (XDG), else the one for what is temporary."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    fits = _fits(Path(runtime, "unikat-12345678", _NAME))
    return runtime if runtime and fits and _is_ours(Path(runtime)) else tempfile.gettempdir()


def _is_ours(folder: Path) -> bool:
    """Whether a folder, and no link, belongs to this user and lets nobody else in."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
