"""`python -m benchmarks.client`: what one call costs its caller: blocking, asyncio, and blocking on a loop in a thread.

The last is how a blocking client is often made of an asynchronous one. Service, worker and Valkey run beside it; the
model is so small that the client shows. Ways take turns, so that what the machine does besides hits all of them.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from tests.end_to_end.stack import Stack, running_stack
from tests.support.tiny_model import write_tiny_bundle
from unikat import AsyncStudio, Studio

ROUNDS = 8
CALLS = 100  # in a round

Way = Callable[[], float]  # one call after the other, CALLS of them; adds to the latencies, returns CPU seconds


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, object]) -> object:
        """What it returns, waited for."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def blocking(call: Callable[[], object], seconds: list[float]) -> Way:
    """Calls from this thread."""

    def measure() -> float:
        cpu = time.process_time()
        for _ in range(CALLS):
            began = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - began)
        return time.process_time() - cpu

    return measure


def in_loop(thread: LoopThread, call: Callable[[], Coroutine[Any, Any, object]], seconds: list[float]) -> Way:
    """Calls from a coroutine, which are what asyncio itself costs."""

    async def each() -> None:
        for _ in range(CALLS):
            began = time.perf_counter()
            await call()
            seconds.append(time.perf_counter() - began)

    def measure() -> float:
        cpu = time.process_time()
        thread.run(each())
        return time.process_time() - cpu

    return measure


def compare(
    what: str, thread: LoopThread, call: Callable[[], object], acall: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    """Print a line for each way. One loop serves all comparisons: gRPC wakes every one that there is."""
    seconds: dict[str, list[float]] = {"blocking": [], "asyncio": [], "blocking, on a loop in a thread": []}
    first, second, third = seconds.values()
    ways = (
        blocking(call, first),
        in_loop(thread, acall, second),
        blocking(lambda: thread.run(acall()), third),
    )
    cpu = dict.fromkeys(seconds, 0.0)
    for round_ in range(ROUNDS + 1):
        for name, way in zip(seconds, ways, strict=True):
            used = way()
            if round_ == 0:  # warms up
                seconds[name].clear()
            else:
                cpu[name] += used
    for name, times in seconds.items():
        p50, p95 = (1000 * statistics.quantiles(times, n=100)[q - 1] for q in (50, 95))
        print(f"| {what} | {name} | {p50:.2f} | {p95:.2f} | {1000 * cpu[name] / len(times):.2f} |", flush=True)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_bundle(Path(folder))
        with running_stack(Path(folder), fsync="everysec") as stack:
            print("| call | way | p50 ms | p95 ms | client's CPU ms a call |\n| --- | --- | ---: | ---: | ---: |")
            measure(stack)


def measure(stack: Stack) -> None:
    """Calls of one image, and one that only reads."""
    studio, astudio, thread = Studio(stack.target), AsyncStudio(stack.target), LoopThread()

    async def generate() -> object:
        return [artwork async for artwork in astudio.generate("tiny", seed=1)]

    compare("generate, 1 image", thread, lambda: list(studio.generate("tiny", seed=1)), generate)
    compare("draw", thread, lambda: studio.draw("tiny", seed=1), lambda: astudio.draw("tiny", seed=1))
    compare("model", thread, lambda: studio.model("tiny"), lambda: astudio.model("tiny"))


if __name__ == "__main__":
    main()
