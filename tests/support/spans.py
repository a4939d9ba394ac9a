"""A collector of spans, as OpenTelemetry's protocol has it over HTTP, that keeps them for tests to look at."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Kept:
    """A span, and the name of the program that made it."""

    program: str
    span: Span

    @property
    def trace(self) -> str:
        return self.span.trace_id.hex()

    @property
    def said(self) -> dict[str, str | int | float]:
        """Its attributes."""
        found: dict[str, str | int | float] = {}
        for each in self.span.attributes:
            found[each.key] = getattr(each.value, str(each.value.WhichOneof("value")))
        return found


@dataclass
class Collector:
    """What programs sent."""

    port: int = 0
    spans: list[Kept] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """For programs that are to send their spans here, at once."""
        return {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def of(self, trace: str) -> list[Kept]:
        """The spans of a trace, as they began."""
        return sorted(
            (each for each in self.spans if each.trace == trace), key=lambda each: each.span.start_time_unix_nano
        )


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector until the end of the block."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                program = next(
                    each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
                )
                for scope in resource.scope_spans:
                    collector.spans.extend(Kept(program, span) for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.port = server.server_port
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
