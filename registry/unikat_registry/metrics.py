"""The registry's numbers for Prometheus: what became of its calls, and how many entries its log has."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

from google.rpc.code_pb2 import Code
from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from unikat.call_records import CallRecord, Records
from unikat.metrics import Histogram, new_registry, served
from unikat_registry.database import reading
from unikat_registry.tree import committed

log = logging.getLogger(__name__)


@contextmanager
def observed(address: str, engine: Engine, records: Records) -> Iterator[None]:
    """Count calls, and serve the numbers until the end of the block. Raises NotServed."""
    registry = new_registry(Process(engine, records))
    records.ended = CallMetrics(registry).ended
    with served(address, registry):
        yield


class CallMetrics:
    """What became of calls."""

    def __init__(self, registry: CollectorRegistry) -> None:
        requests = Counter(
            "unikat_registry_requests",
            "Calls that have ended, by how they ended: OK, or a code of gRPC and the reason in ErrorInfo.",
            ("method", "code", "reason"),
            registry=registry,
        )
        self._requests = cache(requests.labels)
        self._seconds = Histogram(
            "unikat_registry_request_seconds", "Of a call, from its request to its end.", ("method",)
        )
        registry.register(self._seconds)

    def ended(self, record: CallRecord) -> None:
        """A call has ended."""
        self._requests(record.method, Code.Name(record.code), record.reason).inc()
        self._seconds.labels(record.method).observe(record.seconds)


class Process(Collector):
    """What this process does, and the database holds; read when it is asked for."""

    def __init__(self, engine: Engine, records: Records) -> None:
        self._engine = engine
        self._records = records

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("unikat_registry_calls", "Calls in progress.", self._records.running)
        entries: int | None = None
        try:
            with reading(self._engine) as session:
                entries = committed(session)
        except SQLAlchemyError as error:
            log.warning("The log's entries cannot be counted: %s", error)
        up = int(entries is not None)
        yield GaugeMetricFamily("unikat_registry_database_up", "1 where the database answered just now.", up)
        if entries is not None:
            yield GaugeMetricFamily("unikat_registry_log_entries", "Entries that the log has.", entries)
