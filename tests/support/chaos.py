"""Chaos: SIGKILL at random moments to a random one of worker, service and Valkey, each started again at once."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType

from tests.end_to_end.stack import Stack


class Victim(StrEnum):
    """What is killed."""

    WORKER = "worker"
    SERVICE = "service"
    VALKEY = "Valkey"


@dataclass(frozen=True)
class Kill:
    """A kill: its moment (Unix time, s), its victim, and the seconds until that was started again."""

    at: float
    victim: Victim
    down_s: float


class Chaos:
    """Kills in a thread until the end of the block, at most `most` times.

    `seed` decides whom and when: from the moment that the last one is ready again, a time between the two of `every`
    (s). The first three kills hit each of the three once. What goes wrong with a start is raised at the end.
    """

    def __init__(self, stack: Stack, seed: int, every: tuple[float, float], most: int | None = None) -> None:
        self.kills: list[Kill] = []
        self._stack = stack
        self._dice = random.Random(seed)
        self._every = every
        self._most = most
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)

    def count(self, victim: Victim) -> int:
        """Kills of one of them so far."""
        return sum(kill.victim is victim for kill in self.kills)

    def stop(self) -> None:
        """No more kills; everything runs. Raises what went wrong."""
        self._stop.set()
        self._thread.join()
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Chaos:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()
        if error is None:
            self.stop()

    def _run(self) -> None:
        try:
            for victim in self._victims():
                if self._stop.wait(self._dice.uniform(*self._every)):
                    return
                at = time.time()
                self._strike(victim)
                self.kills.append(Kill(at, victim, time.time() - at))
        except BaseException as error:  # the thread has nobody else to tell
            self._error = error

    def _victims(self) -> Iterator[Victim]:
        yield from self._dice.sample(list(Victim), len(Victim))
        while self._most is None or len(self.kills) < self._most:
            yield self._dice.choice(list(Victim))

    def _strike(self, victim: Victim) -> None:
        if victim is Victim.WORKER:
            self._stack.kill(self._dice.choice(self._stack.workers))
            self._stack.start_worker().wait_for_line("worker ready", deadline=60)
        elif victim is Victim.SERVICE:
            assert self._stack.service is not None
            self._stack.service.kill()
            self._stack.start_service()
        else:
            self._stack.valkey.kill()
            self._stack.valkey.start()
