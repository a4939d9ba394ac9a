"""Generates the messages of the TypeScript client: `python -m tests.tools.typescript`, after `npm ci` in its folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import google.rpc

from tests.tools.protos import PROTOS, ROOT

CLIENT: Final = ROOT / "clients" / "typescript"
GENERATED: Final = Path("src/gen")  # of the client
# Details of errors, which come with the package of Python's messages.
DETAILS: Final = "google/rpc/error_details.proto"


def generate(target: Path) -> list[Path]:
    """Write the modules into a folder; returns their paths relative to it. Raises SystemExit with what protoc said."""
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.glob("unikat/v1/*.proto"))
    shared = Path(next(iter(google.rpc.__path__))).parents[1]
    plugin = CLIENT / "node_modules" / ".bin" / "protoc-gen-es"
    target.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{shared}",
        f"--plugin=protoc-gen-es={plugin}", f"--es_out={target}", "--es_opt=target=ts,import_extension=js",
        *sources, DETAILS,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=PROTOS, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return sorted(path.relative_to(target) for path in target.rglob("*_pb.ts"))


if __name__ == "__main__":
    for path in generate(CLIENT / GENERATED):
        print(path)
