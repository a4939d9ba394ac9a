"""What the running programs use: processor time, Redis commands, memory."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

import psutil

from tests.end_to_end.stack import Stack

_EVERY_S = 0.5
_MIB = 2**20


@dataclass(frozen=True)
class Reading:
    """Counters of the running programs."""

    cpu: dict[str, float]
    commands: dict[str, int]

    def cpu_ms(self, before: Reading, images: int) -> dict[str, float]:
        """CPU milliseconds an image since another reading, by program."""
        return {name: 1000 * (self.cpu[name] - before.cpu[name]) / images for name in self.cpu}

    @classmethod
    def of(cls, stack: Stack) -> Reading:
        """CPU seconds of each program and Redis calls by command, since each began."""
        assert stack.service is not None
        pids = {"service": stack.service.process.pid, "worker": stack.workers[0].process.pid}
        pids["Valkey"] = int(stack.redis.info("server")["process_id"])
        times = {name: psutil.Process(pid).cpu_times() for name, pid in pids.items()}
        stats = stack.redis.info("commandstats")
        commands = {name.removeprefix("cmdstat_"): int(of["calls"]) for name, of in stats.items()}
        return cls({name: t.user + t.system for name, t in times.items()}, commands)


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
