"""Text of others (labels, names, messages) as a terminal or a log may have it: no character in it does anything."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final

# Of the call that this task serves: what its lines in a JSON log have beside their text.
about: ContextVar[Callable[[], Mapping[str, str]]] = ContextVar("about")

# Control characters but for tab and line feed, those that turn the direction of writing, and halves of characters.
_ACTING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""`text` with each such character as Python writes it: "\x1b[31m" instead of red."""
    return _ACTING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


_OF_ANY_RECORD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Formatter(logging.Formatter):
    """A line for each record; only tracebacks have more."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\n", "\\n")  # else a label could write a line of its own
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class JsonFormatter(logging.Formatter):
    """A JSON object for each record: time, level, logger, message, what `extra` and `about` say, exception."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said: dict[str, Any] = {"time": moment, "level": record.levelname, "logger": record.name}
        said["message"] = record.getMessage()
        if fields := about.get(None):
            said |= fields()
        said |= {name: value for name, value in vars(record).items() if name not in _OF_ANY_RECORD}
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def log_to_stderr(
    level: int | str, layout: str = "%(asctime)s %(levelname)s %(name)s: %(message)s", *, as_json: bool = False
) -> None:
    """Set up the log of a program."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if as_json else Formatter(layout))
    logging.basicConfig(level=level, handlers=[handler])
