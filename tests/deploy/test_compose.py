"""The compose files keep what docs/deploy.md promises. (`make compose-test` runs them.)"""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.deploy.compose_files import DEPLOY, ROOT, Node, load, stages
from unikat_service.settings import Settings

FILES = {
    "gpu": ("compose.yaml",),
    "cpu": ("compose.yaml", "compose.cpu.yaml"),
    "tls": ("compose.yaml", "compose.cpu.yaml", "compose.tls.yaml"),
}
each_stack = pytest.mark.parametrize("stack", FILES)
CREDENTIALS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
OBJECT_STORE = CREDENTIALS | {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}
OUT = "${UNIKAT_OUT_DIR:-out}:/out"
each_service = pytest.mark.parametrize("service", ["valkey", "service", "worker"])


def service_of(stack: str, service: str) -> Node:
    node: Node = load(*FILES[stack])["services"][service]
    return node


def seconds(text: str) -> float:
    assert re.fullmatch(r"[0-9]+s", text), text
    return float(text[:-1])


@each_stack
@each_service
def test_a_container_can_write_nothing_and_gain_nothing(stack: str, service: str) -> None:
    node = service_of(stack, service)
    assert node["read_only"] is True
    assert node["cap_drop"] == ["ALL"]
    assert "cap_add" not in node
    assert node.get("privileged", False) is False
    assert node["security_opt"] == ["no-new-privileges:true"]
    if service == "worker":
        [user] = stages("worker.Dockerfile")[-1].all("USER")
        assert node["user"] == f"${{UNIKAT_WORKER_USER:-{user}}}"
    elif (service, stack) == ("service", "tls"):
        [user] = stages("service.Dockerfile")[-1].all("USER")
        assert node["user"] == f"${{UNIKAT_SERVICE_USER:-{user}}}"
    else:
        assert "user" not in node  # the image's, which is not root (test_dockerfiles.py)


@each_stack
@each_service
def test_a_container_is_checked_restarted_and_given_time_to_stop(stack: str, service: str) -> None:
    node = service_of(stack, service)
    check = node["healthcheck"]
    assert check["test"][0] == "CMD"
    assert seconds(check["timeout"]) < seconds(check["interval"])
    assert node["restart"] == "unless-stopped"
    assert seconds(node["stop_grace_period"]) >= 30


@each_stack
def test_only_the_service_is_published_and_to_this_machine_only_unless_told_otherwise(stack: str) -> None:
    published = {name: node.get("ports") for name, node in load(*FILES[stack])["services"].items()}
    ports = "${UNIKAT_ADDRESS:-127.0.0.1}:${UNIKAT_PORT:-50051}:50051"
    assert published == {"valkey": None, "service": [ports], "tokens": None, "worker": None}


def test_what_is_open_to_other_machines_is_encrypted_and_serves_nobody_without_a_name() -> None:
    variables = service_of("tls", "service")["environment"]
    assert variables["UNIKAT_TLS_CERT"]
    assert variables["UNIKAT_TLS_KEY"]
    assert (variables["UNIKAT_ALLOW_PLAINTEXT"], variables["UNIKAT_ANONYMOUS"]) == ("0", "none")


@each_stack
def test_valkey_keeps_everything_on_a_volume_and_forgets_nothing(stack: str) -> None:
    valkey = service_of(stack, "valkey")
    words = valkey["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert words[0] == "valkey-server"
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "${UNIKAT_APPENDFSYNC:-everysec}"
    assert options["--maxmemory-policy"] == "noeviction"
    assert valkey["volumes"][0] == f"valkey:{options['--dir']}"
    assert "valkey" in load(*FILES[stack])["volumes"]


@each_stack
def test_models_are_mounted_read_only(stack: str) -> None:
    worker = service_of(stack, "worker")
    [mount] = [volume for volume in worker["volumes"] if isinstance(volume, dict)]
    assert mount["source"] == "${UNIKAT_MODELS_DIR:-../models}"
    assert mount["target"] == worker["environment"]["UNIKAT_MODELS"]
    assert mount["read_only"] is True
    assert (DEPLOY / "../models").resolve() == ROOT / "models"


@each_stack
def test_batches_write_to_a_volume_that_only_workers_have(stack: str) -> None:
    stack_file = load(*FILES[stack])
    mounted = {name: OUT in node.get("volumes", ()) for name, node in stack_file["services"].items()}
    assert mounted == {"valkey": False, "service": False, "tokens": False, "worker": True}
    assert "out" in stack_file["volumes"]


@each_stack
def test_service_and_workers_open_the_same_destinations_by_default_the_volume(stack: str) -> None:
    service, worker = (service_of(stack, name)["environment"]["UNIKAT_DESTINATIONS"] for name in ("service", "worker"))
    assert service == worker == f"${{UNIKAT_DESTINATIONS:-file://{OUT.rpartition(':')[2]}}}"


@each_stack
def test_credentials_of_an_object_store_go_to_workers_only_and_only_where_they_are_set(stack: str) -> None:
    for name, node in load(*FILES[stack])["services"].items():
        variables = node.get("environment", {})
        found = {variable: value for variable, value in variables.items() if variable.startswith("AWS_")}
        # Without a value compose hands on its own variable, and none where it has none: an empty one would count.
        assert found == (dict.fromkeys(OBJECT_STORE) if name == "worker" else {})


def test_workers_reserve_a_gpu_and_the_override_takes_that_back() -> None:
    gpu, cpu = (service_of(stack, "worker") for stack in ("gpu", "cpu"))
    assert gpu["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    ]
    assert "devices" not in cpu["deploy"]["resources"]["reservations"]
    assert (gpu["build"]["args"]["EXTRA"], cpu["build"]["args"]["EXTRA"]) == ("worker-gpu", "worker")
    assert gpu["image"] != cpu["image"]
    assert gpu["deploy"]["replicas"] == cpu["deploy"]["replicas"] == "${UNIKAT_WORKERS:-1}"


def test_a_service_that_stops_has_time_to_end_its_calls() -> None:
    assert seconds(service_of("gpu", "service")["stop_grace_period"]) > Settings().grace_s


@pytest.mark.parametrize("program", ["service", "worker"])
def test_every_variable_that_compose_sets_is_a_setting_of_the_program(program: str) -> None:
    command, wide = [sys.executable, "-m", f"unikat_{program}", "--help"], os.environ | {"COLUMNS": "200"}
    done = subprocess.run(command, cwd=ROOT, env=wide, capture_output=True, text=True)
    settings = set(re.findall(r"UNIKAT_[A-Z_]+", done.stdout))
    for stack in FILES:
        assert set(service_of(stack, program)["environment"]) - OBJECT_STORE <= settings


def test_every_variable_of_the_compose_files_is_documented() -> None:
    documented = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    for file in DEPLOY.glob("compose*.yaml"):
        for name in re.findall(r"\$\{(UNIKAT_[A-Z_]+)", file.read_text(encoding="utf-8")):
            assert f"`{name}`" in documented, f"{name} of {file.name}"
    for name in OBJECT_STORE:
        assert f"`{name}`" in documented


@each_stack
def test_no_secret_is_written_down(stack: str) -> None:
    for service in load(*FILES[stack])["services"].values():
        for name, value in service.get("environment", {}).items():
            if name in CREDENTIALS:
                assert value is None
                continue
            assert not re.search(r"PASSWORD|SECRET|TOKEN", name)
            assert "@" not in (value or "")  # redis://user:password@host


@each_stack
def test_each_program_is_a_user_of_valkey_where_there_are_users(stack: str) -> None:
    valkey = service_of(stack, "valkey")
    [acl] = [volume for volume in valkey["volumes"] if isinstance(volume, dict)]
    assert acl["source"] == "${UNIKAT_ACL_FILE:-./open.acl}"
    assert acl["target"] in valkey["command"]
    for name, user in (("service", "SERVICE"), ("worker", "WORKER"), ("tokens", "OPERATOR")):
        url = service_of(stack, name)["environment"]["UNIKAT_REDIS_URL"]
        assert url == f"${{UNIKAT_{user}_REDIS_URL:-redis://valkey:6379/0}}"
