"""W3C Trace Context, as calls bring it and jobs carry it: "00-<trace id>-<parent id>-<flags>"."""

from __future__ import annotations

import re
import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

HEADER: Final = "traceparent"
EXPORTER: Final = "OTEL_TRACES_EXPORTER"  # OpenTelemetry's variable: where this program sends its spans

_CONTEXT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})")
_SAMPLED: Final = 1

# Of the call or command that this task serves: what the calls go on with that it makes itself; "" for none.
carried: ContextVar[str] = ContextVar("trace context", default="")


def trace_id_of(context: str) -> str:
    """32 hex digits; "" where it is no such context."""
    found = _CONTEXT.fullmatch(context)
    return found[1] if found else ""


def valid(context: str | None) -> str:
    """The context; "" where it is none."""
    return context if context and _CONTEXT.fullmatch(context) else ""


def is_sampled(context: str) -> bool:
    """Whether spans of this trace are wanted."""
    found = _CONTEXT.fullmatch(context)
    return found is not None and bool(int(found[2], 16) & _SAMPLED)


def outgoing() -> tuple[tuple[str, str], ...]:
    """Metadata for a call: the context that is carried here, or that of a program's own current span."""
    context = carried.get() or _current_span()
    return ((HEADER, context),) if context else ()


def _current_span() -> str:
    api = sys.modules.get("opentelemetry.trace")  # loaded by a program that uses it
    span = None if api is None else api.get_current_span().get_span_context()
    return text_of(span) if span is not None and span.is_valid else ""


def text_of(span: SpanContext) -> str:
    """What OpenTelemetry knows of a span, as W3C text."""
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"
