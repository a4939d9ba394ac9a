"""A name with several addresses, and addresses that no proxy is for."""

from __future__ import annotations

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program, eventually, free_port
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.errors import UnikatError
from unikat.loopback import is_loopback


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "slow", work=1000)
    with running_stack(models) as stack:
        yield stack


def service(stack: Stack, address: str) -> Program:
    program = Program("unikat_service", env=stack.env | {"UNIKAT_LISTEN": address})
    program.wait_for_line("service ready")
    return program


def connections(program: Program) -> int:
    """Of clients; a service's own, to Redis, is a unix socket."""
    found = psutil.Process(program.process.pid).net_connections("tcp")
    return sum(each.status == psutil.CONN_ESTABLISHED for each in found)


def test_services_behind_one_name_take_turns_and_stand_in_for_each_other(stack: Stack) -> None:
    addresses = [f"127.0.0.{number}:{free_port()}" for number in (1, 2, 3)]
    with ExitStack() as exits:
        services = [exits.enter_context(service(stack, address)) for address in addresses]
        studio = exits.enter_context(Studio(f"ipv4:{','.join(addresses)}"))
        studio.draw("tiny", seed=1)
        eventually(lambda: [connections(each) for each in services] == [1, 1, 1])
        images = []
        with studio.generate("slow", count=400, seed=1) as generation:
            for artwork in generation:
                images.append(artwork.data)
                if artwork.index in (10, 100):  # one of them has the call; two of three die
                    services.pop(0).kill()
        assert len(images) == 400
        assert studio.draw("slow", seed=1).data == images[0]
        services[0].kill()
        services.append(exits.enter_context(service(stack, addresses[0])))
        assert studio.draw("slow", seed=1).data == images[0], "one that came back is found"


@pytest.mark.parametrize(
    ("target", "local"),
    [
        ("localhost:50051", True), ("127.0.0.1:50051", True), ("[::1]:50051", True), ("unix:/run/unikat.sock", True),
        ("dns:///localhost:50051", True), ("ipv4:127.0.0.1:1,127.0.0.2:1", True), ("unix:///run/unikat.sock", True),
        ("LOCALHOST:1", True), ("localhost", True),
        ("example.org:443", False), ("10.0.0.1:50051", False), ("ipv4:127.0.0.1:1,10.0.0.1:1", False),
        ("localhost.example.org:1", False), ("dns://8.8.8.8/example.org:1", False),
    ],
)  # fmt: skip
def test_what_leads_to_this_machine(target: str, local: bool) -> None:
    assert is_loopback(target) is local


def test_a_proxy_in_the_environment_is_not_for_this_machine(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        for name in ("no_proxy", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        with Studio(stack.target, reconnect_timeout=5) as studio:
            assert studio.draw("tiny", seed=1).width == 16
        assert not is_asked(proxy, 0.0)
        with asking("unikat.invalid:1"):
            assert is_asked(proxy, 20.0), "other names do go through it"


def test_a_socket_of_this_machine_is_reached_whatever_the_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        with asking(f"unix:{tmp_path / 's'}"):
            assert is_asked(listener, 20.0)


def is_asked(listener: socket.socket, seconds: float) -> bool:
    """Whether somebody connects within so many seconds."""
    return bool(select.select([listener], [], [], seconds)[0])


@contextmanager
def asking(target: str) -> Iterator[None]:
    """In the block, a client asks for models where nobody will answer."""

    def ask() -> None:
        with suppress(UnikatError):
            studio.models()

    with Studio(target, reconnect_timeout=30) as studio:
        thread = threading.Thread(target=ask)
        thread.start()
        yield
    thread.join(10)
