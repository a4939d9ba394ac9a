"""Numbers of a program for Prometheus: histograms that take many equal values at once, and the port that serves all.

prometheus-client is loaded by a program that is told to serve them, and by no other.
"""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Final

from prometheus_client import CollectorRegistry, disable_created_metrics, start_http_server
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from unikat.observed import NotServed, host_and_port

# Upper bounds of buckets. Seconds: from what a tiny model takes to a call that a large queue holds up.
SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
IMAGES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

log = logging.getLogger(__name__)


class Buckets:
    """One series of a histogram. prometheus-client's takes one value at a time; this one takes a batch's at once."""

    __slots__ = ("_bounds", "_counts", "_lock", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._lock = Lock()

    def observe(self, value: float, times: int = 1) -> None:
        """`times` values that are equal."""
        place = bisect_left(self._bounds, value)
        with self._lock:
            self._counts[place] += times
            self._sum += value * times

    def read(self) -> tuple[list[tuple[str, float]], float]:
        """(upper bound, values up to it) of every bucket, and the sum of all values."""
        with self._lock:
            counts, total = list(self._counts), self._sum
        found, below = [], 0
        for bound, count in zip((*map(float, self._bounds), float("inf")), counts, strict=True):
            below += count
            found.append(("+Inf" if bound == float("inf") else str(bound), float(below)))
        return found, total


class Histogram(Collector):
    """Its series, by the values of its labels."""

    def __init__(self, name: str, text: str, labels: Sequence[str] = (), bounds: Sequence[float] = SECONDS) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._series: dict[tuple[str, ...], Buckets] = {}

    def labels(self, *values: str) -> Buckets:
        """The series of these values: keep it where it is asked for often."""
        found = self._series.get(values)
        return found if found is not None else self._series.setdefault(values, Buckets(self._bounds))

    def collect(self) -> Iterable[Metric]:
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for values, series in list(self._series.items()):
            buckets, total = series.read()
            family.add_metric(values, buckets, total)
        yield family


def new_registry(*collectors: Collector) -> CollectorRegistry:
    """One with the process' own numbers (memory, CPU time, open files) and those of `collectors`."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # it has no annotation
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    for collector in collectors:
        registry.register(collector)
    return registry


@contextmanager
def served(address: str, registry: CollectorRegistry) -> Iterator[None]:
    """Serve a registry at host:port, by threads, until the end of the block. Raises NotServed."""
    host, port = host_and_port(address)
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise NotServed(f"--metrics {address}: {error.strerror or error}") from error
    shown = f"[{host}]" if ":" in host else host
    log.info("Numbers for Prometheus are on http://%s:%d/metrics", shown, server.server_port)
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
