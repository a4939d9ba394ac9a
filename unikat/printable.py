"""Text of others (labels, names, messages) as a terminal or a log may have it: no character in it does anything."""

from __future__ import annotations

import logging
import re
import sys
from typing import Final

# Control characters but for tab and line feed, those that turn the direction of writing, and halves of characters.
_ACTING: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""`text` with each such character as Python writes it: "\x1b[31m" instead of red."""
    return _ACTING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class Formatter(logging.Formatter):
    """A line for each record; only tracebacks have more."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = record.message.replace("\n", "\\n")  # else a label could write a line of its own
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def log_to_stderr(level: int | str, layout: str = "%(asctime)s %(levelname)s %(name)s: %(message)s") -> None:
    """Set up the log of a program."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(layout))
    logging.basicConfig(level=level, handlers=[handler])
