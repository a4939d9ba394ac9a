"""A TCP proxy that breaks connections in the ways in which networks do, switched while it runs."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from tests.support.frames import Frames, Resets

_CHUNK: Final = 65536
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: close() sends RST
_BYTE_EVERY_S: Final = 1.0
_TURNS: Final = 5  # of the loop, from accepting a connection until it is served

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Proxy:
    """Listens on `target` and passes on to `server` ("host:port", or the path of a unix socket).

    With `frames`, what passes is HTTP/2, and its streams can be reset. Faults hold until `heal`, if at all.
    """

    def __init__(self, server: str, frames: bool = False) -> None:
        self.resets = Resets()
        self.passed = 0  # connections that were made through it
        self._server, self._has_frames = server, frames
        self._delay = 0.0
        self._trickles = False
        self._replies_to_lose = 0
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Future[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._flows, self._listener = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.target = "{}:{}".format(*self._listener.sockets[0].getsockname())

    def delay(self, seconds: float) -> None:
        """What is sent arrives so much later, in both directions."""
        self._soon(lambda: setattr(self, "_delay", seconds))

    def trickle(self) -> None:
        """One byte a second passes, in each direction of each connection."""
        self._soon(lambda: setattr(self, "_trickles", True))

    def stall(self) -> None:
        """Nothing passes; at `heal`, all that was sent goes on."""
        self._soon(self._flows.clear)

    def lose_replies(self, count: int) -> None:
        """The next `count` times that the server sends anything, it is lost, and its connection with it.

        What it is the reply to has gone through.
        """
        self._soon(lambda: setattr(self, "_replies_to_lose", count))

    def cut(self) -> None:
        """Every connection is reset."""

        def cut() -> None:
            for each in list(self._connections):
                each.reset()

        self._soon(cut)

    def half_open(self) -> None:
        """Every connection there is goes silent for good: nothing passes, and neither end hears of it.

        That is what a machine looks like which lost its power, or a firewall that forgot. New connections pass.
        """

        def silence() -> None:
            for each in self._connections:
                each.is_silent = True

        self._soon(silence)

    def lead_to(self, server: str) -> None:
        """New connections go to another server, as those to a name or an address that moved. Old ones stay."""
        self._soon(lambda: setattr(self, "_server", server))

    def heal(self) -> None:
        """What is sent passes again."""

        def heal() -> None:
            self._delay, self._trickles, self._replies_to_lose, self.resets.left = 0.0, False, 0, 0
            self._flows.set()

        self._soon(heal)

    def close(self) -> None:
        """End every connection, and listen no more."""
        self._soon(self._listener.close)
        asyncio.run_coroutine_threadsafe(_cancel_others(), self._loop).result(10)
        self.cut()
        self._soon(bool)  # transports have closed their sockets by the turn after
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _soon(self, what: Callable[[], object]) -> None:
        """Do it in the thread of the connections; returns when it is done."""
        asyncio.run_coroutine_threadsafe(_call(what), self._loop).result(10)

    async def _listen(self) -> tuple[asyncio.Event, asyncio.Server]:
        flows = asyncio.Event()
        flows.set()
        return flows, await asyncio.start_server(self._accept, "127.0.0.1", 0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """At once, so that whatever was accepted is closed at the end, begun or not."""
        connection = _Connection([writer])
        self._connections.add(connection)
        task = asyncio.ensure_future(self._serve(connection, (reader, writer)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: _Connection, client: Client) -> None:
        try:
            await self._flows.wait()
            server = await _open(self._server)
            connection.writers.append(server[1])
            self.passed += 1
            frames = Frames(self.resets) if self._has_frames else None
            await asyncio.gather(
                self._pump(connection, client[0], server[1]),
                self._pump_replies(connection, server[0], client[1], frames),
            )
        except OSError:  # an end is gone: the other one hears of it
            connection.reset()
        finally:
            if not connection.is_silent:
                connection.close()
                self._connections.discard(connection)

    async def _pump(self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(_CHUNK):
            await self._pass(connection, data, sink)
        if not connection.is_silent and sink.can_write_eof():
            sink.write_eof()

    async def _pump_replies(
        self, connection: _Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, frames: Frames | None
    ) -> None:
        while data := await source.read(_CHUNK):
            if self._replies_to_lose > 0 and not connection.is_silent:
                self._replies_to_lose -= 1
                raise ConnectionResetError
            back = b""
            if frames is not None:
                data, back = frames.feed(data)
            if back:
                connection.writers[1].write(back)
            await self._pass(connection, data, sink)
        if not connection.is_silent and sink.can_write_eof():
            sink.write_eof()

    async def _pass(self, connection: _Connection, data: bytes, sink: asyncio.StreamWriter) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        while data and self._trickles:
            if not connection.is_silent:
                sink.write(data[:1])
                data = data[1:]
            await asyncio.sleep(_BYTE_EVERY_S)
        await self._flows.wait()
        if data and not connection.is_silent:
            sink.write(data)
            await sink.drain()


class _Connection:
    """Both ends of one connection."""

    def __init__(self, writers: list[asyncio.StreamWriter]) -> None:
        self.writers = writers  # to the client, and once it is reached, to the server
        self.is_silent = False

    def reset(self) -> None:
        """RST to both ends."""
        for writer in self.writers:
            found: socket.socket | None = writer.get_extra_info("socket")
            if found is not None and found.fileno() >= 0 and found.family == socket.AF_INET:
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    def close(self) -> None:
        for writer in self.writers:
            with suppress(OSError):
                writer.close()


async def _open(server: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if server.startswith("/"):
        return await asyncio.open_unix_connection(server)
    host, _, port = server.rpartition(":")
    return await asyncio.open_connection(host, int(port))


async def _cancel_others() -> None:
    for _ in range(_TURNS):  # what was accepted a moment ago has to begin: cancelled before, it leaves its socket open
        await asyncio.sleep(0)
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _call(what: Callable[[], object]) -> None:
    what()


@contextmanager
def running_proxy(server: str, frames: bool = False) -> Iterator[Proxy]:
    """A proxy in front of a server, until the end of the block."""
    proxy = Proxy(server, frames)
    try:
        yield proxy
    finally:
        proxy.close()


@contextmanager
def resetting_proxy(service: str, code: int, after: int = 3, resets: int = 1) -> Iterator[Proxy]:
    """A proxy that resets so many streams of the service with `code`, each behind `after` DATA frames."""
    with running_proxy(service, frames=True) as proxy:
        proxy.resets.code, proxy.resets.after, proxy.resets.left = code, after, resets
        yield proxy
