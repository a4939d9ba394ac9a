"""What becomes of a call of a server: noted while it runs, then written as one line of the log, and counted."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from unikat.errors import Reason
from unikat.interceptor import KINDS, OURS, Behaviour, Context, Handler, MethodInterceptor
from unikat.observed import traced
from unikat.printable import about
from unikat.trace_context import HEADER, carried, trace_id_of, valid

if TYPE_CHECKING:
    from unikat.traces import CallSpans

UNKNOWN: Final = "unknown"  # class of a caller that was not let in
ANONYMOUS: Final = "anonymous"  # shows nothing
TOKEN: Final = "token"
CERTIFICATE: Final = "certificate"

# Methods that change nothing, which programs call again and again, begin so: their lines are at level debug.
_READING: Final = ("Get", "List", "Server", "Repository", "ModelReady", "ModelMetadata", "ModelConfig")
_ROUNDED_S: Final = 0.02

log = logging.getLogger("unikat.calls")


class Stages(NamedTuple):
    """Seconds of an image's life before it is published."""

    queued: float
    batched: float
    drawn: float
    encoded: float


@dataclass(slots=True, eq=False)
class CallRecord:
    """One call. `caller_class` is how the caller says who it is; `model`, "name@version", is one that is served.

    `trace` is the W3C context that what it does goes on with: its own span's, or without one what the caller sent.
    `images`, `refused` (of images) and `bytes` were sent, which took `sending` seconds of all together where they are a
    stream; `first` is the seconds until the first of them could be sent, and `stages` are that image's, where a line
    or a span says them. `setting` is the limit that a refusal names.
    """

    method: str
    begun: float
    trace: str = ""
    caller: str = ""
    caller_class: str = UNKNOWN
    model: str = ""
    job: str = ""
    batch: str = ""
    images: int = 0
    refused: int = 0
    bytes: int = 0
    first: float | None = None
    stages: Stages | None = None
    sending: float = 0.0
    seconds: float = 0.0
    code: int = Code.OK
    reason: str = ""
    setting: str = ""

    def end(self, status: Status) -> None:
        """The call ends with a status that is not OK."""
        self.code, self.reason = status.code, ""
        info = ErrorInfo()
        for detail in status.details:
            if detail.Unpack(info):
                self.reason, self.setting = info.reason, info.metadata.get("setting", "")

    def cut_off(self, left: float | None) -> None:
        """The caller is gone, with so many seconds left until its deadline; None: it has none."""
        # A caller's deadline is somewhat before what gRPC tells of it, which is rounded up, by a hundredth at most.
        late = left is not None and left < _ROUNDED_S + (time.perf_counter() - self.begun) / 50
        self.code = Code.DEADLINE_EXCEEDED if late else Code.CANCELLED
        self.reason = Reason.DEADLINE_EXCEEDED if late else Reason.CANCELLED

    @property
    def is_let_in(self) -> bool:
        """Whether it is known that the caller may call: others get lines that are limited, of `unikat.audit`."""
        return self.caller_class != UNKNOWN and self.code not in (Code.UNAUTHENTICATED, Code.PERMISSION_DENIED)

    def fields(self) -> dict[str, str]:
        """What lines of the log that are about this call have beside their text."""
        names = {"trace_id": trace_id_of(self.trace), "caller": self.caller, "model": self.model}
        names |= {"job": self.job, "batch": self.batch}
        return {name: value for name, value in names.items() if value}

    def facts(self) -> dict[str, str | int | float]:
        """What its own line has: numbers are seconds, images, bytes."""
        facts: dict[str, str | int | float] = {"method": self.method, **self.fields()}
        if self.images or self.refused:
            facts |= {"images": self.images, "refused": self.refused, "bytes": self.bytes}
        facts["seconds"] = round(self.seconds, 6)
        facts |= {name: round(each, 6) for name in ("first", "sending") if (each := getattr(self, name))}
        if (of := self.stages) is not None:
            stages = {"queued": of.queued, "batched": of.batched, "drawn": of.drawn, "encoded": of.encoded}
            facts |= {name: round(seconds, 6) for name, seconds in stages.items()}
        facts["code"] = Code.Name(self.code)
        return facts | {name: value for name in ("reason", "setting") if (value := getattr(self, name))}


_current: ContextVar[CallRecord] = ContextVar("call record")


def current_record() -> CallRecord:
    """That of the call which this task serves; of none, one that nobody reads."""
    return _current.get(None) or CallRecord("", 0.0)


class Records(MethodInterceptor):
    """Keeps a record of every call of our own methods. The first of the interceptors: it sees what others refuse."""

    def __init__(self, caller_class: str = UNKNOWN) -> None:
        """`caller_class`: of callers until something says more of them."""
        super().__init__()
        self.ended: Callable[[CallRecord], None] | None = None  # told of each call, before its caller hears the end
        self._spans: CallSpans | None = None
        self._class = caller_class
        self.running = 0

    @contextmanager
    def traced(self, program: str) -> Iterator[None]:
        """With a span for every call, where the environment asks for them. Raises NotServed."""
        with traced(program) as tracer:
            if tracer is not None:
                from unikat.traces import CallSpans  # with OpenTelemetry

                self._spans = CallSpans(tracer)
            yield

    def around(self, method: str, handler: Handler) -> Handler:
        """The handler with a record; one of health or reflection as it is."""
        if not method.startswith(OURS):
            return handler
        kind, new = KINDS[False, bool(handler.response_streaming)]
        behaviour: Behaviour = getattr(handler, kind)
        name = method.rpartition("/")[2]

        async def recorded(request: Any, context: Context) -> object:  # noqa: ANN401  # of any method
            record = CallRecord(name, time.perf_counter(), _trace(context), caller_class=self._class)
            spans = self._spans
            span = None if spans is None else spans.begin(method, record)
            carried.set(record.trace)
            _current.set(record)
            about.set(record.fields)
            self.running += 1
            try:
                return await behaviour(request, context)
            except asyncio.CancelledError:
                record.cut_off(context.time_remaining())
                raise
            finally:
                self.running -= 1
                self._end(record)
                if spans is not None and span is not None:
                    spans.end(record, span)

        return new(recorded, handler.request_deserializer, handler.response_serializer)

    def _end(self, record: CallRecord) -> None:
        record.seconds = time.perf_counter() - record.begun
        if self.ended is not None:
            self.ended(record)
        level = logging.DEBUG if record.method.startswith(_READING) else logging.INFO
        if record.is_let_in and log.isEnabledFor(level):
            facts = record.facts()
            log.log(level, "call %s", " ".join(f"{name}={fact}" for name, fact in facts.items()), extra=facts)


def _trace(context: Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == HEADER and isinstance(value, str):
            return valid(value)
    return ""
