"""The override that adds the gallery: what it may do, who reaches it, and its health check."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from deploy import healthcheck
from tests.deploy.compose_files import ROOT, Node, load, stages
from tests.support.processes import free_port

FILES = ("compose.yaml", "compose.cpu.yaml", "compose.gallery.yaml")


def gallery() -> Node:
    node: Node = load(*FILES)["services"]["gallery"]
    return node


def test_the_container_can_write_its_database_only_and_this_machine_alone_reaches_it() -> None:
    node = gallery()
    assert (node["read_only"], node["cap_drop"]) == (True, ["ALL"])
    assert node["security_opt"] == ["no-new-privileges:true"]
    assert node["ports"] == ["127.0.0.1:${UNIKAT_GALLERY_PORT:-8080}:8080"]
    assert node["volumes"] == ["gallery:/gallery"]
    assert "install -d -o unikat -g unikat /gallery" in stages("gallery.Dockerfile")[-1].all("RUN")
    assert node["environment"]["UNIKAT_GALLERY_DATABASE"].startswith("/gallery/")
    assert node["depends_on"] == {"service": {"condition": "service_healthy"}}


def test_every_variable_is_a_setting() -> None:
    command = [sys.executable, "-m", "unikat_gallery", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(gallery()["environment"]) <= set(re.findall(r"UNIKAT_[A-Z_]+", done.stdout))


def test_the_health_check_says_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("UNIKAT_GALLERY_LISTEN", f"0.0.0.0:{port}")
    monkeypatch.setenv("UNIKAT_GALLERY_URL", "https://art.example")
    assert f"port {port}" in (healthcheck.check_gallery() or "")
