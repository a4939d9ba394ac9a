"""`python -m benchmarks idle`: what a stream that waits costs the service, when there are thousands of them."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import grpc
import typer
from redis import Redis

from benchmarks.curve.stack import sleeping
from benchmarks.peers.calls import OPTIONS
from benchmarks.peers.doors import request
from benchmarks.peers.environments import cache_folder
from benchmarks.peers.running import Running, running
from benchmarks.peers.usage import pss_mib
from benchmarks.reference import reference_bundles
from benchmarks.work import Setup

A_CHANNEL: Final = 500  # streams of one connection
AT_A_TIME: Final = 50  # calls that are being opened
SETTLE_S: Final = 2.0


class Streams:
    """Calls of Generate that were accepted and wait for their first image."""

    def __init__(self, server: Running) -> None:
        self._server = server
        self._door = next(door for door in server.doors if door.transport == "stream")
        self._calls: list[grpc.aio.UnaryStreamCall[bytes, bytes]] = []
        self._channels: list[grpc.aio.Channel] = []

    async def open(self, count: int) -> None:
        """Open `count` calls, wait until all are accepted. Raises grpc.RpcError."""
        gate = asyncio.Semaphore(AT_A_TIME)
        for _ in range(0, count, A_CHANNEL):
            options = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))  # a connection of its own
            self._channels.append(grpc.aio.insecure_channel(f"127.0.0.1:{self._server.job.port}", options))

        async def one(number: int) -> None:
            method = self._channels[number // A_CHANNEL].unary_stream(self._door.path, None, None)
            async with gate:
                call = method(request(self._door, self._server.order(0), number))
                await call.read()
                self._calls.append(call)

        await asyncio.gather(*(one(number) for number in range(count)))

    async def close(self) -> None:
        """Cancel all."""
        for channel in self._channels:
            await channel.close(None)


async def measure(server: Running, count: int) -> dict[str, float]:
    """Bytes a stream in the service and in Valkey, and how long it took to open them, s."""
    with Redis(unix_socket_path=str(server.folder / "valkey.sock")) as redis:
        streams = Streams(server)
        await streams.open(A_CHANNEL)  # what grows once, grows now
        await asyncio.sleep(SETTLE_S)
        before = pss_mib(server.pids)["service"], redis.info("memory")["used_memory"]
        began = time.perf_counter()
        more = Streams(server)
        await more.open(count)
        taken = time.perf_counter() - began
        await asyncio.sleep(SETTLE_S)
        after = pss_mib(server.pids)["service"], redis.info("memory")["used_memory"]
        await streams.close()
        await more.close()
    return {
        "service": (after[0] - before[0]) * 2**20 / count,
        "Valkey": (after[1] - before[1]) / count,
        "seconds": taken,
    }


def idle(streams: Annotated[int, typer.Option(help="Streams that wait.", min=1)] = 10_000) -> None:
    """Open streams whose images are not drawn, read the memory of the service and of Valkey before and after."""
    bundle = reference_bundles(cache_folder() / "models")[0]
    with tempfile.TemporaryDirectory() as folder:
        hold = Path(folder) / "hold"
        contender = sleeping(1, batch_ms=1.0, image_ms=0.0, hold=hold)
        with running(contender, (bundle.path,), Setup(2, 2), "pillow", same=False) as server:
            hold.touch()
            found = asyncio.run(measure(server, streams))
    print(
        f"{streams:,} idle streams: {found['service'] / 1000:.1f} kB each in the service (growth of its PSS), "
        f"{found['Valkey'] / 1000:.1f} kB each in Valkey (growth of used_memory); opened in {found['seconds']:.0f} s"
    )
