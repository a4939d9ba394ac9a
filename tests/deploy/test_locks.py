"""What the images install is locked: each distribution once, with hashes, as pyproject.toml and constraints say."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, requires
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.deploy.compose_files import ROOT
from tests.deploy.test_dockerfiles import requirements_of

REQUIREMENTS: Final = ROOT / "requirements"
EXTRAS: Final = {
    "service": ("service", "credentials", "traces"), "worker": ("worker", "s3", "credentials", "traces"),
    "worker-gpu": ("worker-gpu", "s3", "credentials", "traces"),
    "registry": ("registry", "credentials", "traces"), "gallery": ("gallery",),
}  # fmt: skip
IMAGE: Final = {"python_version": "3.12", "python_full_version": "3.12.0", "sys_platform": "linux", "extra": ""}
each_lock = pytest.mark.parametrize("lock", [*EXTRAS, "build"])


def entries(name: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Name -> the pinned requirement and its hashes, of those that an image installs."""
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    found: dict[str, tuple[Requirement, list[str]]] = {}
    for line in text.splitlines():
        words, hashes = line.split(" --hash=")[0], re.findall(r"--hash=(\S+)", line)
        requirement = Requirement(words)
        if requirement.marker is None or requirement.marker.evaluate(IMAGE):
            assert canonicalize_name(requirement.name) not in found
            found[canonicalize_name(requirement.name)] = requirement, hashes
    return found


def constraints() -> dict[str, str]:
    lines = (REQUIREMENTS / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    return {canonicalize_name(name): version for name, version in pairs}


@each_lock
def test_every_distribution_is_pinned_with_hashes(lock: str) -> None:
    for requirement, hashes in entries(lock).values():
        assert re.fullmatch(r"==[0-9][A-Za-z0-9.]*", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", each) for each in hashes)


@each_lock
def test_the_lock_names_no_registry(lock: str) -> None:
    text = (REQUIREMENTS / f"{lock}.txt").read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"^--?(i|f|index-url|extra-index-url|find-links)\b", text, re.MULTILINE)


@each_lock
def test_the_lock_has_the_versions_that_are_tested(lock: str) -> None:
    tested = constraints()
    for name, (requirement, _) in entries(lock).items():
        if name in tested:
            assert str(requirement.specifier) == f"=={tested[name]}", f"run `make lock`: {requirement}"


@pytest.mark.parametrize("lock", EXTRAS)
def test_the_lock_fits_pyproject(lock: str) -> None:
    locked = entries(lock)
    for extra in EXTRAS[lock]:
        for name in requirements_of(extra):
            assert canonicalize_name(name) in locked, f"run `make lock`: {name} is missing"


@each_lock
def test_nothing_that_a_distribution_needs_is_left_out(lock: str) -> None:
    locked = entries(lock)
    looked_at = 0
    for name in locked:
        try:
            needs = requires(name) or []
        except PackageNotFoundError:  # of CUDA: not installed here
            continue
        looked_at += 1
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate(IMAGE):
                there = locked.get(canonicalize_name(need.name))
                assert there is not None, f"{name} needs {need}"
                [pinned] = there[0].specifier
                assert need.specifier.contains(pinned.version, prereleases=True), f"{name} needs {need}"
    assert looked_at > 15
