"""The worker's pulse, from a thread of its own: leases, what it says of itself, and the sweep for dead others."""

from __future__ import annotations

import logging
import math
import os
import threading
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

from google.protobuf import json_format
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import RedisError, ResponseError
from rq import Queue, SimpleWorker, worker_registration
from rq.executions import WORKER_EXECUTIONS_KEY_TEMPLATE, Execution
from rq.suspension import WORKERS_SUSPENDED
from rq.worker_registration import WORKERS_BY_QUEUE_KEY

from unikat.bundle import key_of
from unikat.queue.activity import Activity, activity_key
from unikat.queue.batches.progress import BatchProgress
from unikat.queue.control import CONTROL_KEY, Action, Control
from unikat.queue.draws import RECORD_TTL
from unikat.queue.keys import QUEUES_KEY, WORKERS_QUEUE, model_key, queues_key, turns_key
from unikat.queue.workers import (
    MODELS_KEY,
    WORKER_TTL,
    WORKERS_KEY,
    WorkerStatus,
    lease_key,
    worker_key,
)
from unikat.v1.model_pb2 import Model
from unikat_worker.state import State
from unikat_worker.sweeper import Sweeper

_FORGET: Final = 3600.0  # seconds after its last beat until a name is forgotten
_ANNOUNCE_EVERY: Final = 10.0  # seconds between repeats of what hardly changes, for a Redis that lost it
_SWEEP_EVERY: Final = 1.0
_SETTLES_WITHIN: Final = 2.0  # seconds: between what the loop knows of a job and what Redis does lies a round trip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Said:
    """What the worker says of itself, asked for at every beat, and what is told before: what operators said.

    `heed` also gets, of what is unloaded, each "name@version" that jobs wait for, or batches that have not ended.
    """

    status: Callable[[], WorkerStatus]
    models: Callable[[], list[Model]] = list
    activity: Callable[[], Activity] = Activity
    heed: Callable[[Control, Collection[str]], None] = lambda control, wanted: None


class Heartbeat:
    """Beats three times a lease and sweeps every second."""

    def __init__(
        self,
        worker: SimpleWorker,
        sweeper: Sweeper,
        state: State,
        suspend: Callable[[bool], None],
        lease_s: float,
        said: Said,
    ) -> None:
        """`suspend` is told when `rq suspend` or `rq resume` was called."""
        self._state = state
        self._tell_suspended = suspend
        self._worker = worker
        self._redis: Redis = worker.connection
        self._batches = BatchProgress(self._redis)
        self._sweeper = sweeper
        self._lease_ms = math.ceil(lease_s * 1000)
        self._period = lease_s / 3
        self._said = said
        self._announced_at = -math.inf
        self._quiet_until = 0.0
        self._strange: dict[str, float] = {}  # executions that Redis ascribes to this worker, since when
        self._wake = threading.Event()
        self._stopped = False
        self.beats = self.missed = 0
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Beats come from a thread from here on; the first was `beat`."""
        self._thread.start()

    def announce(self) -> None:
        """The models changed: say so now."""
        self._announced_at = -math.inf
        self._wake.set()

    def stop(self) -> None:
        """No beat comes after this."""
        self._stopped = True
        self._wake.set()
        self._thread.join()

    def withdraw(self) -> None:
        """Callers must not count on this worker any more. Raises RedisError."""
        self._redis.zrem(WORKERS_KEY, self._worker.name)
        name = self._worker.name
        self._redis.delete(worker_key(name), activity_key(name), lease_key(name))
        self._redis.hdel(CONTROL_KEY, f"{Action.DRAIN} {name}")

    def beat(self) -> None:
        """One beat. Raises RedisError."""
        self._listen()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.smembers(WORKER_EXECUTIONS_KEY_TEMPLATE.format(self._worker.name))
        pipeline.set(lease_key(self._worker.name), "1", px=self._lease_ms)
        pipeline.exists(WORKERS_SUSPENDED)
        status = self._said.status()
        for key, digest in status.models.items():
            pipeline.smembers(queues_key(model_key(key, digest)))
        self._worker.heartbeat(math.ceil(max(WORKER_TTL, self._lease_ms / 500)), pipeline=pipeline)
        # A dead worker's jobs are found by this set, however long all workers are away.
        pipeline.expire(WORKER_EXECUTIONS_KEY_TEMPLATE.format(self._worker.name), RECORD_TTL)
        pipeline.hset(self._worker.key, "state", "busy" if self._state.executions else "idle")
        self._add_status(pipeline, status)
        members, _, suspended, *rest = pipeline.execute()
        self.beats += 1
        self._disown(members)
        self._suspend(bool(suspended) or self._state.draining)
        self._serve({queue.decode(errors="replace") for queues in rest[: len(status.models)] for queue in queues})

    def _listen(self) -> None:
        """Ask what operators said, and which models Redis does not know."""
        models = self._said.models()
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(CONTROL_KEY)
        for model in models:
            pipeline.hexists(MODELS_KEY, model.digest)
        found, *known = pipeline.execute(raise_on_error=False)
        for reply in known:
            if isinstance(reply, Exception):
                raise reply
        self._describe([model for model, is_known in zip(models, known, strict=True) if not is_known])
        # Where it cannot be read, nothing was said: a worker does not end for that.
        control = Control.of(found) if isinstance(found, dict) else Control()
        self._said.heed(control, self._wanted([model for model in models if key_of(model) in control.unloaded]))

    def _wanted(self, unloaded: Sequence[Model]) -> set[str]:
        """Those that jobs of calls wait for, and those of batches that have not ended."""
        if not unloaded:
            return set()
        try:
            pipeline = self._redis.pipeline(transaction=False)
            for model in unloaded:
                pipeline.exists(turns_key(model_key(key_of(model), model.digest)))
            waits = zip(unloaded, pipeline.execute(), strict=True)
            drawn = self._batches.digests()
        except ResponseError as error:  # somebody else wrote there: nothing is freed for that
            log.warning("what unloaded models are wanted for cannot be read: %s", error)
            return {key_of(model) for model in unloaded}
        return {key_of(model) for model, is_waited_for in waits if is_waited_for or model.digest in drawn}

    def _describe(self, unknown: list[Model]) -> None:
        """Models that Redis does not know, or has lost in a failover; without a description nobody can ask for one."""
        for model in unknown:  # one with many combinations has a megabyte to tell
            self._redis.hset(MODELS_KEY, model.digest, json_format.MessageToJson(model, indent=None))

    def _serve(self, queues: set[str]) -> None:
        """RQ's tools list this worker beside the queues that it serves now, from the next beat on."""
        before = set(self._worker.queue_names()) - {WORKERS_QUEUE}
        if queues == before:
            return
        for name in before - queues:
            self._redis.srem(WORKERS_BY_QUEUE_KEY % name, self._worker.key)
        serializer = self._worker.serializer
        names = [WORKERS_QUEUE, *sorted(queues)]
        self._worker.queues = [Queue(name, connection=self._redis, serializer=serializer) for name in names]
        self._announced_at = -math.inf

    def _add_status(self, pipeline: Pipeline, status: WorkerStatus) -> None:
        pipeline.set(worker_key(status.name), status.to_json(), ex=math.ceil(WORKER_TTL))
        pipeline.set(activity_key(status.name), self._said.activity().to_json(), ex=math.ceil(WORKER_TTL))
        pipeline.zadd(WORKERS_KEY, {status.name: status.beat_at + WORKER_TTL})
        pipeline.zremrangebyscore(WORKERS_KEY, "-inf", status.beat_at - _FORGET)
        if time.monotonic() - self._announced_at > _ANNOUNCE_EVERY:
            pipeline.hset(self._worker.key, mapping=self._worker.serialize())
            worker_registration.register(self._worker, pipeline)
            pipeline.sadd(QUEUES_KEY, f"rq:queue:{WORKERS_QUEUE}")  # `rq info` shows the workers of known queues only
            self._announced_at = time.monotonic()

    def _disown(self, members: set[bytes]) -> None:
        """What Redis says this worker draws, and it does not: others shall.

        A Redis that was killed may come back as it was a moment ago: with a job begun that has long been settled. The
        lease of a worker that lives would keep it so for ever.
        """
        moment = time.monotonic()
        strange = {member.decode(errors="replace") for member in members} - set(self._state.executions.values())
        self._strange = {key: self._strange.get(key, moment) for key in strange}
        for key, since in self._strange.items():
            if moment - since > _SETTLES_WITHIN:
                job = key.partition(":")[0]
                log.warning("job %s: Redis says that it is drawn here, and it is not", job, extra={"job": job})
                execution = Execution.from_composite_key(key, connection=self._redis)
                if self._redis.exists(execution.key):
                    self._redis.hset(execution.key, "worker_name", "")  # nobody's: the next sweep takes it
                self._redis.srem(WORKER_EXECUTIONS_KEY_TEMPLATE.format(self._worker.name), key)

    def _suspend(self, suspended: bool) -> None:
        if suspended != self._state.suspended:
            if not self._state.draining:
                log.info("suspended by `rq suspend`" if suspended else "resumed")
            self._state.suspended = suspended
            self._tell_suspended(suspended)
            self._state.events.put(None)

    def _run(self) -> None:
        beat_at = time.monotonic()
        while not self._stopped:
            self._wake.wait(min(_SWEEP_EVERY, self._period))
            woken = self._wake.is_set()
            self._wake.clear()
            try:
                if woken or time.monotonic() - beat_at >= self._period:
                    beat_at = time.monotonic()
                    self.beat()
                if time.monotonic() > self._quiet_until:
                    self._sweeper.sweep(_SWEEP_EVERY)
            except RedisError as error:
                log.warning("no heartbeat: %s", error)
                self.missed += 1
                # Leases ran out while Redis was away: their owners shall have the time to renew them.
                self._quiet_until = time.monotonic() + self._lease_ms / 1000
            except Exception:
                log.exception("the heartbeat stopped; this worker ends, so that others take its jobs")
                os._exit(70)
