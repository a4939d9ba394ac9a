"""A stack of which one program, the victim, is killed at round trips to Valkey, and another takes its place."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

from tests.drills.round_trips import Point, RoundTrips
from tests.drills.small_work import Outcome, Piece, Work
from tests.end_to_end.shop import Shop
from tests.end_to_end.stack import Stack
from tests.support.batch_calls import BatchCalls
from tests.support.chaos import Victim
from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import running_valkey
from unikat import Studio

_SETTLES_WITHIN: Final = 40.0  # seconds from the end of the work until nothing is under way
_REGISTRY: Final = re.compile(rb"rq:((finished|canceled|failed):unikat|workers):")
_ALIKE: Final = (
    (re.compile(r"[\w.-]+-\d+-[0-9a-f]{6}"), "<worker>"),
    (re.compile(r"[0-9a-f]{32}"), "<id>"),
    (re.compile(r"[0-9a-f]{16}"), "<batch>"),
)


@dataclass(frozen=True)
class Run:
    """A piece of work that was done. `seen`: the victim's round trips."""

    outcome: Outcome
    seen: list[tuple[str, int]]


class Drill:
    """The stack and its victim."""

    def __init__(self, shop: Shop, studio: Studio, victim: Victim) -> None:
        self.shop, self.studio, self.victim = shop, studio, victim
        self.stack: Stack = shop.stack
        self.recoveries: list[float] = []  # seconds from a kill until the work was done and nothing was under way
        self._trips = RoundTrips(self.stack.valkey.socket)
        self._numbers = itertools.count(1)

    def start_victim(self) -> None:
        """A fresh one takes the place of the one that died."""
        self._trips.close()
        self._trips = RoundTrips(self.stack.valkey.socket)
        before = self.stack.env
        self.stack.env = before | {"UNIKAT_REDIS_URL": self._trips.url}
        try:
            if self.victim is Victim.WORKER:
                self.stack.start_worker().wait_for_line("worker ready", 60)
            else:
                self.stack.start_service()
        finally:
            self.stack.env = before

    def close(self) -> None:
        """End the victim's connections."""
        self._trips.close()

    def run(self, piece: Piece, target: Point | None = None) -> Run:
        """Do a piece of work, and kill the victim at `target`."""
        trips, program = self._trips, self._program()
        name = f"{piece.__name__}-{next(self._numbers)}".replace("_", "-")
        before = {job.id for job in self.stack.jobs()}
        over = threading.Event()
        successor = threading.Thread(target=self._succeed, args=(trips, program, over))
        trips.arm(target, lambda: os.killpg(program.process.pid, signal.SIGKILL))
        successor.start()
        try:
            outcome = piece(Work(self.shop, self.studio, name, lambda batch: self._settled(before, batch)))
            trips.disarm()
            self._settled(before, "")
        finally:
            over.set()
            successor.join()
        if trips.struck.is_set():
            self.recoveries.append(time.monotonic() - trips.struck_at)
        return Run(outcome, trips.seen)

    def kept(self, pattern: str = "*") -> set[str]:
        """The keys in Redis without a time to live, but RQ's registries: entries of calls expire, workers are swept."""
        keys = [key for key in self._keys(pattern) if not _REGISTRY.match(key)]
        return {alike(key.decode()) for key in keys if self.stack.redis.ttl(key) == -1}

    def _succeed(self, trips: RoundTrips, program: Program, over: threading.Event) -> None:
        while not trips.struck.wait(0.05):
            if over.is_set():
                return
        program.kill()
        if self.victim is Victim.WORKER:
            self.stack.workers.remove(program)
        self.start_victim()

    def _program(self) -> Program:
        program = self.stack.workers[0] if self.victim is Victim.WORKER else self.stack.service
        assert program is not None
        return program

    def _settled(self, before: set[str], batch: str) -> Outcome:
        """How the jobs of this run ended, waited for, and the keys that name its batch."""

        def ended() -> list[tuple[str, str]] | None:
            jobs = [
                (alike(job.id), str(job.get_status(refresh=False).value))
                for job in self.stack.jobs()
                if job.id not in before
            ]
            left = [*self._keys("rq:wip:*"), *self._keys("rq:queue:*")]
            over = not left and all(status in ("finished", "canceled", "failed") for _, status in jobs)
            return sorted(set(jobs)) if over else None

        found = eventually(lambda: (jobs := ended()) is not None and (jobs,), _SETTLES_WITHIN)
        keys = self.kept(f"*{batch}*") if batch else set()
        return {"jobs": found and found[0], "keys": keys}

    def _keys(self, pattern: str) -> list[bytes]:
        return cast("list[bytes]", self.stack.redis.keys(pattern))


def alike(name: str) -> str:
    """A key or a job's id, the same in every run."""
    for pattern, text in _ALIKE:
        name = pattern.sub(text, name)
    return name


@contextmanager
def drilled(victim: Victim, folder: Path) -> Iterator[Drill]:
    """A stack with one service and one worker, one of which is the victim."""
    models, opened = folder / "models", folder / "open"
    write_tiny_bundle(models, work=1000)
    opened.mkdir()
    settings = {"UNIKAT_DESTINATIONS": f"file://{opened}", "UNIKAT_LEASE_S": "1", "UNIKAT_MAX_BATCH": "4"}
    with ExitStack() as exits:
        stack = Stack(exits.enter_context(running_valkey()), models, **settings)
        exits.callback(stack.close)
        calls = exits.enter_context(BatchCalls(stack.target))
        drill = Drill(Shop(stack, calls, opened, "tiny"), exits.enter_context(Studio(stack.target)), victim)
        exits.callback(drill.close)
        if victim is Victim.WORKER:
            stack.start_service()
        else:
            stack.start_worker().wait_for_line("worker ready", 60)
        drill.start_victim()
        eventually(drill.studio.models)
        yield drill
