"""The service as compose.tls.yaml opens it: its environment, without the container around it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.deploy.compose_files import DEPLOY, ROOT, load
from tests.service.by_hand import ByHand
from tests.support.processes import eventually, spawn
from tests.support.valkey import Valkey
from unikat.cli.authority import Authority
from unikat.client import Studio
from unikat.errors import Unauthenticated, Unavailable

FILES = ("compose.yaml", "compose.cpu.yaml", "compose.tls.yaml")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """What `unikat keys init` and `unikat keys client anna` make."""
    authority = Authority.create()
    authority.issue_server(("localhost", "127.0.0.1"), 1).save(tmp_path / "service", "tls")
    authority.issue_client("anna", 1).save(tmp_path / "anna", "tls")
    return tmp_path


@contextmanager
def opened(valkey: Valkey, folder: Path, clients_ca: str = "") -> Iterator[dict[str, str]]:
    """The service with the variables that its container has; yields them, with the port that it took."""
    node = load(*FILES)["services"]["service"]
    variables = {name: str(value or "") for name, value in node["environment"].items()}
    variables["UNIKAT_TLS_CA"] = variables["UNIKAT_TLS_CA"].replace("${UNIKAT_CLIENTS_CA:-}", clients_ca)
    inside = {name: value.replace("/tls/", f"{folder}/") for name, value in variables.items()}
    inside |= {"UNIKAT_REDIS_URL": valkey.url, "UNIKAT_LISTEN": "0.0.0.0:0", "UNIKAT_DESTINATIONS": "file:///out"}
    with spawn("unikat_service", env=inside) as program:
        port = program.wait_for_line(r"service ready: listening on 0\.0\.0\.0:(\d+)")[1]
        yield inside | {"UNIKAT_LISTEN": f"0.0.0.0:{port}"}


def run(variables: Mapping[str, str], *command: str) -> str:
    """Standard output of a command in the container."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNIKAT_")}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=clean | dict(variables), capture_output=True, text=True
    )
    return done.stdout.strip()


def is_healthy(variables: Mapping[str, str]) -> bool:
    return run(variables, str(DEPLOY / "healthcheck.py"), "service") == "healthy"


def test_it_serves_who_shows_a_token_that_was_made_in_the_container(valkey: Valkey, keys: Path) -> None:
    with valkey.client() as redis, opened(valkey, keys / "service") as variables:
        ByHand(redis).announce()
        eventually(lambda: is_healthy(variables))
        target, ca = f"localhost:{variables['UNIKAT_LISTEN'].rpartition(':')[2]}", keys / "service" / "ca.crt"
        with Studio(target, ca=ca, token="") as studio, pytest.raises(Unauthenticated):
            studio.models()
        with Studio(target, token="", reconnect_timeout=0) as studio, pytest.raises(Unavailable):
            studio.models()
        token = run(variables, "-m", "unikat.cli", "tokens", "create", "anna", "--scope", "generate")
        with Studio(target, ca=ca, token=token) as studio:
            assert [model.name for model in studio.models()] == ["tiny"]


def test_with_an_authority_for_clients_it_serves_who_shows_a_certificate(valkey: Valkey, keys: Path) -> None:
    with valkey.client() as redis, opened(valkey, keys / "service", "/tls/ca.crt") as variables:
        ByHand(redis).announce()
        eventually(lambda: is_healthy(variables))
        target, mine = f"localhost:{variables['UNIKAT_LISTEN'].rpartition(':')[2]}", keys / "anna"
        with Studio(target, ca=mine / "ca.crt", token="") as studio, pytest.raises(Unavailable):
            studio.models()
        identity = mine / "tls.crt", mine / "tls.key"
        with Studio(target, ca=mine / "ca.crt", identity=identity, token="") as studio:
            assert [model.name for model in studio.models()] == ["tiny"]
