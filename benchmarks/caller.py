"""A caller, in a process of its own: `python -m benchmarks.caller TARGET MODEL` asks for one image after another.

It prints a line for each: the Unix times of the call and of its image, in seconds; until it is killed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.processes import Program, eventually
from unikat import Studio


@dataclass(frozen=True)
class Call:
    """A call: when it began and when its image was in hand (Unix times, s)."""

    began: float
    ended: float

    @property
    def ms(self) -> float:
        """Its latency in milliseconds."""
        return 1000 * (self.ended - self.began)


class Caller:
    """The process, seen from the one that measures."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def calls(self) -> list[Call]:
        """All so far, but for the first ones, which connect."""
        return [Call(*map(float, line.split())) for line in self._program.output.splitlines()[5:]]

    def measure(self, count: int, deadline: float = 300.0) -> list[Call]:
        """The next `count` calls, waited for."""
        before = len(self.calls())
        eventually(lambda: len(self.calls()) >= before + count, deadline, pause=0.25)
        return self.calls()[before : before + count]


@contextmanager
def calling(target: str, model: str) -> Iterator[Caller]:
    """A caller that runs until the end of the block."""
    with Program("benchmarks.caller", target, model) as program:
        caller = Caller(program)
        caller.measure(1)
        yield caller


def main(target: str, model: str) -> None:
    """Call until killed."""
    with Studio(target) as studio:
        seed = 0
        while True:
            began = time.time()
            assert len(list(studio.generate(model, count=1, seed=seed))) == 1
            print(began, time.time(), flush=True)
            seed += 1


if __name__ == "__main__":
    main(*sys.argv[1:])
