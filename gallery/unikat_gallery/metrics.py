"""The gallery's numbers for Prometheus: what became of its requests, and what it holds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from unikat.metrics import Histogram, new_registry, served
from unikat_gallery.context import Context

NO_ROUTE: Final = "none"  # label of requests for what there is not
CUT_OFF: Final = "none"  # label of requests that ended without an answer, because the visitor left
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})


@contextmanager
def observed(app: ASGIApp, context: Context) -> Iterator[ASGIApp]:
    """The application, measured, and its numbers served until the end of the block. Raises NotServed."""
    registry = new_registry(Process(context))
    with served(context.settings.metrics, registry):
        yield Measured(app, registry)


class Measured:
    """ASGI: counts requests by their routes, which are the templates of paths: never what stands in a path."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self._app = app
        requests = Counter(
            "unikat_gallery_requests",
            "Requests that have ended; code none: the visitor left before there was an answer.",
            ("route", "method", "code"),
            registry=registry,
        )
        self._requests = cache(requests.labels)
        self._seconds = Histogram(
            "unikat_gallery_request_seconds", "Of a request, until the last byte of its answer is sent.", ("route",)
        )
        registry.register(self._seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, code = time.perf_counter(), CUT_OFF

        async def noted(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = str(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            route = _template(scope)
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._requests(route, method, code).inc()
            self._seconds.labels(route).observe(time.perf_counter() - begun)


def _template(scope: Scope) -> str:
    """Of a request's path. A route in a mount, which has no parameters here, says what follows the mount's path."""
    route = scope.get("route")
    if route is None:
        return NO_ROUTE
    mounted = "" if isinstance(route, Mount) else scope.get("root_path", "")
    return f"{mounted}{route.path}"


class Process(Collector):
    """What this process does and holds; read when it is asked for."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterable[Metric]:
        context = self._context
        yield GaugeMetricFamily("unikat_gallery_streams", "Walls that are drawn now.", context.streams.total())
        yield GaugeMetricFamily(
            "unikat_gallery_kept_bytes", "Images that are kept in memory (--cache-mb).", context.drawer.images.size
        )
