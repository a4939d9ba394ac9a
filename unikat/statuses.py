"""How a server ends a call: with a status that has details, cut to what gRPC carries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NoReturn

import grpc
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from unikat.call_records import current_record
from unikat.conditions import FieldError
from unikat.errors import Reason, UnikatError, error_of, make_status

# gRPC refuses trailing metadata above 8 KiB, where a status is base64 and its message percent-encoded; and part of a
# message may be what a caller sent.
MESSAGE_BYTES: Final = 400
DETAIL_BYTES: Final = 3000


def invalid(problems: Sequence[FieldError]) -> UnikatError:
    """INVALID_ARGUMENT that names every field which is wrong."""
    first, *others = problems
    message = str(first) + (f" (and {len(others)} more)" if others else "")
    violations = [BadRequest.FieldViolation(field=p.field, description=p.message) for p in problems]
    details = BadRequest(field_violations=violations)
    return error_of(make_status(Code.INVALID_ARGUMENT, message, Reason.BAD_FIELD, details))


async def end(context: grpc.aio.ServicerContext[Any, Any], status: Status) -> NoReturn:
    """End a call with a status, and say so in its record. Raises grpc.aio.AbortError."""
    current_record().end(status)
    final = rpc_status.to_status(fitted(status))
    await context.abort(final.code, final.details or "", final.trailing_metadata or ())
    raise AssertionError("abort always raises")


def fitted(status: Status) -> Status:
    """The status with its texts cut to what gRPC carries."""
    if status.ByteSize() <= MESSAGE_BYTES:
        return status
    small = Status(code=status.code, message=_cut(status.message, MESSAGE_BYTES))
    left = DETAIL_BYTES
    for detail in status.details:
        bad = BadRequest()
        if detail.Unpack(bad):
            detail.Pack(_fitted_violations(bad))
        left -= detail.ByteSize()
        if left >= 0:
            small.details.append(detail)
    return small


def _fitted_violations(bad: BadRequest) -> BadRequest:
    shown = bad.field_violations[:8]
    share = (DETAIL_BYTES - 600) // max(1, len(shown))
    cut = [
        BadRequest.FieldViolation(
            field=_cut(violation.field, share // 4), description=_cut(violation.description, share // 4 * 3 - 8)
        )
        for violation in shown
    ]
    return BadRequest(field_violations=cut)


def _cut(text: str, limit: int) -> str:
    encoded = text.encode()
    return text if len(encoded) <= limit else encoded[: limit - 3].decode(errors="ignore") + "…"
