"""A contender's server as real processes: started, waited for until it draws, its pictures compared, killed."""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import numpy as np
from PIL import Image

from benchmarks.figures import ROOT
from benchmarks.peers.calls import blocking_call, whole_answer
from benchmarks.peers.contenders import Contender
from benchmarks.peers.doors import Door, Order, png_in, request
from benchmarks.peers.environments import last_lines
from benchmarks.peers.usage import kill_tree
from benchmarks.work import Drawer, Job, Setup
from tests.support.processes import free_port

START_S: Final = 90.0
_SEED: Final = 7


class NotServingError(Exception):
    """A contender does not start, or does not draw what it should; the message has the end of its log."""


@dataclass(frozen=True)
class Running:
    """A server that draws. `pids`: the first process of each part; `first_s`: seconds to each model's first image."""

    contender: Contender
    job: Job
    pids: dict[str, int]
    doors: tuple[Door, ...]
    first_s: tuple[float, ...]
    folder: Path

    def order(self, number: int, count: int = 1) -> Order:
        """What to ask of model `number`."""
        return Order(str(self.job.bundles[number]), number, count)


@contextmanager
def running(
    contender: Contender, bundles: tuple[Path, ...], setup: Setup, png: str, same: bool = True
) -> Iterator[Running]:
    """The server, until the end of the block; `same`: its pictures must be the limit's.

    Raises NotServingError, NotInstalledError.
    """
    programs = contender.programs()
    folder = Path(tempfile.mkdtemp(prefix="bench-"))  # a unix socket's path may have 107 bytes: no deeper
    job = Job(bundles, setup, free_port(), png)
    started = time.perf_counter()
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for part, command in contender.commands(programs, job, folder).items():
            processes[part] = _start(command, contender, job, folder / f"{part}.log")
        try:
            first = tuple(_first_image(contender.doors[-1], job, n, started, processes) for n in range(len(bundles)))
            doors = tuple(door for door in contender.doors if _draws(door, job, same and contender.same))
        except (OSError, ValueError, TimeoutError, grpc.RpcError) as error:
            logs = " ".join(last_lines(path.read_text(errors="replace")) for path in folder.glob("*.log"))
            raise NotServingError(f"{type(error).__name__}: {last_lines(str(error))}; its log: {logs}") from error
        yield Running(contender, job, {part: process.pid for part, process in processes.items()}, doors, first, folder)
    finally:
        for process in reversed(processes.values()):
            kill_tree(process.pid)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def _start(command: list[str], contender: Contender, job: Job, log: Path) -> subprocess.Popen[bytes]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("UNIKAT_", "BENCH_"))}
    paths = {"PYTHONPATH": str(ROOT), "TMPDIR": str(log.parent)}
    if not contender.packages and "PYTHONPATH" in os.environ:
        paths["PYTHONPATH"] += os.pathsep + os.environ["PYTHONPATH"]
    variables = clean | job.environment() | paths | dict(contender.variables)
    with log.open("wb") as file:
        return subprocess.Popen(
            command, cwd=ROOT, env=variables, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )


def _first_image(
    door: Door, job: Job, number: int, started: float, processes: dict[str, subprocess.Popen[bytes]]
) -> float:
    """Ask until the model draws: seconds since the start. Raises TimeoutError."""
    body = request(door, Order(str(job.bundles[number]), number), _SEED)
    problem: Exception | None = None
    while time.perf_counter() < started + START_S:
        for part, process in processes.items():
            if process.poll() is not None:
                raise TimeoutError(f"{part} ended with {process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", job.port), 1.0):
                pass
            with blocking_call(door, job.port) as call:
                png_in(whole_answer(call, body))
        except (OSError, ValueError, grpc.RpcError) as error:
            problem = error
            time.sleep(0.02)
        else:
            return time.perf_counter() - started
    raise TimeoutError(f"no image within {START_S:.0f} s: {problem}")


def _draws(door: Door, job: Job, same: bool) -> bool:
    """Ask for an image of each model and compare it. False for a method that the server does not have."""
    for number, bundle in enumerate(job.bundles):
        try:
            with blocking_call(door, job.port) as call:
                answer = whole_answer(call, request(door, Order(str(bundle), number), _SEED))
        except grpc.RpcError as error:
            if isinstance(error, grpc.Call) and error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return False
            raise
        found = np.asarray(Image.open(io.BytesIO(png_in(answer))))
        if same and not np.array_equal(found, Drawer(bundle, 1).pixels([_SEED])[0]):
            raise ValueError(f"{bundle.parent.name}: another image than the limit draws")
    return True


def wait_for_port(port: int) -> None:
    """Return when somebody listens. Raises TimeoutError."""
    until = time.perf_counter() + START_S
    while time.perf_counter() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port} within {START_S:.0f} s")
