"""W3C Trace Context, as calls bring it and jobs carry it: "00-<trace id>-<parent id>-<flags>"."""

from __future__ import annotations

import re
from typing import Final

HEADER: Final = "traceparent"

_CONTEXT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


def trace_id_of(context: str) -> str:
    """32 hex digits; "" where it is no such context."""
    found = _CONTEXT.fullmatch(context)
    return found[1] if found else ""
