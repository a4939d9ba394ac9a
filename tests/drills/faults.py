"""The kinds of faults that a drill injects into a whole system, each as a block that breaks something while it runs."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.drills.callers import Callers
from tests.drills.system import ROADS, System
from tests.support.frames import CANCEL, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR
from tests.support.processes import stopped
from tests.support.proxy import Proxy, running_proxy

STORM: Final = 50  # calls that are called off, or whose callers vanish
STRANGERS: Final = 100  # connections that bring nothing but a beginning


@dataclass
class Stage:
    """What faults break. `forgotten_since` is when a Valkey was copied that then came back."""

    system: System
    callers: Callers
    dice: Random
    forgotten_since: float | None = None


Strike = Callable[[Stage], AbstractContextManager[None]]


@dataclass(frozen=True)
class Kind:
    """A kind of fault. Of one that `holds`, recovery counts from the moment at which it is over, else from its start.

    `weight` is how often it comes in a deck. One that is exclusive breaks Valkey itself, or waits for
    calls: one such at a time.
    """

    name: str
    strike: Strike
    holds: bool = False
    weight: int = 1
    is_exclusive: bool = False


@contextmanager
def kill_worker(stage: Stage) -> Iterator[None]:
    stage.system.kill_worker(stage.dice.randrange(len(stage.system.workers)))
    yield


@contextmanager
def kill_service(stage: Stage) -> Iterator[None]:
    stage.system.kill_service(stage.dice.randrange(len(stage.system.services)))
    yield


@contextmanager
def kill_valkey(stage: Stage) -> Iterator[None]:
    stage.system.kill_valkey()
    yield


@contextmanager
def stop_worker(stage: Stage) -> Iterator[None]:
    """Now and then for longer than its lease, so that it wakes up as one whose jobs others have."""
    with stopped(stage.dice.choice(stage.system.workers)):
        yield
        if stage.dice.random() < 0.3:
            time.sleep(6)


@contextmanager
def stop_service(stage: Stage) -> Iterator[None]:
    with stopped(stage.dice.choice(stage.system.services)):
        yield


@contextmanager
def stop_valkey(stage: Stage) -> Iterator[None]:
    with stage.system.stopped_valkey():
        yield


@contextmanager
def full_store(stage: Stage) -> Iterator[None]:
    stage.system.configure(maxmemory=1)
    yield
    stage.system.configure(maxmemory=0)


@contextmanager
def read_only_store(stage: Stage) -> Iterator[None]:
    """A replica of a primary that is not there: it answers reads and refuses writes."""
    stage.system.redis.replicaof("127.0.0.1", 1)
    yield
    stage.system.redis.replicaof("NO", "ONE")


@contextmanager
def too_few_replicas(stage: Stage) -> Iterator[None]:
    stage.system.configure(min_replicas_to_write=1)
    yield
    stage.system.configure(min_replicas_to_write=0)


@contextmanager
def older_dump(stage: Stage) -> Iterator[None]:
    stage.forgotten_since = stage.system.restore_older(stage.dice.uniform(0.1, 1.0))
    yield


@contextmanager
def fail_over(stage: Stage) -> Iterator[None]:
    stage.system.fail_over()
    yield


@contextmanager
def full_disk(stage: Stage) -> Iterator[None]:
    """Workers can write no byte to any file: RLIMIT_FSIZE, whose error is EFBIG as a quota's is EDQUOT."""
    for worker in stage.system.workers:
        _limit_files(worker.process.pid, 0)
    yield
    for worker in stage.system.workers:
        _limit_files(worker.process.pid, resource.RLIM_INFINITY)


@contextmanager
def new_model(stage: Stage) -> Iterator[None]:
    stage.system.add_version()
    yield


@contextmanager
def storm(stage: Stage) -> Iterator[None]:
    stage.callers.run(stage.callers.storm(STORM))
    yield


@contextmanager
def vanish(stage: Stage) -> Iterator[None]:
    """Callers whose connection ends in the middle of calls, and strangers who only begin one."""
    front = stage.dice.choice(stage.system.fronts)
    with running_proxy(front.target) as road:
        stage.callers.run(stage.callers.vanish(STORM, road.target, road.cut))
    host, _, port = front.target.rpartition(":")
    for n in range(STRANGERS):
        with suppress(ConnectionError), socket.create_connection((host, int(port)), timeout=10) as stranger:
            stranger.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[: n % 25])
    yield


@contextmanager
def reset_streams(stage: Stage) -> Iterator[None]:
    front = stage.dice.choice(stage.system.fronts)
    front.resets.code = stage.dice.choice((NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL))
    front.resets.after, front.resets.left = stage.dice.randrange(4), stage.dice.randint(1, 5)
    yield
    front.heal()


def _on_a_road(road: str, strike: Callable[[Proxy, Random], None]) -> Strike:
    @contextmanager
    def block(stage: Stage) -> Iterator[None]:
        proxy = stage.system.any_road(stage.dice, road)
        strike(proxy, stage.dice)
        yield
        proxy.heal()

    return block


_ON_ROADS: Final[tuple[tuple[str, Callable[[Proxy, Random], None], bool, int], ...]] = (
    ("delayed", lambda proxy, dice: proxy.delay(dice.uniform(0.02, 0.3)), True, 1),
    ("cut", lambda proxy, dice: proxy.cut(), False, 3),
    ("half-open", lambda proxy, dice: proxy.half_open(), False, 1),
    ("stalled", lambda proxy, dice: proxy.stall(), True, 1),
    ("replies lost", lambda proxy, dice: proxy.lose_replies(dice.randint(1, 3)), False, 3),
    ("one byte a second", lambda proxy, dice: proxy.trickle(), True, 1),
)

KINDS: Final[tuple[Kind, ...]] = (
    Kind("worker killed", kill_worker, weight=2),
    Kind("worker stopped and continued", stop_worker, holds=True),
    Kind("service killed", kill_service, weight=2),
    Kind("service stopped and continued", stop_service, holds=True),
    Kind("Valkey killed", kill_valkey, weight=2, is_exclusive=True),
    Kind("Valkey stopped and continued", stop_valkey, holds=True, is_exclusive=True),
    Kind("Valkey full", full_store, holds=True, is_exclusive=True),
    Kind("Valkey read-only", read_only_store, holds=True, is_exclusive=True),
    Kind("Valkey without enough replicas", too_few_replicas, holds=True, is_exclusive=True),
    Kind("Valkey restored from an older dump", older_dump, is_exclusive=True),
    Kind("Valkey fails over behind its address", fail_over, is_exclusive=True),
    Kind("destination full", full_disk, holds=True),
    Kind("model replaced", new_model),
    Kind(f"{STORM} calls called off", storm, weight=2, is_exclusive=True),
    Kind(f"{STORM} callers and {STRANGERS} connections vanish", vanish, weight=2, is_exclusive=True),
    Kind("streams reset, client–service", reset_streams, weight=2),
    *(
        Kind(f"{name}, {road}", _on_a_road(road, strike), holds, weight)
        for name, strike, holds, weight in _ON_ROADS
        for road in ROADS
    ),
)


def deck(dice: Random) -> list[Kind]:
    """Every kind as often as it weighs, in random order."""
    kinds = [kind for kind in KINDS for _ in range(kind.weight)]
    dice.shuffle(kinds)
    return kinds


def _limit_files(pid: int, size: int) -> None:
    with suppress(ProcessLookupError):  # killed meanwhile
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
