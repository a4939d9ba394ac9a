"""A child process that writes to a log file, is ready when its log says so, and never outlives its parent."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LOG_LIMIT: Final = 10 * 2**20  # bytes; a longer log is set aside as <log>.1

_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h


@dataclass(frozen=True)
class Program:
    """What to run. It is ready when `ready` stands in its log; it is stopped by SIGTERM, then killed after `grace` s.

    `orphaned` is the signal that it gets if its parent dies without stopping it. Programs of one `role` stand in for
    each other.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    ready: str
    grace: float
    orphaned: signal.Signals = signal.SIGKILL
    role: str = ""


class Process:
    """One run of a program."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.started_at = time.monotonic()
        self.is_ready = False
        with program.log.open("ab") as output:
            self._read_from = self._begins_at = os.fstat(output.fileno()).st_size
            self._popen = subprocess.Popen(
                program.command,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops all in order
                preexec_fn=tie_to_parent(program.orphaned),
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal's number if one ended it."""
        return self._popen.poll()

    def read_log(self) -> str:
        """What it wrote since the last call, in whole lines; `is_ready` follows from it."""
        with self.program.log.open("rb") as log:
            log.seek(self._read_from)
            news = log.read()
        complete = news[: news.rfind(b"\n") + 1]
        self._read_from += len(complete)
        text = complete.decode(errors="replace")
        self.is_ready = self.is_ready or self.program.ready in text
        return text

    def rotate_log(self) -> None:
        """Set a log aside that has become long; the process goes on writing to the same file.

        What it writes between the copy and the cut is lost; the alternative, a pipe through this process, would stop
        the programs when this process is stopped.
        """
        log = self.program.log
        if not log.exists() or log.stat().st_size <= LOG_LIMIT:
            return
        self.read_log()  # whether it is ready
        aside = log.with_name(log.name + ".1")
        try:
            shutil.copyfile(log, aside)
        except OSError:  # a full disk: there is none the more reason to let the log grow
            aside.unlink(missing_ok=True)
        os.truncate(log, 0)  # its end is where O_APPEND writes next
        self._read_from = self._begins_at = 0

    def last_lines(self, count: int = 15) -> list[str]:
        """The end of what this run wrote."""
        with self.program.log.open("rb") as log:
            log.seek(self._begins_at)
            return log.read().decode(errors="replace").splitlines()[-count:]

    def terminate(self) -> None:
        self._popen.terminate()

    def kill(self) -> None:
        """Stop it, and wait until it is gone."""
        self._popen.kill()
        self._popen.wait()


def tie_to_parent(orphaned: signal.Signals) -> Callable[[], None] | None:
    """A `preexec_fn`: the kernel sends the child a signal when its parent dies, even by SIGKILL.

    For a parent with one thread: Python code runs between fork and exec. Only Linux can do it; elsewhere, children of
    a supervisor that was killed with -9 have to be stopped by hand.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl  # looked up before the fork
    parent = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, int(orphaned), 0, 0, 0)
        if os.getppid() != parent:  # it died in between
            os._exit(1)

    return tie
