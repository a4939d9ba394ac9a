"""Generates the stubs from protos/: `make protos`. A test compares what is committed with what this makes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

ROOT = Path(__file__).parents[2]
PROTOS = ROOT / "protos"
# What the contract says of what is spoken over HTTP, for the description of that.
COMMENTS: Final = Path("gallery/unikat_gallery/v1/comments.json")
SPOKEN: Final = ("unikat/v1/model.proto", "unikat/v1/studio.proto")
# Lists of a file, a message and an enumeration, by their numbers in a path (descriptor.proto).
_LISTS: Final = {4: "message_type", 5: "enum_type"}
_INNER: Final = {2: "field", 3: "nested_type", 4: "enum_type"}


def generate(target: Path) -> list[Path]:
    """Write the stubs, and the contract's comments, below `target`; returns their paths relative to it."""
    sources = sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.glob("unikat/*/*.proto"))
    # Of protocols of others, messages alone: no client of ours speaks them, and a service needs no stubs.
    ours = [name for name in sources if name.startswith("unikat/v1/")]
    with_services = [name for name in ours if "\nservice " in (PROTOS / name).read_text(encoding="utf-8")]
    _protoc([f"--python_out={target}", f"--pyi_out={target}"], sources)
    plugin = Path(sys.executable).with_name("protoc-gen-mypy_grpc")
    _protoc(
        [f"--grpc_python_out={target}", f"--plugin=protoc-gen-mypy_grpc={plugin}", f"--mypy_grpc_out={target}"],
        with_services,
    )
    (target / COMMENTS).parent.mkdir(parents=True, exist_ok=True)
    (target / COMMENTS).write_text(json.dumps(comments(), indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    return sorted([*(path.relative_to(target) for path in target.glob("unikat/*/*_pb2*.py*")), COMMENTS])


def comments() -> dict[str, str]:
    """What the contract says of messages, fields, enumerations and their values, by full name."""
    with tempfile.NamedTemporaryFile(suffix=".binpb") as file:
        _protoc(["--include_source_info", f"--descriptor_set_out={file.name}"], SPOKEN)
        files = FileDescriptorSet.FromString(Path(file.name).read_bytes())
    return dict(sorted(pair for described in files.file for pair in _comments_of(described)))


def _comments_of(file: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401  # a FileDescriptorProto
    for location in file.source_code_info.location:
        path = list(location.path)
        if not location.leading_comments or len(path) % 2 or path[0] not in _LISTS:
            continue
        holder, name = getattr(file, _LISTS[path[0]])[path[1]], file.package
        is_enum = path[0] == 5
        if not is_enum and not set(path[2::2]) <= _INNER.keys():  # of a oneof, which has no name in JSON
            continue
        for kind, index in zip(path[2::2], path[3::2], strict=True):
            name = f"{name}.{holder.name}"
            holder = getattr(holder, "value" if is_enum else _INNER[kind])[index]
            is_enum = kind == 4
        yield f"{name}.{holder.name}", " ".join(location.leading_comments.split())


def _protoc(options: list[str], sources: Sequence[str]) -> None:
    command = [sys.executable, "-W", "ignore", "-m", "grpc_tools.protoc", "-I", str(PROTOS), *options, *sources]
    result = subprocess.run(command, cwd=PROTOS, capture_output=True, text=True)
    if result.returncode:
        raise SystemExit(result.stderr)


if __name__ == "__main__":
    for path in generate(ROOT):
        print(path)
