"""The service's numbers for Prometheus: what became of its calls, and what waits in Redis whenever somebody asks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Final

from google.rpc.code_pb2 import Code
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from redis import Redis
from redis.exceptions import RedisError

from unikat.call_records import CallRecord, Records
from unikat.metrics import Buckets, Histogram, new_registry, served
from unikat.queue.waiting import Amount, waiting
from unikat_service.budgets import limits
from unikat_service.catalogue import Snapshot
from unikat_service.context import ServiceContext

CALLER: Final = ("model", "caller_class")

log = logging.getLogger(__name__)


@contextmanager
def observed(service: ServiceContext, redis: Redis, records: Records) -> Iterator[None]:
    """Count calls, and serve the numbers until the end of the block. Raises OSError."""
    registry = new_registry(Process(service, records), Queue(service, redis))
    records.ended = CallMetrics(registry).ended
    with served(service.settings.metrics, registry):
        yield


class CallMetrics:
    """What became of calls. Used by one event loop."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return cache(Counter(f"unikat_service_{name}", text, labels, registry=registry).labels)

        def histogram(name: str, text: str, *labels: str) -> Callable[..., Buckets]:
            made = Histogram(f"unikat_service_{name}", text, labels)
            registry.register(made)
            return made.labels

        self._requests = counter(
            "requests",
            "Calls that have ended, by how they ended: OK, or a code of gRPC and the reason in ErrorInfo.",
            "method", *CALLER, "code", "reason",
        )  # fmt: skip
        self._refusals = counter("refusals", "Calls that were refused because of a limit, by its setting.", "setting")
        for setting in limits():
            self._refusals(setting)  # at 0: what was never met is a fact as well
        self._images = counter("images", "Images that were sent to callers.", *CALLER)
        self._refused = counter("refused_images", "Images that callers were told are refused.", *CALLER)
        self._bytes = counter("sent_bytes", "Bytes of images and of what goes with them, sent to callers.", *CALLER)
        self._seconds = histogram("request_seconds", "Of a call, from its request to its end.", "method", *CALLER)
        self._first = histogram(
            "first_image_seconds", "From a call's request until its first image can be sent.", *CALLER
        )
        self._delivered = histogram(
            "delivered_seconds",
            "Of Generate: from when an image can be sent until gRPC has taken it; of the images of a call, the mean.",
            *CALLER,
        )

    def ended(self, record: CallRecord) -> None:
        """A call has ended. Costs some microseconds, however many images it had."""
        model, kind = caller = record.model, record.caller_class
        self._requests(record.method, model, kind, Code.Name(record.code), record.reason).inc()
        self._seconds(record.method, model, kind).observe(record.seconds)
        if record.setting:
            self._refusals(record.setting).inc()
        if record.first is not None:
            self._first(*caller).observe(record.first)
        if record.images:
            self._images(*caller).inc(record.images)
            if record.sending:
                self._delivered(*caller).observe(record.sending / record.images, record.images)
        if record.bytes:
            self._bytes(*caller).inc(record.bytes)
            self._refused(*caller).inc(record.refused)


class Process(Collector):
    """What this process holds, and what it knows of workers; read when it is asked for."""

    def __init__(self, service: ServiceContext, records: Records) -> None:
        self._service = service
        self._records = records

    def collect(self) -> Iterable[Metric]:
        service, snapshot, p = self._service, self._service.catalogue.snapshot, "unikat_service"
        yield _gauge(f"{p}_calls", "Calls in progress.", self._records.running)
        yield _gauge(f"{p}_jobs", "Jobs that calls of this service wait for, each with a lease.", service.delivery.jobs)
        yield _gauge(
            f"{p}_unsent_bytes", "Images that are held because callers have not read them.", service.delivery.held_bytes
        )
        trips = sum(each.round_trips for each in service.connections)
        yield CounterMetricFamily(f"{p}_redis_round_trips", "Writes to Redis, of any number of commands.", trips)
        size = sum(each.sent_bytes for each in service.connections)
        yield CounterMetricFamily(f"{p}_redis_sent_bytes", "Bytes of commands sent to Redis.", size)
        yield _gauge(
            f"{p}_redis_up", "1 where Redis answered when it was last asked, which is once a second.",
            int(service.catalogue.healthy),
        )  # fmt: skip
        yield _gauge(
            f"{p}_redis_memory_ratio", "Of the memory that Redis may use (maxmemory), what it uses; 0: no limit.",
            snapshot.memory_percent / 100,
        )  # fmt: skip
        yield _gauge(f"{p}_workers", "Workers that are alive.", snapshot.workers)
        yield _by_model(f"{p}_model_workers", "Workers that are alive and serve a model.", snapshot.live)
        yield _by_model(
            f"{p}_model_images_per_second", "Images that the live workers of a model say they draw a second, together.",
            {key: snapshot.rates.get(snapshot.models[key].digest, 0.0) for key in snapshot.live},
        )  # fmt: skip


class Queue(Collector):
    """What waits in Redis: the same from every service, and asked for anew each time."""

    def __init__(self, service: ServiceContext, redis: Redis) -> None:
        """`redis`: for threads."""
        self._service = service
        self._redis = redis
        self._paces: dict[str, float] = {}  # "name@version" -> seconds that a worker takes for an image, as last said

    def collect(self) -> Iterable[Metric]:
        try:
            found = waiting(self._redis, self._service.settings.result_ttl_s)
        except RedisError as error:  # unikat_service_redis_up says it; what is not known is left out
            log.warning("What waits in Redis cannot be counted: %s", error)
            return
        snapshot = self._service.catalogue.snapshot
        self._learn(snapshot)
        queued, batches = (
            {**dict.fromkeys(snapshot.models, Amount()), **each} for each in (found.queued, found.batches)
        )
        p = "unikat_queue"
        yield _by_model(f"{p}_jobs", "Jobs of calls that wait for a worker.", _jobs(queued))
        yield _by_model(f"{p}_images", "Images of the jobs of calls that wait for a worker.", _images(queued))
        yield _by_model(
            f"{p}_work_seconds",
            "Seconds that one worker would take for the images of calls that wait; of models whose pace is known.",
            self._seconds(queued),
        )
        yield _gauge(f"{p}_charged_seconds", "Work of calls in progress, as --max-work-s counts it.", found.seconds)
        yield _gauge(
            f"{p}_charged_bytes", "Redis memory of calls in progress, as --max-waiting-mb counts it.", found.bytes
        )
        p = "unikat_batches"
        yield _by_model(f"{p}_open", "Batches that have not ended.", _jobs(batches))
        paused = {**dict.fromkeys(snapshot.models, 0), **found.paused}
        yield _by_model(f"{p}_paused", "Open batches that wait for their destination.", paused)
        yield _by_model(f"{p}_images", "Images of open batches that are not written yet.", _images(batches))
        yield _by_model(
            f"{p}_work_seconds",
            "Seconds that one worker would take for the images of open batches; of models whose pace is known.",
            self._seconds(batches),
        )

    def _learn(self, snapshot: Snapshot) -> None:
        for key in snapshot.live:
            digest = snapshot.models[key].digest
            if workers := snapshot.rated.get(digest, 0):
                self._paces[key] = workers / snapshot.rates[digest]

    def _seconds(self, amounts: Mapping[str, Amount]) -> dict[str, float]:
        return {key: each.images * self._paces[key] for key, each in amounts.items() if key in self._paces}


def _jobs(amounts: Mapping[str, Amount]) -> dict[str, float]:
    return {key: each.jobs for key, each in amounts.items()}


def _images(amounts: Mapping[str, Amount]) -> dict[str, float]:
    return {key: each.images for key, each in amounts.items()}


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value)


def _by_model(name: str, text: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=("model",))
    for model, value in values.items():
        family.add_metric((model,), value)
    return family
