"""What happens to any work in any order: workers start, die and sweep, and Redis goes back in time.

Hypothesis composes the orders; scripts, settlement, sweep and heartbeat are the real ones on a real Valkey.
"""

from __future__ import annotations

import copy
import logging
import time
from typing import Any, Protocol, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from redis import Redis

from unikat.queue.workers import WorkerStatus, lease_key
from unikat_worker import heartbeat
from unikat_worker.heartbeat import Heartbeat
from unikat_worker.state import State
from unikat_worker.sweeper import LOCK, Sweeper


class LiveWorker(Protocol):
    """A worker that is alive."""

    name: str
    state: State
    heartbeat: Heartbeat


class Order(RuleBasedStateMachine):
    """Workers and Redis, one step after the other. `acknowledged` is what callers were told, as far as Redis goes."""

    redis: Redis
    acknowledged: Any
    workers: list[Any]  # LiveWorkers of the subclass's kind

    def __init__(self) -> None:
        super().__init__()
        self.redis.flushall()
        self.sweeper = Sweeper(self.redis, lease_s=1, max_crashes=1000, result_ttl_s=600)
        self.workers = []
        self.dead: list[str] = []
        self.names = 0
        self.dump: tuple[dict[bytes, tuple[bytes, int]], Any] | None = None
        self.start_worker()

    def new_worker(self, name: str) -> LiveWorker:
        """Of this name, with its first beat done."""
        raise NotImplementedError

    @rule()
    @precondition(lambda self: len(self.workers) < 3)
    def start_worker(self) -> None:
        self.workers.append(self.new_worker(self.name("worker")))

    @rule(data=st.data())
    @precondition(lambda self: self.workers)
    def kill_worker(self, data: st.DataObject) -> None:
        self.bury(data.draw(st.sampled_from(self.workers)))

    @rule()
    def sweep(self) -> None:
        for worker in self.workers:
            worker.heartbeat.beat()
        time.sleep(0.002)  # the period of a sweep before
        self.sweeper.sweep(0.001)

    @rule(data=st.data())
    @precondition(lambda self: self.workers)
    def sleep_too_long(self, data: st.DataObject) -> None:
        """A worker's lease runs out, others take what it has in hand, and it wakes up."""
        busy = [worker for worker in self.workers if worker.state.executions]
        self.redis.delete(lease_key(data.draw(st.sampled_from(busy or self.workers)).name))
        time.sleep(0.002)
        self.sweeper.sweep(0.001)

    @rule()
    def save(self) -> None:
        self.redis.delete(LOCK)  # of a sweep, for a moment
        keys = cast("list[bytes]", self.redis.keys("*"))
        dumped = {key: (cast(bytes, self.redis.dump(key)), max(0, self.redis.pttl(key))) for key in keys}
        self.dump = dumped, copy.deepcopy(self.acknowledged)

    @rule()
    @precondition(lambda self: self.dump)
    def go_back(self) -> None:
        assert self.dump is not None
        keys, self.acknowledged = self.dump[0], copy.deepcopy(self.dump[1])
        self.redis.flushall()
        for key, (value, ttl) in keys.items():
            self.redis.restore(key, ttl, value)
        for name in self.dead:  # their leases run out again
            self.redis.delete(lease_key(name))

    def bury(self, worker: LiveWorker) -> None:
        """A worker is dead, and its lease has run out."""
        self.workers.remove(worker)
        self.dead.append(worker.name)
        self.redis.delete(lease_key(worker.name))

    def leave_one(self) -> None:
        """One worker is left."""
        for worker in self.workers[1:]:
            self.redis.delete(lease_key(worker.name))
        self.workers = self.workers[:1]
        if not self.workers:
            self.start_worker()

    def name(self, what: str) -> str:
        """Never given before."""
        self.names += 1
        return f"{what}-{self.names}"


def status_of(name: str) -> WorkerStatus:
    """Of a worker that has no model."""
    return WorkerStatus(name, {}, "cpu", "none", "none", 0.0, 0.0, time.time())


def run_orders(machine: type[Order], redis: Redis, patch: pytest.MonkeyPatch, examples: int) -> None:
    """Try orders of 50 steps."""
    patch.setattr(heartbeat, "_SETTLES_WITHIN", -1.0)  # no other thread is between two of its steps here
    patch.setattr(machine, "redis", redis, raising=False)
    logging.disable(logging.CRITICAL)
    try:
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=examples,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate],
                database=None,  # to make a failure shorter takes minutes
            ),
        )
    finally:
        logging.disable(logging.NOTSET)
