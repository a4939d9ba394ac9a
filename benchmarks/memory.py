"""Memory of the running programs over time."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from types import TracebackType

import psutil

from tests.end_to_end.stack import Stack

_EVERY_S = 0.5
_MIB = 2**20


class MemoryLog:
    """Memory twice a second until the end of the block: resident of service and worker, `used_memory` of Valkey."""

    def __init__(self, stack: Stack) -> None:
        self.bytes: dict[str, list[int]] = defaultdict(list)
        self._stack = stack
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def text(self, name: str) -> str:
        """ "start → peak → end" in MiB."""
        return arrows(self.bytes[name])

    def read(self) -> None:
        """One reading."""
        assert self._stack.service is not None
        for name, program in (("service", self._stack.service), ("worker", self._stack.workers[0])):
            self.bytes[name].append(psutil.Process(program.process.pid).memory_info().rss)
        self.bytes["Valkey"].append(int(self._stack.redis.info("memory")["used_memory"]))

    def __enter__(self) -> MemoryLog:
        self.read()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self.read()


def arrows(readings: Sequence[int]) -> str:
    """First, largest and last of some numbers of bytes, in MiB."""
    return " → ".join(f"{value / _MIB:.1f}" for value in (readings[0], max(readings), readings[-1]))
