"""Waiting for something to happen: a child that ended, or somebody who wants us to stop."""

from __future__ import annotations

import select
import signal
import socket
from types import FrameType, TracebackType
from typing import Final, Self

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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
