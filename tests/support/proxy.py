"""A TCP proxy that resets HTTP/2 streams, as load balancers do with those that were silent for too long.

The connection lives on; only the stream is ended, by RST_STREAM with an error code (RFC 9113, section 7).
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL = 0, 1, 2, 8

_HEAD: Final = 9  # bytes before every frame: length (3), type, flags, stream (4)
_DATA, _HEADERS, _RST_STREAM, _CONTINUATION = 0, 1, 3, 9


class Proxy:
    """Passes frames on. `left` more streams are reset with `code`, each behind `after` DATA frames of the service."""

    def __init__(self, service: str, code: int, after: int, resets: int) -> None:
        host, _, port = service.rpartition(":")
        self._service = host, int(port)
        self._code, self._after = code, after
        self.left = resets
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets = [self._listener]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """End every connection."""
        for each in self._sockets:
            with suppress(OSError):  # the other end was first
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for each in self._sockets:
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, service = self._listener.accept()[0], socket.create_connection(self._service)
                self._sockets += [client, service]
                for work in (self._pass_requests, self._pass_responses):
                    self._threads.append(threading.Thread(target=work, args=(client, service)))
                    self._threads[-1].start()

    def _pass_requests(self, client: socket.socket, service: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                service.sendall(data)
            service.shutdown(socket.SHUT_WR)

    def _pass_responses(self, client: socket.socket, service: socket.socket) -> None:
        frames: dict[int, int] = {}
        dead: set[int] = set()
        with suppress(OSError, EOFError):
            while True:
                head = _read(service, _HEAD)
                body = _read(service, int.from_bytes(head[:3], "big"))
                kind, stream = head[3], int.from_bytes(head[5:], "big") & 0x7FFFFFFF
                if kind == _DATA and frames.get(stream, 0) == self._after and self.left > 0 and stream not in dead:
                    self.left -= 1
                    dead.add(stream)
                    client.sendall(_reset(stream, self._code))
                    service.sendall(_reset(stream, CANCEL))
                elif stream not in dead or kind in (_HEADERS, _CONTINUATION):  # which others are compressed against
                    client.sendall(head + body)
                frames[stream] = frames.get(stream, 0) + (kind == _DATA)


def _read(source: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = source.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _reset(stream: int, code: int) -> bytes:
    return (4).to_bytes(3, "big") + bytes([_RST_STREAM, 0]) + stream.to_bytes(4, "big") + code.to_bytes(4, "big")


@contextmanager
def resetting_proxy(service: str, code: int, after: int = 3, resets: int = 1) -> Iterator[Proxy]:
    """A proxy in front of the service at `service`, until the end of the block."""
    proxy = Proxy(service, code, after, resets)
    try:
        yield proxy
    finally:
        proxy.close()
