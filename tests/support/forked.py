"""Programs that start in hundredths of a second: forked from a process that has imported them, instead of 0.5 s each.

They are processes of their own like any other, with their own environment, outputs, signals and exit code.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final

ROOT: Final = Path(__file__).resolve().parents[2]
# What a program imports, but ONNX Runtime and what imports it: it starts a thread, which a forked process would lack.
IMPORTS: Final = {
    "unikat_service": ("unikat_service.__main__",),
    "unikat_registry": ("unikat_registry.__main__",),
    "unikat.cli": ("unikat.cli", "unikat.client", "unikat.aio", "unikat.cli.batch"),
    "unikat_worker": (
        *("unikat_worker.admission", "unikat_worker.batches.places", "unikat_worker.batches.writers"),
        *("unikat_worker.buckets", "unikat_worker.encoding", "unikat_worker.marks", "unikat_worker.settlement"),
        *("unikat_worker.state", "unikat.originality", "unikat.queue.batches.progress", "unikat.queue.link"),
        *("unikat.queue.registry", "unikat.queue.server", "unikat.queue.workers", "rq.worker"),
    ),
}
# Variables that the interpreter, or a library while it is imported, does not look at.
LATE: Final = ("UNIKAT_", "NO_COLOR", "COLUMNS", "PYTHONUNBUFFERED")


class Forked:
    """The part of `subprocess.Popen` that tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: IO[str] | None = None
        self.stdout: IO[str] | None = None
        self._ended = threading.Event()

    def end(self, code: int) -> None:
        """It has ended."""
        self.returncode = code
        self._ended.set()

    def poll(self) -> int | None:
        """The exit code, where it has ended."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code. Raises subprocess.TimeoutExpired."""
        if not self._ended.wait(timeout):
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Where it has not ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """A process that has imported a program."""

    def __init__(self, module: str) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("UNIKAT_")}
        clean |= {"PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"}  # NumPy is to start no thread either
        command = [sys.executable, "-m", "tests.support.fork_server", module, *IMPORTS[module]]
        self._server = subprocess.Popen(command, cwd=ROOT, stdin=theirs.fileno(), env=clean, start_new_session=True)
        theirs.close()
        self._started: queue.SimpleQueue[Forked] = queue.SimpleQueue()
        self._asking = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()
        atexit.register(self.close)

    def start(
        self, arguments: Sequence[str], environment: Mapping[str, str], outputs: tuple[int, int], folder: Path = ROOT
    ) -> Forked:
        """A process with these descriptors as its outputs, in a folder."""
        request = {"arguments": arguments, "environment": dict(environment), "folder": str(folder)}
        with self._asking:
            socket.send_fds(self._control, [json.dumps(request).encode()], outputs)
            return self._started.get(timeout=60)

    def start_piped(self, arguments: Sequence[str], environment: Mapping[str, str]) -> Forked:
        """A process with both outputs in its `stdout`."""
        out, theirs = os.pipe()
        process = self.start(arguments, environment, (theirs, theirs))
        os.close(theirs)
        process.stdout = os.fdopen(out, "r", encoding="utf-8")
        return process

    def run(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> subprocess.CompletedProcess[str]:
        """What `subprocess.run` does. Raises subprocess.TimeoutExpired after a minute."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as errors:
            process = self.start(arguments, environment, (out.fileno(), errors.fileno()), folder)
            try:
                code = process.wait(60)
            finally:
                process.kill()
            out.seek(0)
            errors.seek(0)
            return subprocess.CompletedProcess(list(arguments), code, out.read(), errors.read())

    def close(self) -> None:
        """No more starts; what was started goes on."""
        self._control.shutdown(socket.SHUT_RDWR)
        self._server.wait()
        self._control.close()

    def _listen(self) -> None:
        running: dict[int, Forked] = {}
        while answer := self._control.recv(4096):
            told = json.loads(answer)
            if "code" in told:
                running.pop(told["pid"]).end(told["code"])
            else:
                running[told["pid"]] = Forked(told["pid"])
                self._started.put(running[told["pid"]])


@cache
def server_of(module: str) -> ForkServer:
    """The one of this test process, started with the first program."""
    return ForkServer(module)


def can_fork(module: str, environment: Mapping[str, str]) -> bool:
    """Whether a forked process is what a fresh one with these variables would be."""
    return module in IMPORTS and all(name.startswith(LATE) for name in environment)
