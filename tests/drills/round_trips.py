"""A proxy before Valkey that counts a program's round trips, and kills the program just before or after one of them.

It parses what passes (RESP). What a program sends in one write is one round trip, but every script is one of its own.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import hiredis

from unikat.queue.scripts import script

_NOTHING: Final = object()
_READS: Final = {
    "get", "mget", "hget", "hmget", "hgetall", "hkeys", "hexists", "exists", "ttl", "type", "getbit", "bitcount",
    "smembers", "lrange", "llen", "lindex", "zrange", "zscore", "zcard", "zrangebyscore", "zcount", "xread", "xrange",
    "xrevrange", "xlen", "info", "time", "ping", "client", "hello",
}  # fmt: skip
_SCRIPTS: Final = {
    script(path.stem).sha: path.stem
    for path in (Path(__file__).parents[2] / "unikat/queue/lua").glob("*.lua")
    if path.stem != "common"
}


class Side(StrEnum):
    """BEFORE: Valkey never gets the commands. AFTER: it has done them, and the program never gets the replies."""

    BEFORE = "before"
    AFTER = "after"


class Point(NamedTuple):
    """The `occurrence`-th round trip of a name (from 1) since the proxy was armed."""

    name: str
    occurrence: int
    side: Side

    def __str__(self) -> str:
        return f"{self.side} {self.name} #{self.occurrence}"


Unit = list[list[bytes]]  # commands of one write


class RoundTrips:
    """One program's connections to Valkey."""

    def __init__(self, valkey: Path) -> None:
        """`valkey`: the server's unix socket."""
        self._valkey = valkey
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.seen: list[tuple[str, int]] = []  # since it was armed, in their order
        self._counts: Counter[str] | None = None
        self._target: Point | None = None
        self._kill: Callable[[], None] = lambda: None
        self.struck = threading.Event()
        self.struck_at = 0.0  # monotonic
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, target: Point | None, kill: Callable[[], None]) -> None:
        """Count from now on; at `target`, call `kill`, which must have killed the program when it returns."""
        with self.lock:
            self._counts, self._target, self._kill, self.seen = Counter(), target, kill, []

    def disarm(self) -> None:
        """Neither count nor kill any more."""
        with self.lock:
            self._counts = self._target = None

    def close(self) -> None:
        """End every connection."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def point_of(self, unit: Unit) -> Point | None:
        """Which point a command is; None while nothing is counted. `lock` is held."""
        if self._counts is None:
            return None
        name = name_of(unit)
        self._counts[name] += 1
        self.seen.append((name, self._counts[name]))
        target = self._target
        return target if target is not None and target[:2] == self.seen[-1] else None

    def strike(self) -> None:
        """Kill. `lock` is held: nothing more of the program reaches Valkey."""
        self._counts = self._target = None
        self._kill()
        self.struck_at = time.monotonic()
        self.struck.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._valkey))
                self._sockets += [client, server]
                _Passage(self, client, server).start()


class _Passage:
    """One connection: a thread for commands, one for replies."""

    def __init__(self, trips: RoundTrips, client: socket.socket, server: socket.socket) -> None:
        self._trips, self._client, self._server = trips, client, server
        self._sent = self._received = 0  # commands, replies
        self._awaited: int | None = None  # the number of the reply at which to kill
        self._lock = threading.Lock()

    def start(self) -> None:
        for work in (self._pass_commands, self._pass_replies):
            threading.Thread(target=work, daemon=True).start()

    def _pass_commands(self) -> None:
        with suppress(OSError):
            for unit in units(self._client):
                with self._trips.lock:
                    if self._trips.struck.is_set():
                        return
                    point = self._trips.point_of(unit)
                    if point is not None and point.side is Side.BEFORE:
                        self._trips.strike()
                        return
                    with self._lock:
                        self._sent += len(unit)
                        self._awaited = self._sent if point is not None else self._awaited
                    self._server.sendall(b"".join(map(_packed, unit)))
            self._server.shutdown(socket.SHUT_RDWR)

    def _pass_replies(self) -> None:
        reader = hiredis.Reader(notEnoughData=_NOTHING)
        with suppress(OSError):
            while data := self._server.recv(1 << 20):
                reader.feed(data)
                while reader.gets() is not _NOTHING:
                    self._received += 1
                with self._lock:
                    awaited = self._awaited
                if awaited is None:
                    self._client.sendall(data)
                elif self._received >= awaited:
                    with self._trips.lock:
                        if not self._trips.struck.is_set():
                            self._trips.strike()
                    return
            self._client.shutdown(socket.SHUT_RDWR)


def units(client: socket.socket) -> Iterator[Unit]:
    """What comes from a client, until it closes the connection."""
    reader = hiredis.Reader(notEnoughData=_NOTHING)
    unit: Unit = []
    while data := client.recv(1 << 20):
        reader.feed(data)
        while (command := reader.gets()) is not _NOTHING:
            if _is_script(command):
                if unit:
                    yield unit
                yield [command]
                unit = []
            else:
                unit.append(command)
        if unit and (unit[0][0].upper() != b"MULTI" or unit[-1][0].upper() == b"EXEC"):
            yield unit
            unit = []


def name_of(unit: Unit) -> str:
    """A script's name, or the different commands."""
    if _is_script(unit[0]):
        return _SCRIPTS.get(unit[0][1].decode(), "script of redis-py")
    return " ".join(dict.fromkeys(command[0].decode().lower() for command in unit))


def only_reads(name: str) -> bool:
    """Whether round trips of a name change nothing in Valkey: before and after are the same then."""
    return set(name.split()) <= _READS


def _is_script(command: Sequence[bytes]) -> bool:
    return command[0].upper() == b"EVALSHA"


def _packed(command: Sequence[bytes]) -> bytes:
    packed: bytes = hiredis.pack_command(tuple(command))  # type: ignore[arg-type]  # tuples are invariant
    return packed
