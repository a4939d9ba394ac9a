"""The containers' health checks against the real programs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.compose_files import DEPLOY, ROOT
from tests.support.processes import Program, eventually, spawn
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey


def check(what: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """`python healthcheck.py <what>`, as the engine runs it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNIKAT_")}
    command = [sys.executable, str(DEPLOY / "healthcheck.py"), what]
    return subprocess.run(command, cwd=ROOT, env=clean | dict(environment), capture_output=True, text=True)


def assert_healthy(what: str, environment: Mapping[str, str]) -> None:
    eventually(lambda: check(what, environment).returncode == 0, pause=0.2)
    assert check(what, environment).stdout == "healthy\n"


def assert_unhealthy(what: str, environment: Mapping[str, str], reason: str) -> None:
    done = check(what, environment)
    assert done.returncode == 1
    assert reason in done.stdout


@pytest.fixture
def worker(valkey: Valkey, tmp_path: Path) -> Iterator[tuple[Program, dict[str, str]]]:
    """A real worker and its environment."""
    write_tiny_bundle(tmp_path)
    environment = {"UNIKAT_REDIS_URL": valkey.url, "UNIKAT_MODELS": str(tmp_path), "UNIKAT_THREADS": "1"}
    with spawn("unikat_worker", env=environment, ready="worker ready") as program:
        yield program, environment


@contextmanager
def running_service(environment: Mapping[str, str]) -> Iterator[tuple[Program, dict[str, str]]]:
    """A real service on a free port, and its environment with that port in it."""
    with spawn("unikat_service", env={"UNIKAT_LISTEN": "127.0.0.1:0", **environment}) as program:
        port = program.wait_for_line(r"service ready: listening on .*:(\d+)").group(1)
        yield program, {**environment, "UNIKAT_LISTEN": f"127.0.0.1:{port}"}


def test_a_worker_is_healthy_while_it_beats(worker: tuple[Program, dict[str, str]]) -> None:
    program, environment = worker
    assert_healthy("worker", environment)
    program.terminate()
    assert_unhealthy("worker", environment, "no live worker on ")


def test_a_worker_without_redis_is_not_healthy(valkey: Valkey) -> None:
    valkey.stop()
    assert_unhealthy("worker", {"UNIKAT_REDIS_URL": valkey.tcp_url}, "Redis does not answer")


def test_the_service_is_healthy_while_a_worker_is(worker: tuple[Program, dict[str, str]]) -> None:
    program, environment = worker
    with running_service(environment) as (service, listening):
        assert_healthy("service", listening)
        program.terminate()
        eventually(lambda: "NOT_SERVING" in check("service", listening).stdout, pause=0.2)
        service.terminate()
        assert_unhealthy("service", listening, "UNAVAILABLE")


@pytest.mark.parametrize("client_certificates", [False, True])
def test_the_check_speaks_tls_where_the_service_does(valkey: Valkey, client_certificates: bool) -> None:
    tls = ROOT / "tests" / "service" / "tls"
    pem = str(tls / "localhost.pem")
    environment = {"UNIKAT_REDIS_URL": valkey.url, "UNIKAT_TLS_CERT": pem, "UNIKAT_TLS_KEY": str(tls / "localhost.key")}
    if client_certificates:
        environment["UNIKAT_TLS_CA"] = pem
    with running_service(environment) as (_, listening):
        # What it says: there is no worker. To hear that, the check must have been let in.
        assert_unhealthy("service", listening, "NOT_SERVING")
        plain = {name: value for name, value in listening.items() if "TLS" not in name}
        assert_unhealthy("service", plain, "UNAVAILABLE")
