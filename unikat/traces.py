"""Spans of a program for OpenTelemetry: where they go is said by its standard variables (docs/operations.md).

This is loaded by a program for which OTEL_TRACES_EXPORTER is set, and by no other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points, version
from threading import Thread
from typing import TYPE_CHECKING, Final

from google.rpc.code_pb2 import Code
from opentelemetry.context import Context
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from unikat.observed import NotServed
from unikat.trace_context import EXPORTER, HEADER, carried, text_of

if TYPE_CHECKING:
    from unikat.call_records import CallRecord  # with gRPC, which a worker does without

_GROUP: Final = "opentelemetry_traces_exporter"  # entry points by which packages offer exporters
_OTLP: Final = "otlp_proto_http"  # which of them "otlp" means
_LAST_SPANS_S: Final = 2.0  # for a program's last spans to be sent
_PROPAGATOR: Final = TraceContextTextMapPropagator()
# What OpenTelemetry's conventions call errors of a server; the others are its caller's.
_SERVERS_FAULT: Final = {
    Code.UNKNOWN, Code.DEADLINE_EXCEEDED, Code.UNIMPLEMENTED, Code.INTERNAL, Code.UNAVAILABLE, Code.DATA_LOSS,
}  # fmt: skip


@contextmanager
def tracing(program: str) -> Iterator[Tracer]:
    """Send spans until the end of the block, as the program "unikat-<program>" unless OTEL_SERVICE_NAME says another.

    Raises NotServed for an exporter that is not there.
    """
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: f"unikat-{program}"}
    provider = TracerProvider(
        resource=Resource.create({SERVICE_VERSION: version("unikat")} | named), shutdown_on_exit=False
    )
    for name in os.environ[EXPORTER].split(","):
        provider.add_span_processor(BatchSpanProcessor(_exporter(name.strip())))
    try:
        yield provider.get_tracer("unikat")
    finally:
        # A collector that does not answer is asked for ten seconds: nobody waits so long for a program to end.
        ending = Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(_LAST_SPANS_S)


def _exporter(name: str) -> SpanExporter:
    found = {each.name: each for each in entry_points(group=_GROUP)}
    wanted = found.get(_OTLP if name == "otlp" else name)
    if wanted is None:
        choices = ", ".join(sorted({"none", *found} | ({"otlp"} if _OTLP in found else set())))
        raise NotServed(
            f"{EXPORTER}={name}: no such exporter is installed; there are {choices} (unikat[traces] brings otlp)"
        )
    made: SpanExporter = wanted.load()()
    return made


def parent(context: str) -> Context:
    """What a span is to be the child of, from its W3C text; a new trace where that is none."""
    return _PROPAGATOR.extract({HEADER: context})


class CallSpans:
    """A span for every call of a server."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def begin(self, method: str, record: CallRecord) -> Span:
        """A call of "/package.Service/Method" begins; what it enqueues and calls itself becomes a child of its span."""
        _, service, name = method.split("/")
        said = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": name}
        span = self._tracer.start_span(method[1:], parent(record.trace), SpanKind.SERVER, said)
        record.trace = text_of(span.get_span_context())
        return span

    def end(self, record: CallRecord, span: Span) -> None:
        """It has ended."""
        facts = {
            f"unikat.{name}": value for name, value in record.facts().items() if name not in ("method", "trace_id")
        }
        span.set_attributes(facts | {"rpc.grpc.status_code": record.code})
        if record.code in _SERVERS_FAULT:
            span.set_status(StatusCode.ERROR, record.reason)
        span.end()


@contextmanager
def command_span(tracer: Tracer, name: str) -> Iterator[None]:
    """A span around what a person typed; the calls that it makes are of its trace."""
    span = tracer.start_span(f"unikat {name}", kind=SpanKind.CLIENT)
    carried.set(text_of(span.get_span_context()))
    try:
        yield
    except SystemExit as end:
        if end.code:
            span.set_status(StatusCode.ERROR, f"exit code {end.code}")
        raise
    except BaseException as error:
        span.set_status(StatusCode.ERROR, str(error) or type(error).__name__)
        raise
    finally:
        span.end()
