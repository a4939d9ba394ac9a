"""The measuring: every contender between two limits, one after another, again and again."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from benchmarks.figures import ROOT
from benchmarks.limit import Limit, Shape, measured_apart
from benchmarks.peers.contenders import LANES, WIDE, Contender
from benchmarks.peers.environments import NotInstalledError
from benchmarks.peers.load import Load, Served
from benchmarks.peers.running import NotServingError, Running, running
from benchmarks.peers.usage import pss_mib
from benchmarks.work import Setup
from unikat.bundle import Bundle, key_of

OPEN_SHARE: Final = 0.7  # of the limit: an open loop above what a server carries measures only its queue
LARGE: Final = 32  # images of a large call

Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is measured. `clients` of closed loops; times in seconds."""

    bundles: tuple[Bundle, ...]
    clients: tuple[int, ...] = (1, 8, 64)
    seconds: float = 4.0
    limit_seconds: float = 1.0
    png: str = "pillow"


@dataclass(frozen=True)
class Bar:
    """The limit now: one image at a time in every lane, the same in fours, one image on all cores, and `own`.

    `own` is in fours with the PNG encoder that Unikat uses: the least CPU that its images can cost.
    """

    lanes: Limit
    fours: Limit
    wide: Limit
    own: Limit

    @property
    def rate(self) -> float:
        """Images a second of the best set-up that draws one image at a time."""
        return max(self.lanes.images_per_second, self.wide.images_per_second)

    @property
    def large_rate(self) -> float:
        """Images a second of the best set-up of all."""
        return max(self.rate, self.fours.images_per_second)

    @property
    def latency_ms(self) -> float:
        """Median milliseconds of one image alone."""
        return min(self.lanes.p50_ms, self.wide.p50_ms)

    @property
    def cpu_ms(self) -> float:
        """CPU time of an image where it costs least."""
        return min(self.lanes.cpu_ms, self.fours.cpu_ms, self.own.cpu_ms)


def measure_bar(bundle: Bundle, plan: Plan) -> Bar:
    """The limit of a model, each set-up for `plan.limit_seconds`."""
    fours = Shape(LANES.lanes, 1, 4)
    shapes = (
        (Shape(LANES.lanes, 1, 1), plan.png), (fours, plan.png), (Shape(1, WIDE.threads, 1), plan.png), (fours, "isal"),
    )  # fmt: skip
    return Bar(*(measured_apart(bundle.path, shape, plan.limit_seconds, png) for shape, png in shapes))


def visit(contender: Contender, plan: Plan, setup: Setup) -> Iterator[Row]:
    """Start a contender, measure everything, stop it: a row a load. Raises NotServingError, NotInstalledError."""
    paths = tuple(bundle.path for bundle in plan.bundles)
    with running(contender, paths, setup, plan.png) as server:
        common: Row = {
            "contender": contender.name, "setup": str(setup), "png": plan.png,
            "first_s": [round(seconds, 3) for seconds in server.first_s],
        }  # fmt: skip
        for number, bundle in enumerate(plan.bundles):
            before = measure_bar(bundle, plan)
            rows = [
                common | {"model": key_of(bundle.model), **row}
                for row in loads(server, number, plan, before, is_first=setup == contender.setups[0])
            ]
            after = measure_bar(bundle, plan)
            for row in rows:
                yield row | compared(row, before, after)


def loads(server: Running, number: int, plan: Plan, bar: Bar, is_first: bool) -> Iterator[Row]:
    """Closed loops, an open one, and for a streaming door large calls; without `is_first` one client alone."""
    for door in server.doors:
        asked = [(clients, 1, 0.0) for clients in (plan.clients if is_first else (1,))]
        if is_first:
            asked.append((0, 1, OPEN_SHARE * bar.rate))
        if is_first and door.transport == "stream":
            asked.append((8, LARGE, 0.0))
        for clients, count, rate in asked:
            seed = time.time_ns() // 1_000_000 * 1_000_000 % 2**48  # no load asks for what another asked for
            seconds = plan.seconds if count == 1 else 2 * plan.seconds  # a large call takes a second or more
            order = server.order(number, count)
            served = run_load(Load(door, order, server.job.port, clients, seconds, server.pids, rate, seed))
            kind = "open" if rate else "closed"
            what = {"door": door.name, "kind": kind, "clients": clients, "count": count, "rate": round(rate, 2)}
            yield what | asdict(served) | {"pss_mib": pss_mib(server.pids)}


def run_load(load: Load) -> Served:
    """The clients in a process of their own. Raises NotServingError with what they met."""
    command = [sys.executable, "-m", "benchmarks.peers.load", json.dumps(asdict(load))]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=load.seconds + 180)
    if result.returncode:
        raise NotServingError(result.stderr[-800:])
    return Served(**json.loads(result.stdout))


def compared(row: Row, before: Bar, after: Bar) -> Row:
    """A row beside the limits around it."""
    large = row["count"] > 1
    rates = [bar.large_rate if large else bar.rate for bar in (before, after)]
    return {
        "limit": [round(rate, 2) for rate in rates],
        "share": round(row["images_per_second"] / (sum(rates) / 2), 4),
        "limit_ms": round((before.latency_ms + after.latency_ms) / 2, 3),
        "limit_cpu_ms": round((before.cpu_ms + after.cpu_ms) / 2, 3),
    }


def measure(
    contenders: list[Contender],
    plan: Plan,
    rounds: int,
    keep: Callable[[Row], None],
    refused: Callable[[str, str], None],
) -> None:
    """Visit all contenders `rounds` times; Unikat's turn is as any other's. One that does not serve is told once."""
    out: set[str] = set()
    for number in range(rounds):
        order = contenders[number % len(contenders) :] + contenders[: number % len(contenders)]
        for contender in order:
            for setup in contender.setups:
                if contender.name in out:
                    continue
                try:
                    for row in visit(contender, plan, setup):
                        keep(row | {"round": number, "time": round(time.time())})
                except (NotInstalledError, NotServingError) as error:
                    out.add(contender.name)
                    refused(contender.name, str(error))
