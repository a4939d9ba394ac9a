"""Programs of this project as real processes: started, waited for, killed."""

from __future__ import annotations

import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from tests.support.forked import Forked, can_fork, server_of

ROOT = Path(__file__).resolve().parents[2]

T = TypeVar("T")


class Program:
    """`python -m <module>`, its output read line by line by a thread."""

    def __init__(self, module: str, *args: str, env: Mapping[str, str] | None = None) -> None:
        """Settings of the caller's environment (UNIKAT_…) do not reach the program; `env` does.

        A service, worker or registry is forked from a process that has imported it: a start takes a tenth of the time.
        """
        given = dict(env or {})
        clean = {name: value for name, value in os.environ.items() if not name.startswith("UNIKAT_")}
        self.name = module
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        # Most tests have a Valkey that keeps nothing: it is faster, and nothing is to outlive it.
        environment = clean | {"PYTHONUNBUFFERED": "1", "UNIKAT_ALLOW_VOLATILE": "1"} | given
        self.process: subprocess.Popen[str] | Forked
        if can_fork(module, given):
            self.process = server_of(module).start_piped(args, environment)
        else:
            self.process = _started(module, args, environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def output(self) -> str:
        """Everything that it printed so far, standard error included."""
        with self._news:
            return "\n".join(self.lines)

    def wait_for_line(self, pattern: str, deadline: float = 30.0) -> re.Match[str]:
        """The first line, printed before or yet to come, in which `pattern` is found.

        Raises AssertionError with the output if the program ends or `deadline` seconds pass without it.
        """
        until = time.monotonic() + deadline
        seen = 0
        while True:
            with self._news:
                while seen < len(self.lines):
                    match = re.search(pattern, self.lines[seen])
                    if match:
                        return match
                    seen += 1
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    break
                self._news.wait(left)
        what = f"ended with {self.process.poll()}" if self._ended else f"said nothing of it in {deadline} s"
        raise AssertionError(f"{self.name}: waited for {pattern!r}, but it {what}:\n{self.output}")

    def kill(self) -> None:
        """SIGKILL to it and to what it started; returns when it is gone."""
        self.signal_group(signal.SIGKILL)
        self.process.wait()
        self._close()

    def terminate(self, deadline: float = 20.0) -> int:
        """SIGTERM, then `wait`."""
        self.process.send_signal(signal.SIGTERM)
        return self.wait(deadline)

    def wait(self, deadline: float = 20.0) -> int:
        """The exit code. Raises subprocess.TimeoutExpired with what it printed."""
        try:
            code = self.process.wait(deadline)
        except subprocess.TimeoutExpired as error:
            error.add_note(self.output)
            raise
        self._close()
        return code

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the program and to what it started, for example SIGSTOP."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def _close(self) -> None:
        self._reader.join(5)
        if self.process.stdout is not None and not self._reader.is_alive():
            self.process.stdout.close()


def _started(module: str, args: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *args],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # its own group: whatever it started dies with it
    )


@contextmanager
def spawn(
    module: str, *args: str, env: Mapping[str, str] | None = None, ready: str | None = None, deadline: float = 30.0
) -> Iterator[Program]:
    """`python -m <module> <args>` until the end of the block, entered when a line matches `ready`."""
    with Program(module, *args, env=env) as program:
        if ready is not None:
            program.wait_for_line(ready, deadline)
        yield program


@contextmanager
def stopped(*programs: Program) -> Iterator[None]:
    """SIGSTOP to programs and to what they started, SIGCONT at the end of the block."""
    for program in programs:
        program.signal_group(signal.SIGSTOP)
    try:
        yield
    finally:
        for program in programs:
            program.signal_group(signal.SIGCONT)


def free_port() -> int:
    """A TCP port for a server: nobody listens on it.

    It is below those that systems give to outgoing connections (Linux: from 32768, others: from 49152). One of theirs
    can be taken by any connection before the server listens.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(what: Callable[[], T], deadline: float = 20.0, pause: float = 0.02) -> T:
    """The first true value of `what()`. Raises AssertionError if there is none within `deadline` seconds."""
    until = time.monotonic() + deadline
    while True:
        value = what()
        if value:
            return value
        assert time.monotonic() < until, f"still {value!r} after {deadline} s"
        time.sleep(pause)
