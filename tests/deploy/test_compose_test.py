"""What the compose test says where it cannot run. (Where it can, it is `make compose-test`.)"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.deploy.compose_files import ROOT


def compose_test(path: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """`python -m deploy.compose_test` with nothing but `path` to find programs in."""
    command = [sys.executable, "-m", "deploy.compose_test", *args]
    environment = {**os.environ, "PATH": str(path), "COLUMNS": "200"}
    environment.pop("COMPOSE", None)
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_without_an_engine_it_says_so_and_fails(tmp_path: Path) -> None:
    done = compose_test(tmp_path)
    assert done.returncode == 1
    assert "no docker (with its compose plugin) or podman (with podman-compose) here" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_compose_command_alone_is_no_engine(tmp_path: Path) -> None:
    done = compose_test(tmp_path, "--compose", "podman-compose")
    assert done.returncode == 1
    assert "no docker" in done.stdout
