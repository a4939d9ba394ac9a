"""`python -m benchmarks clients`: which of grpcio's interfaces costs the load generator least."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Final

import psutil

from benchmarks.figures import ROOT
from benchmarks.peers.doors import Door, Order
from benchmarks.peers.harness import run_load
from benchmarks.peers.load import Load
from benchmarks.peers.running import wait_for_port
from tests.support.processes import free_port

DOORS: Final = (
    Door("unary", "unary", "/bench.Wait/Unary", "plain"),
    Door("stream", "stream", "/bench.Wait/Stream", "plain"),
)
SECONDS: Final = 3.0


def clients() -> None:
    """CPU a call of blocking and asyncio clients, at a server that waits 20 ms and answers with 8 kB."""
    print("\n".join(table()))


def table() -> Iterator[str]:
    """Markdown: a line a way to call."""
    yield "| call | clients | interface | CPU ms a call | p50 ms |"
    yield "| --- | ---: | --- | ---: | ---: |"
    port = free_port()
    with subprocess.Popen([sys.executable, "-m", "benchmarks.peers.servers.waiting", str(port)], cwd=ROOT) as server:
        wait_for_port(port)
        pids = {"server": psutil.Process(server.pid).pid}
        for door in DOORS:
            for count in (1, 32):
                for interface in ("blocking", "asyncio"):
                    load = Load(door, Order("", 0), port, count, SECONDS, pids, interface=interface)
                    served = run_load(load)
                    cost = served.cpu_ms["client"]
                    yield f"| {door.name} | {count} | {interface} | {cost:.2f} | {served.p50_ms:.1f} |"
        server.kill()
