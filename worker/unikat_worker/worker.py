"""The RQ worker: registered, listed and commanded like any other, but drawing many jobs at a time."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, Final
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError
from rq import SimpleWorker
from rq.command import parse_payload
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus as RqState

from unikat.bundle import has_index
from unikat.observed import traced
from unikat.queue.activity import Activity
from unikat.queue.clients import REPLY_S
from unikat.queue.clock import redis_time
from unikat.queue.draws import wake
from unikat.queue.job import TERMS
from unikat.queue.keys import WORKERS_QUEUE, model_key
from unikat.queue.unready import PASSING
from unikat.queue.workers import WorkerStatus
from unikat_worker import inference
from unikat_worker.activity import activity_of
from unikat_worker.batches.places import Places
from unikat_worker.batches.thread import BatchThread
from unikat_worker.control import OperatorControl
from unikat_worker.executor import Executor
from unikat_worker.heartbeat import Heartbeat, Said
from unikat_worker.scheduler import Scheduler
from unikat_worker.settings import Settings
from unikat_worker.settlement import Settler
from unikat_worker.state import State
from unikat_worker.sweeper import Sweeper

_LOOK: Final = 0.5  # seconds between looks at whether a signal came
_RESCAN: Final = 2.0  # seconds between looks at the models folder
_COLLECT_EVERY: Final = 50_000  # objects
_THREADS: Final = frozenset({"inference", "batches", "watch"})  # first part of the names of those it cannot be without
_GOODBYE: Final = 8.0  # seconds in which a leaving worker tries to reach Redis

log = logging.getLogger(__name__)


class DrawWorker(SimpleWorker):
    """An RQ worker whose inference threads take jobs themselves, many at a time."""

    _turn = 0

    def __init__(self, redis: Redis, settings: Settings, executor: Executor, places: Places) -> None:
        super().__init__(
            [WORKERS_QUEUE],
            name=settings.name or f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}",
            connection=redis,
            serializer=JSONSerializer,
            default_result_ttl=settings.result_ttl_s,
            worker_ttl=30,
        )
        self._settings = settings
        self._device = device = executor.device
        self._executor = executor
        self._catalogue = executor.catalogue
        self._judge = executor.finish.judge
        self._threads = State()
        self._sweeper = Sweeper(redis, settings.lease_s, settings.max_crashes, settings.result_ttl_s)
        self._scheduler = Scheduler(
            device.inference_threads,
            settings.max_jobs,
            executor.limit,
            lambda digest: executor.seconds(digest, 1),
            self._threads.events.put,
            one_at_a_time=device.is_cuda,
        )
        self._settler = Settler(self, settings.result_ttl_s)
        self._shared = inference.Shared(
            redis, self.name, settings, self._scheduler, executor, self._settler, self._threads, self._model_keys
        )
        self._batches = BatchThread(places, executor, self._scheduler, self._threads, self._settler)
        self._control = OperatorControl(self.name, self._catalogue, self._scheduler, self._threads)
        said = Said(self._status, self._models, self._activity, self._control.heed)
        self._pulse = Heartbeat(self, self._sweeper, self._threads, self._suspend, settings.lease_s, said)
        self._loops: list[inference.InferenceThread] = []

    def work(self, *_: Any, **__: Any) -> bool:  # noqa: ANN401  (RQ's signature; its options have no meaning here)
        """Work until SIGTERM, SIGINT or RQ's shutdown command."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        threading.excepthook = end_without
        with self._observed():
            self._work()
        return True

    @contextmanager
    def _observed(self) -> Iterator[None]:
        """With numbers for Prometheus and spans, where these are asked for. Raises OSError."""
        with traced("worker") as tracer:
            if tracer is not None:
                from unikat_worker.spans import WorkerSpans  # with OpenTelemetry

                self._threads.observers.append(WorkerSpans(tracer, self._threads.clock))
            if not self._settings.metrics:
                yield
                return
            from unikat.metrics import new_registry, served  # with prometheus-client
            from unikat_worker.metrics import Parts, Process, WorkerMetrics

            parts = Parts(self._shared, self._pulse, self._sweeper, self._batches.settler, lambda: self._loops)
            registry = new_registry(Process(parts))
            self._threads.observers.append(WorkerMetrics(registry, self._catalogue))
            with served(self._settings.metrics, registry):
                yield

    def _work(self) -> None:
        self._register()
        self._pulse.start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        print(self._ready_line(), flush=True)  # before a job can end this process: it could start
        self._loops, threads = inference.start(self._shared, self._device.inference_threads)
        batches = threading.Thread(target=self._batches.run, name="batches", daemon=True)
        batches.start()
        # What was made so far stays, and jobs leave next to no cycles: the collector need not look every 700 objects.
        gc.freeze()
        gc.set_threshold(_COLLECT_EVERY)
        # The kernel may give a signal to a thread that starts another just then. Python's handler still runs in this
        # thread, when it next does something.
        while not self._threads.stop.wait(_LOOK):
            pass
        try:
            self._leave([*threads, batches])
        finally:
            self._depart()

    def _register(self) -> None:
        """RQ knows this worker, and others see that it is alive, when this returns: errors that pass are waited out."""
        pause = 0.05
        while not self._threads.stopping:
            try:
                self._threads.clock.set(redis_time(self.connection))
                self._control.begin()
                if self.connection.hget(self.key, "pid") != str(self.pid).encode():  # it may be the second try
                    self.register_birth()
                if self.pubsub_thread is None:
                    self.subscribe()
                self.set_state(RqState.STARTED)
                self._pulse.beat()
                return
            except PASSING as error:
                log.warning("waiting for Redis, next try in %.2f s: %s", pause, error)
                time.sleep(pause)
                pause = min(2 * pause, 1.0)

    def _set_ip_address(self, connection: Redis) -> None:
        """RQ asks Redis for it in the constructor, where nothing waits for Redis."""
        self.ip_address = "unknown"
        with suppress(*PASSING):
            super()._set_ip_address(connection)

    @property
    def connection_timeout(self) -> float:  # type: ignore[override]  # RQ adds its own waits, which there are none of
        """Seconds that a reply is waited for, at least."""
        return REPLY_S

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """The lease in seconds: what RQ derives from the job's time limit, which is not used (a job has a deadline)."""
        return int(self._settings.lease_s)

    def handle_payload(self, message: dict[Any, Any]) -> None:
        """RQ's commands: stopping a job closes its stream, at the next batch; the others are RQ's."""
        payload = parse_payload(message)
        if payload["command"] in ("stop-job", "stop-execution"):
            job_id = str(payload.get("job_id"))
            self._scheduler.stop_job(job_id)
            self._threads.events.put(job_id)
            if self._scheduler.waits:
                wake(self.connection, self.name)
        else:
            super().handle_payload(message)

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:  # noqa: ANN401  (RQ's)
        """Commands are hints: while Redis is away there are none."""
        if not isinstance(exc, RedisError):
            raise exc
        time.sleep(1.0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._threads.stop.set()

    def _suspend(self, suspended: bool) -> None:
        self._scheduler.suspended = suspended

    def _leave(self, threads: list[threading.Thread]) -> None:
        """Finish what is being drawn, publish it, and give back what is unfinished."""
        self._scheduler.stop()
        self._threads.events.put(None)
        with suppress(RedisError):
            wake(self.connection, self.name)
        for thread in threads:
            thread.join()
        until = time.monotonic() + _GOODBYE
        while time.monotonic() < until:
            try:
                self._loops[0].flush()
                self._settler.give_back(self._scheduler.jobs)
                break
            except RedisError as error:
                log.warning("unfinished jobs cannot be given back yet: %s", error)
                time.sleep(0.2)
        self._batches.leave()

    def _ready_line(self) -> str:
        models = ",".join(self._catalogue.models) or "none"
        return f"worker ready: models={models} provider={self._device.provider} name={self.name} pid={os.getpid()}"

    def _status(self) -> WorkerStatus:
        self._threads.rates.update()
        begun = [loop.begun for loop in self._loops if loop.begun is not None]
        if begun and time.monotonic() - min(begun) > self._settings.stall_s:
            log.critical("a batch hangs for more than %.0f s; this worker ends", self._settings.stall_s)
            os._exit(70)
        offered = self._control.offered
        return WorkerStatus(
            name=self.name,
            models={key: model.digest for key, model in offered.items()},
            device="cuda" if self._device.is_cuda else "cpu",
            provider=self._device.provider,
            runtime=self._device.runtime,
            images_per_second=self._threads.rates.images_per_second,
            jobs_per_second=self._threads.rates.jobs_per_second,
            beat_at=self._threads.clock.now(),
            terms=list(TERMS),
            indexed=[model.digest for model in offered.values() if has_index(model)],
            directions=self._catalogue.directions,
            content_gate=self._settings.content_gate,
            refused=self._judge.refused,
        )

    def _activity(self) -> Activity:
        return activity_of(self._scheduler, self._executor, self._threads)

    def _models(self) -> list[Any]:
        return list(self._catalogue.models.values())

    def _model_keys(self) -> list[str]:
        """Model keys that this worker draws; the one whose turn it is comes first."""
        keys = [model_key(key, model.digest) for key, model in self._control.offered.items()]
        self._turn = (self._turn + 1) % max(1, len(keys))
        return keys[self._turn :] + keys[: self._turn]

    def _watch(self) -> None:
        """New models are served without a restart."""
        while not self._threads.stopping:
            time.sleep(_RESCAN)
            try:
                if self._catalogue.scan():
                    self._pulse.announce()
                self._control.preload()
            except Exception:
                log.exception("the models folder cannot be read; next look in %.0f s", _RESCAN)

    def _depart(self) -> None:
        self._pulse.stop()
        try:
            self._pulse.withdraw()
            self.teardown()
        except RedisError as error:
            log.warning("could not say goodbye to Redis: %s", error)


def end_without(lost: threading.ExceptHookArgs) -> None:
    """A worker that has lost one of its threads would beat on, and draw nothing: it ends, and others take its jobs."""
    name = "" if lost.thread is None else lost.thread.name
    if name.partition("-")[0] not in _THREADS:
        threading.__excepthook__(lost)
        return
    log.critical(
        "the thread %s broke down; this worker ends, so that others take its jobs", name, exc_info=lost.exc_value
    )
    os._exit(70)
