"""The worker's numbers for Prometheus: what it drew and how long that took, and what it holds when somebody asks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from unikat.metrics import IMAGES, SECONDS, Buckets, Histogram
from unikat.v1.studio_pb2 import Refusal
from unikat_worker.active import ActiveClose, ActiveJob, ActiveShard, Batch, Item
from unikat_worker.activity import seconds_of
from unikat_worker.catalogue import Catalogue
from unikat_worker.drawing import DrawnBatch

if TYPE_CHECKING:
    from unikat_worker.batches.settlement import BatchSettler
    from unikat_worker.heartbeat import Heartbeat
    from unikat_worker.inference import InferenceThread, Shared
    from unikat_worker.sweeper import Sweeper

KIND: Final = ("model", "kind")
CALL, SHARD, CLOSE = "call", "shard", "close"

_PREFIX: Final = "unikat_worker"


class WorkerMetrics:
    """What became of batches and jobs: a few additions for each. Called by all threads."""

    def __init__(self, registry: CollectorRegistry, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._names: dict[str, str] = {}

        def counter(name: str, text: str, *labels: str) -> Callable[..., Counter]:
            return cache(Counter(f"{_PREFIX}_{name}", text, labels, registry=registry).labels)

        def histogram(name: str, text: str, *labels: str) -> Callable[..., Buckets]:
            made = Histogram(f"{_PREFIX}_{name}", text, labels, IMAGES if name.endswith("images") else SECONDS)
            registry.register(made)
            return made.labels

        self._drawn = counter("drawn_images", "Images that were drawn, refused ones among them.", *KIND)
        self._published = counter(
            "published_images", "Images of calls that Redis has, and refusals in place of images.", "model"
        )
        self._written = counter("written_images", "Images of batches that are in their files.", "model")
        self._jobs = counter("jobs", "Jobs that have ended in this worker, by how.", *KIND, "ending")
        self._failures = counter("failed_batches", "Model batches that could not be drawn.", "model")
        self._sizes = histogram("batch_images", "Images in a model batch.", *KIND)
        self._times = {
            name: histogram(f"{name}_seconds", text, "model")
            for name, text in (
                ("queued", "Of an image of a call: from enqueueing until a worker took its job."),
                ("batched", "Of an image of a call: from the taking of its job until the batch with it was begun."),
                ("published", "Of an image of a call: from the end of its batch until Redis has it."),
            )
        }
        self._drawing = histogram("drawn_seconds", "Of an image: drawing the batch with it in it.", *KIND)
        self._encoding = histogram("encoded_seconds", "Of an image: encoding it; of a batch's images, the mean.", *KIND)

    def drawn(self, batch: Batch, drawn: DrawnBatch) -> None:
        """A batch was drawn."""
        if not drawn.images:
            return
        model, now = self._name(batch.digest), time.monotonic()
        kind = CALL if isinstance(batch.shares[0][0], ActiveJob) else SHARD
        size = batch.size
        self._drawn(model, kind).inc(size)
        self._sizes(model, kind).observe(size)
        self._failures(model)  # at 0
        if kind == SHARD:
            self._written(model)  # at 0, or `increase` misses a worker's first shard
        self._drawing(model, kind).observe(drawn.drawn, size)
        self._encoding(model, kind).observe(drawn.encoded, size)
        for job, positions in batch.shares:
            if isinstance(job, ActiveJob):
                job.drawn_at = now
                self._times["queued"](model).observe(
                    max(0.0, job.taken.begun_at - job.draw.enqueued_at), len(positions)
                )
                self._times["batched"](model).observe(drawn.begun - job.taken_at, len(positions))

    def failed(self, batch: Batch, error: BaseException) -> None:
        """A batch could not be drawn."""
        self._failures(self._name(batch.digest)).inc()

    def published(self, job: ActiveJob, images: int) -> None:
        """Redis has some more images of a job."""
        if not job.drawn_at:  # another worker drew them, and has counted them
            return
        model = self._name(job.digest)
        self._published(model).inc(images)
        self._times["published"](model).observe(time.monotonic() - job.drawn_at, images)

    def ended(self, item: Item) -> None:
        """A job has ended here, and Redis knows."""
        ending = "" if item.ending is None else item.ending.name.lower()
        if isinstance(item, ActiveClose):
            self._jobs("", CLOSE, ending).inc()
        elif isinstance(item, ActiveShard):
            model = self._name(item.digest)
            self._jobs(model, SHARD, ending).inc()
            if ending == "finished":
                self._written(model).inc(item.count - item.refused)
        elif isinstance(item, ActiveJob):
            self._jobs(self._name(item.digest), CALL, ending).inc()
        else:
            self._jobs("", SHARD, ending).inc()  # one that says nothing that can be drawn

    def _name(self, digest: str) -> str:
        """ "name@version" of a model that is served; "" of others, which a payload may name at will."""
        found = self._names.get(digest)
        if found is None:
            self._names = {model.digest: key for key, model in self._catalogue.models.items()}
            found = self._names.get(digest, "")
        return found


@dataclass(frozen=True)
class Parts:
    """What the numbers that are read at a scrape are of."""

    shared: Shared
    heartbeat: Heartbeat
    sweeper: Sweeper
    batches: BatchSettler
    loops: Callable[[], list[InferenceThread]]


class Process(Collector):
    """What this process holds, and counts that others keep; read when they are asked for."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def collect(self) -> Iterable[Metric]:
        yield from self._in_hand()
        yield from self._models()
        yield from self._leases()
        loops = self._parts.loops()
        yield _count(
            "redis_round_trips", "Writes to Redis by inference threads.", sum(o.link.round_trips for o in loops)
        )
        yield _count(
            "redis_sent_bytes",
            "Bytes of commands sent to Redis by inference threads.",
            sum(o.link.sent_bytes for o in loops),
        )

    def _in_hand(self) -> Iterable[Metric]:
        shared, rates = self._parts.shared, self._parts.shared.state.rates
        names = {model.digest: key for key, model in shared.executor.catalogue.models.items()}
        left: dict[tuple[str, ...], list[tuple[str, int]]] = {
            (name, kind): [] for name in names.values() for kind in (CALL, SHARD)
        }
        items: list[ActiveJob | ActiveShard] = [*shared.scheduler.jobs, *shared.scheduler.shards]
        for item in items:
            is_call = isinstance(item, ActiveJob)
            images = item.count - item.published if isinstance(item, ActiveJob) else item.remaining
            left.setdefault((names.get(item.digest, ""), CALL if is_call else SHARD), []).append((item.digest, images))
        held: dict[tuple[str, ...], float] = {of: len(each) for of, each in left.items()}
        yield _gauge("jobs_in_hand", "Jobs that this worker has begun, under its lease.", held, *KIND)
        work = {of: seconds_of(each, shared.executor, rates.images_per_second) for of, each in left.items()}
        yield _gauge("work_seconds", "Seconds that this worker will take for what it has in hand.", work, *KIND)
        yield _gauge(
            "images_per_second",
            "Images that this worker draws a second while it has work, about.",
            {(): rates.images_per_second},
        )

    def _models(self) -> Iterable[Metric]:
        executor = self._parts.shared.executor
        models = executor.catalogue.models
        sessions = {key: executor.catalogue.peek(model.digest) for key, model in models.items()}
        sizes: dict[tuple[str, ...], float] = {
            (key,): session.bytes if session else 0 for key, session in sessions.items()
        }
        yield _gauge("session_bytes", "Weights of a model that are loaded; 0: served, and not loaded.", sizes, "model")
        runs = CounterMetricFamily(
            f"{_PREFIX}_session_runs", "Batches that a loaded session drew, by their size, padding included.",
            labels=("model", "size"),
        )  # fmt: skip
        for key, session in sessions.items():
            for size, number in sorted(session.buckets.runs.items()) if session else ():
                runs.add_metric((key, str(size)), number)
        yield runs
        refused = CounterMetricFamily(
            f"{_PREFIX}_refused_images", "Drawings that are not delivered, by the reason.", labels=("reason",)
        )
        known = {name.removeprefix("REFUSAL_"): 0 for name in Refusal.keys()[1:]}
        for reason, number in (known | executor.finish.judge.refused).items():
            refused.add_metric((reason,), number)
        yield refused

    def _leases(self) -> Iterable[Metric]:
        parts = self._parts
        busy = parts.shared.state.rates.busy_seconds()
        yield _count("busy_seconds", "Seconds in which this worker had calls in hand.", busy)
        yield _count("lease_renewals", "Times that this worker renewed its lease.", parts.heartbeat.beats)
        yield _count(
            "lease_failures",
            "Times that this worker could not renew its lease, because Redis was away.",
            parts.heartbeat.missed,
        )
        yield _count(
            "recovered_jobs", "Jobs of workers without a lease that this one put back.", parts.sweeper.recovered
        )
        yield _count(
            "given_up_jobs", "Jobs that were failed because they ended worker after worker.", parts.sweeper.given_up
        )
        yield _count("retries", "Jobs of calls that failed and are tried again.", parts.shared.settler.retries)
        yield _count("batch_pauses", "Times that a batch's destination could not be used.", parts.batches.pauses)


def _count(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}_{name}", text, value)


def _gauge(name: str, text: str, values: Mapping[tuple[str, ...], float], *labels: str) -> Metric:
    family = GaugeMetricFamily(f"{_PREFIX}_{name}", text, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family
