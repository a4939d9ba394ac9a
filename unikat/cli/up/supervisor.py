"""Starts programs in order, keeps them running, and stops them in the opposite order."""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Final, Self

from unikat.cli.problems import Problem
from unikat.cli.up.process import Process, Program

POLL: Final = 0.05  # seconds between looks at a log, while something is not ready
IDLE: Final = 1.0  # seconds between looks when nothing is due; a death wakes us at once
SHORT_LIFE: Final = 10.0  # seconds; a program that ends sooner is about to do it again
FIRST_PAUSE: Final = 0.1  # seconds before a restart, doubled each time
LONGEST_PAUSE: Final = 5.0
LONGEST_DOWN: Final = 1.0  # the same for what does start: a job that ends workers must not make the others wait
MOST_FAILED_STARTS: Final = 5  # in a row; then it cannot start
# Somebody else ended it: an operator, a test, the kernel short of memory.
_FROM_OUTSIDE: Final = (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
_STOPPING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals:
    """Inside its `with` block, SIGINT, SIGTERM and SIGHUP are counted instead of obeyed. For the main thread only."""

    def __init__(self) -> None:
        self.stops = 0

    def __enter__(self) -> Self:
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        self._before = {number: signal.signal(number, self._count) for number in (*_STOPPING, signal.SIGCHLD)}
        # A handler alone cannot end a wait (PEP 475); the byte that Python writes here does.
        self._wakeup_before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        signal.set_wakeup_fd(self._wakeup_before)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._reader.close()
        self._writer.close()

    def _count(self, number: int, _frame: FrameType | None) -> None:
        if number in _STOPPING:
            self.stops += 1

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as a signal comes."""
        ready, _, _ = select.select([self._reader], [], [], seconds)
        if ready:
            self._reader.recv(4096)


@dataclass
class _Kept:
    """A program, its present run, and how often in a row it lived only shortly and did not even start."""

    program: Program
    process: Process
    short_lives: int = 0
    failed_starts: int = 0
    restart_at: float | None = None


class Supervisor:
    """Keeps programs running. `say` gets a line for people; `echo`, if any, a program's name and what it logged."""

    def __init__(
        self, signals: Signals, say: Callable[[str], None], echo: Callable[[str, str], None] | None = None
    ) -> None:
        self._signals = signals
        self._say = say
        self._echo = echo
        self._kept: list[_Kept] = []

    def start(self, programs: Sequence[Program], deadline: float) -> bool:
        """Start programs side by side and wait until all are ready; False if told to stop meanwhile.

        Raises Problem for one that ends, or is not ready within `deadline` seconds.
        """
        begun = [_Kept(program, Process(program)) for program in programs]
        self._kept += begun
        until = time.monotonic() + deadline
        while not self._signals.stops:
            self._read_logs()
            for kept in begun:
                process = kept.process
                if process.exit_code is not None:
                    raise _failed(process, f"{kept.program.name} {_ending(process.exit_code)} while it started")
                if not process.is_ready and time.monotonic() > until:
                    raise _failed(process, f"{kept.program.name} is not ready after {deadline:.0f} s")
            if all(kept.process.is_ready for kept in begun):
                return True
            self._signals.wait(POLL)
        return False

    def watch(self) -> None:
        """Keep everything running until told to stop, whatever a job does to a worker.

        Raises Problem for a program that cannot start any more, if no other one does the same work.
        """
        while not self._signals.stops:
            for kept in self._kept:
                self._look_after(kept)
            self._read_logs()
            waiting = [kept for kept in self._kept if kept.restart_at is not None or not kept.process.is_ready]
            self._signals.wait(POLL if waiting or self._echo else IDLE)

    def _look_after(self, kept: _Kept) -> None:
        now = time.monotonic()
        if kept.restart_at is not None:
            if now >= kept.restart_at:
                kept.process, kept.restart_at = Process(kept.program), None
            return
        code = kept.process.exit_code
        if code is None:
            return
        kept.process.read_log()  # its last words may be that it was ready
        lived = now - kept.process.started_at
        accident = kept.process.is_ready and (code in _FROM_OUTSIDE or lived > SHORT_LIFE)
        kept.short_lives = 0 if accident else kept.short_lives + 1
        kept.failed_starts = 0 if kept.process.is_ready or code in _FROM_OUTSIDE else kept.failed_starts + 1
        if kept.failed_starts >= MOST_FAILED_STARTS and not self._has_stand_in(kept):
            times = f"while it started, {kept.failed_starts} times in a row"
            raise _failed(kept.process, f"{kept.program.name} {_ending(code)} {times}; giving up")
        longest = LONGEST_DOWN if kept.process.is_ready else LONGEST_PAUSE
        pause = min(longest, FIRST_PAUSE * 2 ** min(kept.short_lives, 10))  # both are reached by then
        kept.restart_at = now + pause
        again = "it is started again" if kept.short_lives < 2 else f"it is started again in {pause:.1f} s"
        self._say(f"{kept.program.name} {_ending(code)}; {again}. Log: {kept.program.log}")

    def _has_stand_in(self, kept: _Kept) -> bool:
        return any(
            other is not kept and other.program.role == kept.program.role and other.process.is_ready
            for other in self._kept
        )

    def _read_logs(self) -> None:
        for kept in self._kept:
            if self._echo is not None or not kept.process.is_ready:
                text = kept.process.read_log()
                if self._echo is not None and text:
                    self._echo(kept.program.name, text)
            kept.process.rotate_log()

    def stop(self, groups: Sequence[Sequence[str]]) -> None:
        """Stop programs by name, one group after the other; a second Ctrl-C kills what is left.

        Returns when all are gone, also those that no group names.
        """
        asked_once = self._signals.stops
        for group in groups:
            members = [kept for kept in self._kept if kept.program.name in group and kept.restart_at is None]
            for kept in members:
                kept.process.terminate()
            until = time.monotonic() + max((kept.program.grace for kept in members), default=0.0)
            while any(kept.process.exit_code is None for kept in members):
                if time.monotonic() > until or self._signals.stops > asked_once:
                    break
                self._signals.wait(POLL)
                self._read_logs()
            self._kill(members)
        self._kill(self._kept)

    def _kill(self, members: Sequence[_Kept]) -> None:
        for kept in members:
            if kept.process.exit_code is None:
                self._say(f"{kept.program.name} did not stop by itself and was killed")
                kept.process.kill()


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _failed(process: Process, how: str) -> Problem:
    lines = (f"    {line}" for line in process.last_lines())
    return Problem(how, f"The end of {process.program.log}:", *lines)
