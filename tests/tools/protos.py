"""Generates the stubs from protos/: `make protos`. A test compares what is committed with what this makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"


def generate(target: Path) -> list[Path]:
    """Write the stubs below `target`; returns their paths relative to it."""
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.glob("unikat/v1/*.proto"))
    with_services = [name for name in sources if "\nservice " in (PROTOS / name).read_text(encoding="utf-8")]
    _protoc([f"--python_out={target}", f"--pyi_out={target}"], sources)
    plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    _protoc(
        [f"--grpc_python_out={target}", f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--mypy_grpc_out={target}"],
        with_services,
    )
    return sorted(path.relative_to(target) for path in target.glob("unikat/v1/*_pb2*.py*"))


def _protoc(options: list[str], sources: list[str]) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", "-I", str(PROTOS), *options, *sources]
    result = subprocess.run(command, cwd=PROTOS, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)


if __name__ == "__main__":
    for path in generate(ROOT):
        print(path)
