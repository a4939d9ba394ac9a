"""The README keeps its promises: its code blocks are executed, block by block, as a newcomer would.

Only addresses and the amount of training are set from outside (by the documented environment variables); `make`,
`docker` and `pip` lines are checked against what they name, since this test runs inside what they would set up.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.reflection import call_by_reflection
from tests.support.processes import ROOT, Program, eventually, free_port

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.M | re.S)
LINES = [
    line
    for language, block in BLOCKS
    if language == "sh"
    for line in block.replace("\n  ", " ").splitlines()
    if line.strip()
]


@dataclass(frozen=True)
class Studio:
    """`unikat up`, as the README starts it, in a folder that stands for a fresh clone."""

    folder: Path
    target: str
    environment: dict[str, str]

    def run(self, line: str) -> str:
        """Run a line of the README; its output."""
        command = [
            part.replace(".venv/bin/", f"{Path(sys.executable).parent}/") for part in shlex.split(line, comments=True)
        ]
        environment = os.environ | self.environment
        result = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=110)
        assert result.returncode == 0, f"{line}\n{result.stdout}\n{result.stderr}"
        return result.stdout


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("clone")
    for name in ("models", "out"):
        (folder / name).mkdir()
    (folder / "models" / "portraits").symlink_to(ROOT / "models" / "portraits")
    target = f"127.0.0.1:{free_port()}"
    environment = {
        "UNIKAT_TARGET": target,
        "UNIKAT_LISTEN": target,
        "UNIKAT_MODELS": str(folder / "models"),
        "UNIKAT_DATA": str(folder / "data-of-up"),
        "UNIKAT_DESTINATIONS": str(folder / "out"),
        "UNIKAT_TRAIN_IMAGES": "64",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "200",
    }
    (line,) = [line for line in LINES if "unikat up" in line]
    with Program("unikat.cli", *shlex.split(line)[1:], env=environment) as up:
        up.wait_for_line("Unikat is ready", deadline=60)
        yield Studio(folder, target, environment)


def lines_with(*words: str) -> list[str]:
    found = [line for line in LINES if all(word in line for word in words)]
    assert found, f"no line of the README has {words}"
    return found


def test_every_block_is_checked_by_a_test_here() -> None:
    known = (
        "make ",
        ".venv/bin/unikat ",
        "grpcurl ",
        "docker compose ",
        ".venv/bin/pip ",
    )
    assert [line for line in LINES if not line.startswith(known)] == []
    assert {language for language, _ in BLOCKS} == {"sh", "python"}


def test_the_make_targets_exist_and_say_what_they_do() -> None:
    for line in lines_with("make "):
        target = shlex.split(line, comments=True)[1]
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def test_the_compose_and_pip_lines_name_what_exists() -> None:
    for line in lines_with("docker compose"):
        files = re.findall(r"-f (\S+)", line)
        assert files
        assert all((ROOT / file).is_file() for file in files)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for line in lines_with("pip install"):
        (extra,) = re.findall(r"\[(\w+)\]", line)
        assert extra in extras


def test_every_link_leads_somewhere() -> None:
    for link in re.findall(r"\]\(([^)]+)\)", README):
        file, _, anchor = link.partition("#")
        assert (ROOT / file).exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}, link


def test_the_command_line_shows_the_model_and_draws_blends(studio: Studio) -> None:
    (show,) = lines_with("unikat models show")
    shown = studio.run(show)
    assert "style" in shown
    assert "glasses" in shown
    (generate,) = lines_with("unikat generate portraits")
    studio.run(generate)
    pictures = sorted((studio.folder / "out").glob("*.png"))
    assert len([p for p in pictures if "sheet" not in p.name]) == 16
    assert any("sheet" in p.name for p in pictures)


def test_a_batch_is_drawn_and_verified(studio: Studio) -> None:
    (create,) = lines_with("unikat batch create")
    studio.run(create)
    (verify,) = lines_with("unikat batch verify")
    assert "1,400 of 1,400 images" in studio.run(verify)
    assert (studio.folder / "out" / "faces" / "contact-sheet.png").is_file()


def test_the_python_example_runs(studio: Studio) -> None:
    (program,) = [block for language, block in BLOCKS if language == "python"]
    program = program.replace("localhost:50051", studio.target).replace("out/", "out-python/")
    (studio.folder / "out-python").mkdir()
    output = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=studio.folder,
        env=os.environ | studio.environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert output.returncode == 0, output.stderr
    assert len(output.stdout.splitlines()) == 16
    assert len(list((studio.folder / "out-python").glob("*.png"))) == 16


def test_the_grpcurl_example_works_for_a_client_that_knows_only_reflection(studio: Studio) -> None:
    (line,) = lines_with("grpcurl")
    *_, body, address, method = shlex.split(line)
    assert address == "localhost:50051"
    answers = call_by_reflection(studio.target, method, json.loads(body))
    kinds = [next(iter(answer)) for answer in answers]
    assert kinds == ["accepted", "artwork", "artwork", "finished"]


@pytest.mark.timeout(300)
def test_a_model_of_ones_own_is_trained_and_served_without_a_restart(studio: Studio) -> None:
    rng = np.random.default_rng(3)
    for category, colour in (("red", (220, 40, 30)), ("green", (40, 180, 60)), ("blue", (30, 60, 220))):
        folder = studio.folder / "my-art" / category
        folder.mkdir(parents=True)
        for number in range(8):
            pixels = np.full((48, 48, 3), colour, np.int16) + rng.integers(-25, 25, (48, 48, 3))
            pixels[8 + number : 20 + number, 10:30] = 255
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    for line in lines_with(".venv/bin/unikat fit"):
        studio.run(line)
    eventually(lambda: "my-art@1" in studio.run(".venv/bin/unikat models"))  # within seconds, as the README says
    (generate,) = lines_with("unikat generate my-art")
    studio.run(generate)
    assert len([p for p in (studio.folder / "out" / "my-art").glob("*.png") if "sheet" not in p.name]) == 16
