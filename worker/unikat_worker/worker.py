"""The RQ worker: registered, listed and commanded like any other, but drawing many jobs at a time."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from types import FrameType
from typing import Any, Final
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.command import parse_payload
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus as RqState

from unikat.queue.keys import LEGACY_QUEUE as QUEUE
from unikat.queue.workers import WorkerStatus
from unikat_worker.batches.desk import Desk
from unikat_worker.catalogue import Catalogue
from unikat_worker.device import Device
from unikat_worker.drawing import Artist
from unikat_worker.heartbeat import Heartbeat
from unikat_worker.loop import Loop
from unikat_worker.settings import Settings
from unikat_worker.settlement import Settlement
from unikat_worker.state import State
from unikat_worker.sweeper import Sweeper

_RESCAN: Final = 2.0  # seconds between looks at the models folder

log = logging.getLogger(__name__)


class DrawWorker(SimpleWorker):
    """A worker on the one queue: with more than one, RQ cannot move jobs without a moment in which they can be lost."""

    def __init__(self, redis: Redis, settings: Settings, device: Device, catalogue: Catalogue) -> None:
        super().__init__(
            [QUEUE],
            name=settings.name or f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}",
            connection=redis,
            serializer=JSONSerializer,
            default_result_ttl=settings.result_ttl_s,
            worker_ttl=30,
        )
        self._settings = settings
        self._device = device
        self._catalogue = catalogue
        self._shared = State()
        queue = self.queues[0]
        sweeper = Sweeper(redis, queue, settings.lease_s, settings.max_crashes, settings.result_ttl_s)
        self._pulse = Heartbeat(self, sweeper, self._shared, settings.lease_s, self._status, self._models)
        artist = Artist(catalogue, device, settings.batch_ms / 1000)
        desk = Desk(redis, settings, artist, self._shared, self._settlement)
        self._loop = Loop(queue, settings, artist, self._settlement(queue), self._shared, desk)

    def _settlement(self, queue: Queue) -> Settlement:
        return Settlement(self, queue, self._settings.result_ttl_s)

    def work(self, *_: Any, **__: Any) -> bool:  # noqa: ANN401  (RQ's signature; its options have no meaning here)
        """Work until SIGTERM, SIGINT or RQ's shutdown command."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        self.register_birth()
        self.subscribe()
        self.set_state(RqState.STARTED)
        self._pulse.start()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        print(self._ready_line(), flush=True)
        try:
            self._loop.run()
        finally:
            self._depart()
        return True

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        """The lease in seconds: what RQ derives from the job's time limit, which is not used (a job has a deadline)."""
        return int(self._settings.lease_s)

    def handle_payload(self, message: dict[Any, Any]) -> None:
        """RQ's commands: stopping a job closes its stream, at the next batch; the others are RQ's."""
        payload = parse_payload(message)
        if payload["command"] in ("stop-job", "stop-execution"):
            self._shared.stops.add(str(payload.get("job_id")))
            self._shared.inbox.put(None)
        else:
            super().handle_payload(message)

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:  # noqa: ANN401  (RQ's)
        """Commands are hints: while Redis is away there are none."""
        if not isinstance(exc, RedisError):
            raise exc
        time.sleep(1.0)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._shared.stop()

    def _ready_line(self) -> str:
        models = ",".join(self._catalogue.models) or "none"
        return f"worker ready: models={models} provider={self._device.provider} name={self.name} pid={os.getpid()}"

    def _status(self) -> WorkerStatus:
        self._shared.rates.update()
        if self._loop.lanes.longest > self._settings.stall_s:
            log.critical("a batch hangs for more than %.0f s; this worker ends", self._settings.stall_s)
            os._exit(70)
        return WorkerStatus(
            name=self.name,
            models={key: model.digest for key, model in self._catalogue.models.items()},
            device="cuda" if self._device.is_cuda else "cpu",
            provider=self._device.provider,
            runtime=self._device.runtime,
            images_per_second=self._shared.rates.images_per_second,
            jobs_per_second=self._shared.rates.jobs_per_second,
            beat_at=time.time(),
        )

    def _models(self) -> list[Any]:
        return list(self._catalogue.models.values())

    def _watch(self) -> None:
        """New models are served without a restart."""
        while not self._shared.stopping:
            time.sleep(_RESCAN)
            try:
                if self._catalogue.scan():
                    self._pulse.announce()
            except Exception:
                log.exception("the models folder cannot be read; next look in %.0f s", _RESCAN)

    def _depart(self) -> None:
        self._pulse.stop()
        try:
            self._pulse.withdraw()
            self.teardown()
        except RedisError as error:
            log.warning("could not say goodbye to Redis: %s", error)
