"""What operators look at: settings of every program that serves, and their checks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from unikat.printable import log_to_stderr
from unikat.settings import setting
from unikat.trace_context import EXPORTER

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer


class LogFormat(StrEnum):
    """How the log is written."""

    TEXT = "text"
    JSON = "json"


class LogLevel(StrEnum):
    """Lines of this level and above are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class NotServed(OSError):
    """The numbers cannot be served at their address, or the spans not be sent."""


@dataclass(frozen=True)
class Observed:
    """Numbers for Prometheus, and the log."""

    metrics: str = setting(
        "",
        "Address on which numbers for Prometheus are served (host:port, any path; port 0 takes a free one; empty: none "
        "are kept). Whoever reaches it can read them; they name models, and no callers.",
    )
    log_level: LogLevel = setting(
        LogLevel.INFO, "Level of the log on standard error; at info there is a line for every call of a service."
    )
    log_format: LogFormat = setting(
        LogFormat.TEXT, "The log on standard error: lines of text, or of JSON, one object each."
    )

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for an address that is none."""
        if self.metrics:
            host_and_port(self.metrics)

    def begin_log(self) -> None:
        """Set up the log of the program."""
        log_to_stderr(self.log_level.upper(), as_json=self.log_format is LogFormat.JSON)


def host_and_port(metrics: str) -> tuple[str, int]:
    """The parts of `metrics`. Raises typer.BadParameter."""
    host, colon, port = metrics.rpartition(":")
    if not (host and colon and port.isascii() and port.isdecimal() and int(port) <= 65535):
        raise typer.BadParameter(f"--metrics {metrics}: it must be host:port, for example 127.0.0.1:9464")
    return host.strip("[]"), int(port)


@contextmanager
def traced(program: str) -> Iterator[Tracer | None]:
    """What makes a program's spans, which are sent until the end of the block; None where none are asked for.

    Raises NotServed for an exporter that is not there.
    """
    if os.environ.get(EXPORTER, "").strip() in ("", "none"):
        yield None
        return
    try:
        from unikat.traces import tracing  # with OpenTelemetry
    except ImportError as error:
        raise NotServed(f"{EXPORTER} is set, and {error.name} is missing: pip install 'unikat[traces]'") from error
    with tracing(program) as tracer:
        yield tracer
