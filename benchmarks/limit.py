"""The limit: plain ONNX Runtime in one process that does the same work (benchmarks/work.py) and nothing else.

Lanes are threads that each draw and encode on their own; a lane's session has `threads` threads. There is no network,
no queue, nobody who waits.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.work import Drawer


@dataclass(frozen=True)
class Shape:
    """How the loop is laid out."""

    lanes: int
    threads: int
    batch: int

    def __str__(self) -> str:
        return f"{self.lanes} × {self.threads} thread{'s' if self.threads > 1 else ''}, batch {self.batch}"


@dataclass(frozen=True)
class Limit:
    """What a loop reached: rate, median time of a batch, CPU time of the process an image."""

    images_per_second: float
    p50_ms: float
    cpu_ms: float


def measure(bundle: Path, shape: Shape, seconds: float, png: str = "pillow") -> Limit:
    """Draw and encode in this process for `seconds`."""
    drawers = [Drawer(bundle, shape.threads, png) for _ in range(shape.lanes)]
    for drawer in drawers:
        drawer.draw(range(shape.batch))
    stop = threading.Event()

    def lane(number: int) -> list[float]:
        times = []
        seed = 1_000_000_000 * number
        ended = time.perf_counter()
        while not stop.is_set():
            drawers[number].draw(range(seed, seed + shape.batch))
            seed += shape.batch
            began, ended = ended, time.perf_counter()
            times.append(ended - began)
        return times

    with ThreadPoolExecutor(shape.lanes) as pool:
        started, cpu = time.perf_counter(), time.process_time()
        running = [pool.submit(lane, number) for number in range(shape.lanes)]
        time.sleep(seconds)
        stop.set()
        batches = [each for one in running for each in one.result()]
    taken, cpu = time.perf_counter() - started, time.process_time() - cpu
    images = shape.batch * len(batches)
    return Limit(images / taken, 1000 * statistics.median(batches), 1000 * cpu / images)


def measured_apart(bundle: Path, shape: Shape, seconds: float, png: str) -> Limit:
    """`measure` in a process of its own. Raises subprocess.CalledProcessError."""
    numbers = [str(value) for value in (shape.lanes, shape.threads, shape.batch, seconds)]
    command = [sys.executable, "-m", "benchmarks.limit", str(bundle), *numbers, png]
    return Limit(**json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))


def main(bundle: str, lanes: str, threads: str, batch: str, seconds: str, png: str) -> None:
    """One measurement, as a line of JSON."""
    shape = Shape(int(lanes), int(threads), int(batch))
    print(json.dumps(asdict(measure(Path(bundle), shape, float(seconds), png))))


if __name__ == "__main__":
    main(*sys.argv[1:])
