"""The override that adds a registry keeps what docs/deploy.md promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.deploy.compose_files import ROOT, Node, load, stages
from unikat_registry.settings import Settings

FILES = ("compose.yaml", "compose.cpu.yaml", "compose.registry.yaml")
each_service = pytest.mark.parametrize("service", ["postgres", "registry"])


def service_of(name: str) -> Node:
    node: Node = load(*FILES)["services"][name]
    return node


@each_service
def test_a_container_can_write_nothing_and_gain_nothing(service: str) -> None:
    node = service_of(service)
    assert (node["read_only"], node["cap_drop"]) == (True, ["ALL"])
    assert node["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged"} & node.keys()


@each_service
def test_a_container_is_checked_restarted_and_given_time_to_stop(service: str) -> None:
    node = service_of(service)
    assert (node["healthcheck"]["test"][0], node["restart"]) == ("CMD", "unless-stopped")
    assert float(node["stop_grace_period"].removesuffix("s")) > Settings().grace_s


def test_the_database_is_reached_by_the_registry_only_and_the_registry_by_this_machine() -> None:
    stack = load(*FILES)
    assert stack["networks"] == {"default": {}, "database": {"internal": True}}
    reached = {name for name, node in stack["services"].items() if "database" in node.get("networks", ())}
    assert reached == {"postgres", "registry"}
    assert service_of("postgres")["networks"] == ["database"]
    assert "ports" not in service_of("postgres")
    assert service_of("registry")["ports"] == ["127.0.0.1:${UNIKAT_REGISTRY_PORT:-50052}:50052"]


def test_what_is_kept_lies_on_volumes_of_its_user() -> None:
    postgres, registry, volumes = service_of("postgres"), service_of("registry"), load(*FILES)["volumes"]
    assert postgres["volumes"] == ["postgres:/var/lib/unikat"]
    assert postgres["environment"]["PGDATA"].startswith("/var/lib/unikat/")
    assert "mkdir /var/lib/unikat && chown 999:999 /var/lib/unikat" in stages("postgres.Dockerfile")[-1].all("RUN")
    assert f"log:{registry['environment']['UNIKAT_REGISTRY_LOG']}" in registry["volumes"]
    assert "install -d -o unikat -g unikat /log" in stages("registry.Dockerfile")[-1].all("RUN")
    assert {"postgres", "log"} <= volumes.keys()
    [user] = stages("registry.Dockerfile")[-1].all("USER")
    assert registry["user"] == f"${{UNIKAT_REGISTRY_USER:-{user}}}"


def test_the_key_is_mounted_read_only_and_nobody_else_has_it() -> None:
    [mount] = [volume for volume in service_of("registry")["volumes"] if isinstance(volume, dict)]
    assert mount["target"] == service_of("registry")["environment"]["UNIKAT_REGISTRY_KEY"]
    assert mount["read_only"] is True
    for name, node in load(*FILES)["services"].items():
        assert name == "registry" or "UNIKAT_LOG_KEYS" not in str(node)


def test_every_variable_that_compose_sets_is_a_setting_of_the_registry() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "unikat_registry", "--help"], cwd=ROOT, env=os.environ | {"COLUMNS": "200"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert set(service_of("registry")["environment"]) <= set(re.findall(r"UNIKAT_[A-Z_]+", done.stdout))
