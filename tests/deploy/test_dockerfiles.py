"""The images hold what they need and nothing else. (`make compose-test` looks into the running containers.)"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
import venv
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tests.deploy.compose_files import DEPLOY, ROOT, load, stages

PROGRAMS = ("service.Dockerfile", "worker.Dockerfile", "registry.Dockerfile", "gallery.Dockerfile")
each_file = pytest.mark.parametrize("file", sorted(path.name for path in DEPLOY.glob("*.Dockerfile")))
each_program = pytest.mark.parametrize("file", PROGRAMS)


def requirements_of(extra: str) -> set[str]:
    """Names of the distributions that an extra asks for, those of the extras that it includes among them."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    names: set[str] = set()
    for requirement in [*project["optional-dependencies"][extra], *project["dependencies"]]:
        name, extras = re.match(r"([A-Za-z0-9_-]+)(?:\[(.*?)\])?", requirement).groups()  # type: ignore[union-attr]  # a requirement begins with a name
        if name == "unikat":
            names = names.union(*(requirements_of(included) for included in extras.split(",")))
        else:
            names.add(name)
    return names


@each_file
def test_every_base_image_is_pinned(file: str) -> None:
    for stage in stages(file):
        assert re.fullmatch(r"docker\.io/[a-z/]+:[0-9][a-z0-9.-]*", stage.base)


@each_file
def test_the_final_stage_runs_as_a_user_that_is_not_root(file: str) -> None:
    user, group = stages(file)[-1].all("USER")[-1].split(":")
    assert int(user) > 0
    assert int(group) > 0


@each_program
def test_the_final_stage_installs_nothing(file: str) -> None:
    final = stages(file)[-1]
    for step in final.all("RUN"):
        assert not re.search(r"\b(apt|apt-get|apk|pip|gcc|g\+\+|make|curl|wget)\b", step)
    copied = final.all("COPY")
    assert "--from=build /opt/unikat /opt/unikat" in copied
    assert len(copied) == 2  # and the health check
    assert not final.all("ADD")


@each_program
def test_everything_is_installed_by_hash_and_the_dependencies_before_the_code_is_copied(file: str) -> None:
    steps = stages(file)[0].steps
    code = next(i for i, step in enumerate(steps) if step == ("COPY", "unikat unikat"))
    commands = [
        (i, command)
        for i, (name, step) in enumerate(steps)
        if name == "RUN"
        for command in step.split(" && ")
        if " pip " in command
    ]
    by_hash = [(i, command) for i, command in commands if "--require-hashes" in command]
    assert len(by_hash) == 2
    assert all(i < code for i, _ in by_hash)
    for _, command in commands:  # whatever else pip does, it fetches nothing
        assert ("--require-hashes" in command) != ("--no-index" in command and "--no-deps" in command)


@each_program
def test_the_image_holds_a_list_of_its_contents(file: str) -> None:
    build, final = stages(file)[0], stages(file)[-1]
    [command] = [step for step in build.all("RUN") if "cyclonedx_py" in step]
    assert build.steps.index(("RUN", command)) == len(build.steps) - 1  # after all is installed
    assert command.split()[-1] == "/opt/unikat/bin/python"
    assert "--output-file /opt/unikat/sbom.cdx.json" in command
    assert "--from=build /opt/unikat /opt/unikat" in final.all("COPY")


def test_the_command_of_the_images_writes_a_valid_list(tmp_path: Path) -> None:
    """In the same words, of an environment in which the service's packages are."""
    venv.create(tmp_path / "environment", symlinks=True, with_pip=False)
    [site] = tmp_path.glob("environment/lib/python*/site-packages")
    locked = re.findall(r"^([\w.-]+)==", (ROOT / "requirements" / "service.txt").read_text(), re.MULTILINE)
    there = {each.name.lower(): each for each in distributions() if each.name.lower() in {*locked, "unikat"}}
    for each in there.values():
        [metadata] = {file.parts[0] for file in each.files or () if file.name == "METADATA"}
        (site / metadata).symlink_to(str(each.locate_file(metadata)))
    [command] = [step for step in stages("service.Dockerfile")[0].all("RUN") if "cyclonedx_py" in step]
    target = tmp_path / "sbom.cdx.json"
    words = {
        "python3": sys.executable,
        "/opt/unikat/bin/python": str(tmp_path / "environment" / "bin" / "python"),
        "/opt/unikat/sbom.cdx.json": str(target),
    }
    done = subprocess.run(
        [*(words.get(word, word) for word in command.split()), "--validate"], cwd=ROOT, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(target.read_bytes())
    assert (found["bomFormat"], found["metadata"]["component"]["name"]) == ("CycloneDX", "unikat")
    components = {component["name"].lower(): component["version"] for component in found["components"]}
    assert components == {name: each.version for name, each in there.items() if name != "unikat"}
    assert {"grpcio", "redis", "rq"} <= components.keys()


@each_file
def test_no_stage_takes_a_secret(file: str) -> None:
    for stage in stages(file):
        for step in [*stage.all("ARG"), *stage.all("ENV")]:
            assert not re.search(r"PASSWORD|SECRET|TOKEN|CREDENTIAL", step, re.IGNORECASE)


def test_what_a_program_is_built_from_holds_no_torch_and_one_onnxruntime() -> None:
    assert "-r requirements/service.txt" in stages("service.Dockerfile")[0].all("RUN")[1]
    assert not {"torch", "onnxruntime", "onnxruntime-gpu"} & requirements_of("service")
    for file, runtime in (("compose.yaml", "onnxruntime-gpu"), ("compose.cpu.yaml", "onnxruntime")):
        extra = load(file)["services"]["worker"]["build"]["args"]["EXTRA"]
        found = {"torch", "onnxruntime", "onnxruntime-gpu"} & requirements_of(extra)
        assert found == {runtime}


def test_only_the_worker_holds_what_writes_the_files_of_batches() -> None:
    writers = {"fsspec", "pyarrow", "s3fs"}
    assert "-r requirements/${EXTRA}.txt" in stages("worker.Dockerfile")[0].all("RUN")[1]
    for file in ("compose.yaml", "compose.cpu.yaml"):
        extra = load(file)["services"]["worker"]["build"]["args"]["EXTRA"]
        assert writers <= requirements_of(extra) | requirements_of("s3")
    assert not writers & requirements_of("service")


def test_a_new_volume_for_batches_belongs_to_the_worker_that_writes_there() -> None:
    final = stages("worker.Dockerfile")[-1]
    [user] = final.all("USER")
    [created] = [step for step in final.all("RUN") if "useradd" in step]
    [name, number] = re.search(r"useradd --uid (\d+) --gid (\w+) .* \2$", created).group(2, 1)  # type: ignore[union-attr]  # the test fails either way
    assert user == f"{number}:{number}"
    assert f"install -d -o {name} -g {name} /out" in final.all("RUN")
    mounts = load("compose.yaml")["services"]["worker"]["volumes"]
    assert any(isinstance(mount, str) and mount.endswith(":/out") for mount in mounts)


def test_the_worker_needs_no_home_of_the_user_that_it_runs_as() -> None:
    [variables] = [step for step in stages("worker.Dockerfile")[-1].all("ENV") if "PATH=" in step]
    assert "HOME=/tmp" in variables.split()


@each_program
def test_the_ignore_file_lets_through_what_is_copied(file: str) -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in lines
    allowed = {line[1:] for line in lines if line.startswith("!")}
    for stage in stages(file):
        for step in stage.all("COPY"):
            words = step.split()
            if not words[0].startswith("--"):
                assert set(words[:-1]) <= allowed
                assert all((ROOT / word).exists() for word in words[:-1])
