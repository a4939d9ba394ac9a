"""Clients in a process of their own: `python -m benchmarks.peers.load JSON`, a line of JSON out.

A closed loop is `clients` callers that each send the next request when they hold the answer to the last. An open loop
sends at moments drawn beforehand (a Poisson process of `rate` calls a second), whatever is still unanswered; latency
counts from the drawn moment.
"""

from __future__ import annotations

import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from benchmarks.figures import percentile
from benchmarks.peers.calls import async_call, blocking_call
from benchmarks.peers.doors import Door, Order, images_in, request
from benchmarks.peers.usage import busy_seconds, cpu_seconds

WARM_S = 1.0
_SPACE = 1_000_000  # seeds of one client
_AFTER_S = 0.05  # the load goes on until the window's end was read

Once = Callable[[float, int], Coroutine[None, None, None]]  # a call: the moment that counts as its begin, the seed


@dataclass(frozen=True)
class Load:
    """What the clients do. `rate` above 0 makes it an open loop of so many calls a second.

    `interface` is "blocking" or "asyncio"; empty, it is the one that costs less for so many clients.
    """

    door: Door
    order: Order
    port: int
    clients: int
    seconds: float
    pids: dict[str, int]
    rate: float = 0.0
    first_seed: int = 0
    interface: str = ""

    @classmethod
    def from_json(cls, text: str) -> Load:
        """Of `asdict` as JSON."""
        fields = json.loads(text)
        return cls(**fields | {"door": Door(**fields["door"]), "order": Order(**fields["order"])})


@dataclass(frozen=True)
class Served:
    """What the clients saw, between two moments. CPU is milliseconds an image, `client` that of the clients.

    `sent` counts all calls, those before and after these moments too; `others` is the cores that neither server nor
    clients kept busy: above a few hundredths, somebody else used the machine.
    """

    images_per_second: float
    p50_ms: float
    p99_ms: float
    calls: int
    cpu_ms: dict[str, float]
    sent: int
    others: float


class Log:
    """When calls began and ended, when images came, and the CPU time of the server's parts at the window's two ends."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._calls: list[tuple[float, float]] = []
        self._images: list[float] = []
        self.start = time.perf_counter() + WARM_S
        self.end = self.start + load.seconds
        self._marks: list[tuple[float, float, dict[str, float]]] = []

    def arrived(self, message: bytes) -> None:
        """Images that came now."""
        found = images_in(message)
        if found:
            self._images.extend([time.perf_counter()] * found)

    def ended(self, began: float) -> None:
        """A call that ended now."""
        self._calls.append((began, time.perf_counter()))

    def mark(self) -> None:
        """Read the CPU time."""
        used = cpu_seconds(self._load.pids) | {"client": time.process_time()}
        self._marks.append((time.perf_counter(), busy_seconds(), used))

    def served(self) -> Served:
        """What happened between the marks. Raises RuntimeError where images are missing or nothing ended."""
        (start, busy_from, before), (end, busy_to, after) = self._marks
        missing = len(self._calls) * self._load.order.count - len(self._images)
        images = sum(start <= at < end for at in self._images)
        # An open loop's calls count by the moment at which they were due, so that none is left out for being late.
        ended = [(began, at) for began, at in self._calls if start <= (began if self._load.rate else at) < end]
        if missing or not images or not ended:
            raise RuntimeError(f"{images} images of {len(ended)} calls in {end - start:.1f} s, {missing} missing")
        waits = [1000 * (at - began) for began, at in ended]
        used = {part: after[part] - before[part] for part in after}
        cpu = {part: round(1000 * seconds / images, 4) for part, seconds in used.items()}
        others = round((busy_to - busy_from - sum(used.values())) / (end - start), 3)
        rate = images / (end - start)
        p50, p99 = (round(percentile(waits, share), 3) for share in (0.5, 0.99))
        return Served(round(rate, 2), p50, p99, len(ended), cpu, len(self._calls), others)


def blocking_clients(load: Load) -> Served:
    """A closed loop, a thread a caller."""
    log = Log(load)

    def caller(seed: int) -> None:
        with blocking_call(load.door, load.port) as call:
            while (began := time.perf_counter()) < log.end + _AFTER_S:
                call(request(load.door, load.order, seed), log.arrived)
                log.ended(began)
                seed += 1

    with ThreadPoolExecutor(load.clients) as pool:
        callers = [pool.submit(caller, load.first_seed + _SPACE * number) for number in range(load.clients)]
        for moment in (log.start, log.end):
            time.sleep(max(0.0, moment - time.perf_counter()))
            log.mark()
        for each in callers:
            each.result()
    return log.served()


async def asyncio_clients(load: Load) -> Served:
    """A closed loop, or an open one, on an event loop."""
    loop = asyncio.get_running_loop()
    async with async_call(load.door, load.port) as call:
        log = Log(load)
        for moment in (log.start, log.end):
            loop.call_later(moment - time.perf_counter(), log.mark)

        async def once(began: float, seed: int) -> None:
            await call(request(load.door, load.order, seed), log.arrived)
            log.ended(began)

        await (arrivals(load, log, once) if load.rate else clients(load, log, once))
    return log.served()


async def clients(load: Load, log: Log, once: Once) -> None:
    """Callers that each wait for their answer, until the window is over."""

    async def one(seed: int) -> None:
        while (began := time.perf_counter()) < log.end + _AFTER_S:
            await once(began, seed)
            seed += 1

    await asyncio.gather(*(one(load.first_seed + _SPACE * number) for number in range(load.clients)))


async def arrivals(load: Load, log: Log, once: Once) -> None:
    """Calls at the moments that are due, until the window is over; then what is unanswered is waited for."""
    tasks = []
    for seed, moment in enumerate(poisson(load.rate, log.start - WARM_S, log.end + _AFTER_S, load.first_seed)):
        await asyncio.sleep(moment - time.perf_counter())
        tasks.append(asyncio.create_task(once(moment, load.first_seed + seed)))
    await asyncio.gather(*tasks)
    await asyncio.sleep(log.end + _AFTER_S - time.perf_counter())


def poisson(rate: float, start: float, end: float, seed: int) -> list[float]:
    """Moments of a Poisson process of `rate` a second, the same for the same seed."""
    draw = random.Random(seed)
    moments = [start + draw.expovariate(rate)]
    while moments[-1] < end:
        moments.append(moments[-1] + draw.expovariate(rate))
    return moments[:-1]


def main(text: str) -> None:
    """Run a load, print what it saw."""
    load = Load.from_json(text)
    gc.disable()  # seconds, and nothing cyclic: a collection would be measured as the server's latency
    blocks = load.interface == "blocking" or (not load.interface and load.clients == 1 and not load.rate)
    print(json.dumps(asdict(blocking_clients(load) if blocks else asyncio.run(asyncio_clients(load)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
