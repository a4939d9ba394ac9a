"""Clients that cost as little as they can: raw bytes over gRPC, or HTTP/1.1 on a kept connection.

Of grpcio's interfaces the blocking one costs less with a single call at a time; with many both cost about the same, and
one event loop needs no threads (`python -m benchmarks clients` shows both). Every gRPC server is called alike.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import grpc
from grpc.experimental import ChannelOptions

from benchmarks.peers.doors import Door

Arrived = Callable[[bytes], None]  # told of every message of an answer
Call = Callable[[bytes, Arrived], None]
AsyncCall = Callable[[bytes, Arrived], Awaitable[None]]

# Receive up to 64 MB; do not probe the bandwidth of a loopback.
OPTIONS: Final = (("grpc.max_receive_message_length", 64 * 2**20), ("grpc.http2.bdp_probe", 0))
TIMEOUT_S: Final = 60.0


@contextmanager
def blocking_call(door: Door, port: int) -> Iterator[Call]:
    """A function that sends a request and returns when its answer is complete; until the end of the block."""
    if door.transport == "http":
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield _BlockingHttp(connection, door).call
        return
    # The calling thread reads a stream itself: no thread of grpcio's in between.
    options = (*OPTIONS, (ChannelOptions.SingleThreadedUnaryStream, 1))
    with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
        yield _BlockingGrpc(channel, door).call


class _BlockingGrpc:
    def __init__(self, channel: grpc.Channel, door: Door) -> None:
        self._unary = channel.unary_unary(door.path, None, None) if door.transport == "unary" else None
        self._stream = channel.unary_stream(door.path, None, None)

    def call(self, body: bytes, arrived: Arrived) -> None:
        if self._unary is not None:
            arrived(self._unary(body, timeout=TIMEOUT_S))
            return
        for message in self._stream(body, timeout=TIMEOUT_S):
            arrived(message)


@asynccontextmanager
async def async_call(door: Door, port: int) -> AsyncIterator[AsyncCall]:
    """The same for an event loop; any number of calls at a time."""
    if door.transport == "http":
        http = AsyncHttp(port, door)
        yield http.call
        http.close()
        return
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OPTIONS) as channel:
        yield _async_grpc(channel, door)


def _async_grpc(channel: grpc.aio.Channel, door: Door) -> AsyncCall:
    unary = channel.unary_unary(door.path, None, None)
    stream = channel.unary_stream(door.path, None, None)

    async def call(body: bytes, arrived: Arrived) -> None:
        arrived(await unary(body, timeout=TIMEOUT_S))

    async def read(body: bytes, arrived: Arrived) -> None:
        messages = stream(body, timeout=TIMEOUT_S)
        # EOF is falsy, and no message of a server under test is empty.
        while message := await messages.read():
            arrived(message)  # type: ignore[arg-type]  # after EOF is ruled out, bytes

    return call if door.transport == "unary" else read


def whole_answer(call: Call, body: bytes) -> bytes:
    """All messages of an answer as one."""
    parts: list[bytes] = []
    call(body, parts.append)
    return b"".join(parts)


def post(door: Door, body: bytes) -> bytes:
    """An HTTP request."""
    kind = "application/json" if door.body == "json" else "application/octet-stream"
    head = f"POST {door.path} HTTP/1.1\r\nHost: bench\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def split(received: bytes) -> tuple[bytes, int] | None:
    """Body so far and bytes missing of an answer; None while its head is incomplete. Raises OSError for a bad one."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    if b" 200 " not in head[:16]:
        raise OSError(f"the server says {received[:300]!r}")
    at = head.index(b"content-length:") + 15
    length = int(head[at : (head + b"\r\n").index(b"\r\n", at)])
    body = received[end + 4 :]
    return body, length - len(body)


class _BlockingHttp:
    def __init__(self, connection: socket.socket, door: Door) -> None:
        self._socket = connection
        self._door = door

    def call(self, body: bytes, arrived: Arrived) -> None:
        self._socket.sendall(post(self._door, body))
        received = b""
        while True:
            more = self._socket.recv(2**18)
            if not more:
                raise OSError("the server closed the connection")
            received += more
            found = split(received)
            if found is not None and found[1] <= 0:
                arrived(found[0])
                return


class AsyncHttp:
    """A pool of connections, one for each call in flight."""

    def __init__(self, port: int, door: Door) -> None:
        self._port = port
        self._door = door
        self._free: list[_Connection] = []

    async def call(self, body: bytes, arrived: Arrived) -> None:
        """Send a request, wait for the body of the answer. Raises OSError."""
        if self._free:
            connection = self._free.pop()
        else:
            loop = asyncio.get_running_loop()
            _, connection = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        arrived(await asyncio.wait_for(connection.send(post(self._door, body)), TIMEOUT_S))
        self._free.append(connection)

    def close(self) -> None:
        """Close the connections that are free."""
        for connection in self._free:
            connection.close()


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = b""
        self._answer: asyncio.Future[bytes] | None = None

    def send(self, data: bytes) -> asyncio.Future[bytes]:
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return self._answer

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            found = split(self._received)
        except (OSError, ValueError) as error:
            self._fail(error)
            return
        if found is not None and found[1] <= 0:
            self._received = b""
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(found[0])

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(error or OSError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
