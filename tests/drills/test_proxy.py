"""The fault proxy breaks connections in the way that each of its faults says."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support.processes import eventually
from tests.support.proxy import Proxy, running_proxy


class Echo:
    """A server that sends back what it gets, and keeps it."""

    def __init__(self, prefix: bytes = b"") -> None:
        self.got = b""
        self._prefix = prefix
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.target = "{}:{}".format(*self._listener.getsockname())
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                self._sockets.append(self._listener.accept()[0])
                threading.Thread(target=self._echo, args=(self._sockets[-1],), daemon=True).start()

    def _echo(self, client: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1000):
                self.got += data
                client.sendall(self._prefix + data)
            client.close()

    def close(self) -> None:
        for each in self._sockets:
            each.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with running_proxy(echo.target) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with connected(proxy) as client:
        client.sendall(b"hello")
        assert client.recv(10) == b"hello"
        yield client


def connected(proxy: Proxy) -> socket.socket:
    host, _, port = proxy.target.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def is_silent(client: socket.socket, seconds: float = 0.3) -> bool:
    client.settimeout(seconds)
    try:
        return not client.recv(1) and False
    except TimeoutError:
        return True
    finally:
        client.settimeout(10)


def test_what_is_delayed_arrives_later(proxy: Proxy, client: socket.socket) -> None:
    proxy.delay(0.2)
    begun = time.monotonic()
    client.sendall(b"x")
    assert client.recv(1) == b"x"
    assert time.monotonic() - begun >= 0.4  # there and back


def test_a_cut_connection_is_reset_and_the_next_one_works(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with connected(proxy) as other:
        other.sendall(b"x")
        assert other.recv(1) == b"x"


def test_a_half_open_connection_is_silent_for_good_and_the_next_one_works(
    echo: Echo, proxy: Proxy, client: socket.socket
) -> None:
    proxy.half_open()
    client.sendall(b"lost")
    assert is_silent(client)
    proxy.heal()
    client.sendall(b"lost")
    assert is_silent(client)
    with connected(proxy) as other:
        other.sendall(b"x")
        assert other.recv(1) == b"x"
    assert echo.got == b"hellox"


def test_what_stalls_goes_on_when_it_is_healed(proxy: Proxy, client: socket.socket) -> None:
    proxy.stall()
    client.sendall(b"later")
    assert is_silent(client)
    proxy.heal()
    assert client.recv(5) == b"later"


def test_a_lost_reply_takes_its_connection_along_and_the_request_was_done(
    echo: Echo, proxy: Proxy, client: socket.socket
) -> None:
    proxy.lose_replies(1)
    client.sendall(b"done")
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert echo.got == b"hellodone"
    with connected(proxy) as other:
        other.sendall(b"x")
        assert other.recv(1) == b"x"


def test_one_byte_a_second_trickles_until_it_is_healed(proxy: Proxy, client: socket.socket) -> None:
    proxy.trickle()
    client.sendall(b"slowly")
    time.sleep(1.5)
    proxy.heal()
    begun, got = time.monotonic(), b""
    while len(got) < 6:
        got += client.recv(6)
    assert got == b"slowly"
    assert time.monotonic() - begun < 3  # and not 5 bytes' seconds


def test_new_connections_are_led_to_another_server_and_old_ones_stay(proxy: Proxy, client: socket.socket) -> None:
    other_server = Echo(prefix=b"other ")
    proxy.lead_to(other_server.target)
    client.sendall(b"x")
    assert client.recv(10) == b"x"
    with connected(proxy) as other:
        other.sendall(b"x")
        assert other.recv(10) == b"other x"
    other_server.close()


def test_an_end_that_closes_is_heard_of_at_the_other(proxy: Proxy, client: socket.socket) -> None:
    client.shutdown(socket.SHUT_WR)
    assert client.recv(1) == b""
    eventually(lambda: not proxy._connections)
