"""Commands that other packages bring: listed without loading them, and missing extras named."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from unikat.cli.commands import GROUPS, Command, found

ROOT = Path(__file__).parents[2]
HEAVY = (
    "torch", "onnxruntime", "redis", "rq", "grpc", "numpy", "PIL", "unikat_service.server", "unikat_worker.worker",
)  # fmt: skip
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# "unikat train", "unikat models import", … -> its entry point
DECLARED = {f"{words} {name}" for words, group in GROUPS.items() for name in PROJECT["entry-points"][group]}
OFFERED = {f"{words} {name}": command for words in GROUPS for name, command in found(words)}


def python(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", f"import sys\n{program}", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("words", GROUPS)
def test_help_lists_all_commands_and_loads_none_of_them(words: str) -> None:
    program = f"""
from unikat.cli import app
app({[*words.split()[1:], "--help"]}, standalone_mode=False)
print("loaded:", *(name for name in {HEAVY} if name in sys.modules))
"""
    done = python(program)
    assert done.returncode == 0, done.stderr
    text, loaded = done.stdout.rsplit("loaded:", 1)
    assert loaded.split() == []
    listed = {row[1] for line in text.splitlines() if len(row := line.split()) > 2 and row[0] == "│"}
    assert {each.rpartition(" ")[2] for each in DECLARED if each.rpartition(" ")[0] == words} <= listed


def test_the_entry_points_that_are_installed_are_those_declared() -> None:
    assert set(OFFERED) == DECLARED
    extras = {extra for command in OFFERED.values() for extra in command.extras}
    assert extras <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize(("name", "command"), OFFERED.items())
def test_the_line_of_help_is_that_of_the_command(name: str, command: Command) -> None:
    program = typer.main.get_command(command.load())
    loaded = program.commands[name.split()[-1]] if isinstance(program, TyperGroup) else program
    paragraph = inspect.cleandoc(loaded.help or "").partition("\n\n")[0]
    assert " ".join(paragraph.split()) == command.help


@pytest.mark.parametrize(
    ("command", "missing", "wanted"),
    [
        ("serve", "grpc_health", "pip install 'unikat[service]'"),
        ("work", "onnxruntime", "pip install 'unikat[worker]' or pip install 'unikat[worker-gpu]'"),
        ("train", "torch", "pip install 'unikat[training]'"),
        ("models import", "onnx", "pip install 'unikat[import]' or pip install 'unikat[training]'"),
    ],
)
def test_a_missing_extra_is_named(command: str, missing: str, wanted: str) -> None:
    program = "sys.modules[sys.argv.pop(1)] = None\nfrom unikat.cli import main\nmain()"
    done = python(program, missing, *command.split())
    assert done.returncode == 1
    assert f"`unikat {command}` cannot be loaded" in done.stderr
    assert missing in done.stderr
    assert wanted in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "way",
    ["from unikat.cli import main; main()", "import runpy; runpy.run_module('unikat_training', run_name='__main__')"],
)
def test_torch_is_loaded_with_the_wait_policy_of_training(way: str) -> None:
    program = f"""
import os
os.environ.pop("OMP_WAIT_POLICY", None)
class Watcher:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print("policy", os.environ.get("OMP_WAIT_POLICY"))
sys.meta_path.insert(0, Watcher())
sys.argv = ["unikat", "presets"]
{way}
"""
    done = python(program)
    assert done.stdout.startswith("policy PASSIVE\n"), done.stderr
    assert "projected" in done.stdout
