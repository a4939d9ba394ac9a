"""A budget of CPU time: what other programs do on the machine changes it little."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopping_after(seconds: float) -> Iterator[None]:
    """Within, this process gets a SIGTERM when it has used so much CPU time, of all its threads."""

    def stop(number: int, frame: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Stopwatch:
    """CPU time of this process since it was made, in seconds."""

    def __init__(self) -> None:
        self.began = time.process_time()

    @property
    def seconds(self) -> float:
        return time.process_time() - self.began
