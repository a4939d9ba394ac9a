"""The manifests of deploy/kubernetes as data: as they stand in their files, and as kustomize renders them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.deploy.compose_files import DEPLOY, Node

FOLDER: Final = DEPLOY / "kubernetes"
COMPONENTS: Final = ("gallery", "registry", "tls", "gpu", "autoscaling")
REQUIRED: Final = "UNIKAT_TEST_KUSTOMIZE"  # set to 1, tests fail where there is no kustomize
WORKLOADS: Final = ("Deployment", "StatefulSet")


@cache
def documents(path: Path) -> Sequence[Node]:
    """What a file holds."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def resources(*folders: str) -> Iterator[Node]:
    """The resources that kustomizations of these folders name, as they stand in their files."""
    for folder in folders:
        (kustomization,) = documents(FOLDER / folder / "kustomization.yaml")
        for name in kustomization.get("resources", ()):
            yield from documents(FOLDER / folder / name)


def workload(name: str, found: Sequence[Node] | None = None) -> Node:
    """The Deployment or StatefulSet of a name; by default, of the files without kustomize."""
    every = found or [*resources("base", "gallery", "registry")]
    (node,) = [each for each in every if each["kind"] in WORKLOADS and each["metadata"]["name"] == name]
    return node


def container(node: Node) -> Node:
    """The one container of a workload, init containers aside."""
    (found,) = node["spec"]["template"]["spec"]["containers"]
    return dict(found)


@pytest.fixture
def kustomize() -> list[str]:
    """The command that renders a folder; without it, the test is left out."""
    for program, words in (("kustomize", ["build"]), ("kubectl", ["kustomize"])):
        if found := shutil.which(program):
            return [found, *words]
    if os.environ.get(REQUIRED):
        pytest.fail("there is no kustomize, nor kubectl, which has it")
    pytest.skip("there is no kustomize, nor kubectl, which has it")


def rendered(kustomize: list[str], folder: Path, *components: str) -> list[Node]:
    """The base with components, by a kustomization like the one that people copy. `folder` is the test's own."""
    shutil.copytree(FOLDER, folder / "kubernetes", dirs_exist_ok=True)
    path = folder / "kubernetes" / "kustomization.yaml"
    (kustomization,) = documents(path)
    path.write_text(yaml.safe_dump(kustomization | {"components": list(components)}), encoding="utf-8")
    done = subprocess.run([*kustomize, str(path.parent)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))
