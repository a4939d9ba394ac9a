"""The stack as compose.tls.yaml opens it: programs with the variables of their containers, and keys as documented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.compose_files import DEPLOY, ROOT, load
from tests.support.processes import eventually, spawn
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey, running_valkey
from unikat.client import Studio
from unikat.errors import Unauthenticated, Unavailable

FILES = ("compose.yaml", "compose.cpu.yaml", "compose.tls.yaml")


def unikat(*words: str, **environment: str) -> str:
    """Standard output of the command line."""
    return run(environment, "-m", "unikat.cli", *words)


def run(variables: Mapping[str, str], *command: str) -> str:
    """Standard output of Python with nothing but these variables of ours."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNIKAT_")}
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=clean | dict(variables), capture_output=True, text=True
    )
    return done.stdout.strip()


@dataclass
class Opened:
    """The stack without its containers: keys by the documented commands, programs with what compose hands them."""

    keys: Path
    valkey: Valkey
    variables: dict[str, str]
    port: str = ""

    def environment(self, service: str, **given: str) -> dict[str, str]:
        """Of a container, where paths and addresses are those of here."""
        node = load(*FILES)["services"][service]
        known = self.variables | {"UNIKAT_METRICS": ""} | given  # here all would listen on one port
        texts = {name: str(value or "") for name, value in node["environment"].items()}
        filled = {name: re.sub(r"\$\{(\w+):?-(.*?)\}", lambda m: known.get(m[1], m[2]), t) for name, t in texts.items()}
        here = str(self.valkey.port)
        return {
            name: text.replace("/tls/", f"{self.keys}/service/").replace("@valkey:6379", f"@127.0.0.1:{here}")
            for name, text in filled.items()
        }

    @contextmanager
    def service(self, **given: str) -> Iterator[dict[str, str]]:
        """The service; yields its variables, with the port that it took."""
        variables = self.environment("service", **given) | {"UNIKAT_LISTEN": "0.0.0.0:0"}
        with spawn("unikat_service", env=variables) as program:
            self.port = program.wait_for_line(r"service ready: listening on 0\.0\.0\.0:(\d+)")[1]
            yield variables | {"UNIKAT_LISTEN": f"0.0.0.0:{self.port}"}
            assert "Traceback" not in program.output

    @contextmanager
    def worker(self, models: Path) -> Iterator[None]:
        own = {"UNIKAT_MODELS": str(models), "UNIKAT_THREADS": "1", "UNIKAT_DESTINATIONS": ""}
        with spawn("unikat_worker", env=self.environment("worker") | own, ready="worker ready") as program:
            yield
            assert "NOPERM" not in program.output


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    keys = tmp_path / "keys"
    unikat("keys", "init", "--keys", str(keys))
    unikat("keys", "client", "anna", "--keys", str(keys))
    unikat("keys", "redis", "--keys", str(keys))
    lines = (keys / "compose.env").read_text().splitlines()
    variables = {name: value for name, _, value in (line.partition("=") for line in lines)}
    with running_valkey("everysec", aclfile=variables["UNIKAT_ACL_FILE"]) as valkey:
        yield Opened(keys, valkey, variables)


def is_healthy(variables: Mapping[str, str]) -> bool:
    return run(variables, str(DEPLOY / "healthcheck.py"), "service") == "healthy"


def test_it_draws_for_who_shows_a_token_and_for_nobody_else(opened: Opened, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models")
    ca = opened.keys / "service" / "ca.crt"
    with opened.worker(tmp_path / "models"), opened.service() as variables:
        eventually(lambda: is_healthy(variables))
        target = f"localhost:{opened.port}"
        with Studio(target, ca=ca, token="") as studio, pytest.raises(Unauthenticated):
            studio.models()
        with Studio(target, token="", reconnect_timeout=0) as studio, pytest.raises(Unavailable):
            studio.models()
        token = unikat("tokens", "create", "anna", **opened.environment("tokens"))
        assert token, "its user of Valkey may make tokens"
        with Studio(target, ca=ca, token=token) as studio:
            assert len({artwork.data for artwork in studio.generate("tiny", count=20, seed=7)}) > 1
        assert not unikat("tokens", "create", "bert", **opened.environment("worker")), "a worker may not"


def test_with_an_authority_for_clients_it_serves_who_shows_a_certificate(opened: Opened, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models")
    mine = opened.keys / "clients" / "anna"
    with opened.worker(tmp_path / "models"), opened.service(UNIKAT_CLIENTS_CA="/tls/ca.crt") as variables:
        eventually(lambda: is_healthy(variables))
        target = f"localhost:{opened.port}"
        with Studio(target, ca=mine / "ca.crt", token="") as studio, pytest.raises(Unavailable):
            studio.models()
        identity = mine / "tls.crt", mine / "tls.key"
        with Studio(target, ca=mine / "ca.crt", identity=identity, token="") as studio:
            assert [model.name for model in studio.models()] == ["tiny"]
