"""Errors as a page shows them: in words, with the control that caused them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NoReturn

import grpc
from google.rpc.code_pb2 import Code
from starlette.requests import Request
from starlette.responses import JSONResponse

from unikat.errors import InvalidRequest, Reason, UnikatError, bad_field, error_of, retry_later

_CONDITION: Final = re.compile(r"conditions\[(\d+)\]")
# As googleapis maps them (google/rpc/code.proto).
STATUSES: Final = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
}
# To a page, which asks in the gallery's name: that a service does not let the gallery in is no fault of the page, and
# a state in which something cannot be done is told from a request that is wrong.
_TO_PAGES: Final = STATUSES | {
    grpc.StatusCode.PERMISSION_DENIED: 502,
    grpc.StatusCode.UNAUTHENTICATED: 502,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
}
_PLAIN: Final = {
    grpc.StatusCode.UNAVAILABLE: "The {} does not answer. ",
    grpc.StatusCode.UNAUTHENTICATED: "The {} does not let this gallery in. ",
    grpc.StatusCode.PERMISSION_DENIED: "The {} does not let this gallery in. ",
}
DRAWS: Final = "service that draws"
REGISTRY: Final = "registry"


def refuse(field: str, message: str, code: Code.ValueType = Code.INVALID_ARGUMENT) -> NoReturn:
    """Raises InvalidRequest for a field of a request, and says what is allowed."""
    raise error_of(bad_field(field, message, code))


def too_many(message: str, again: float = 2.0) -> UnikatError:
    """What a visitor is told who asks for more than there is room for; `again`: seconds until there is."""
    return error_of(retry_later(Code.RESOURCE_EXHAUSTED, message, Reason.TOO_MANY_CALLS, again))


def shown(error: UnikatError, attributes: Iterable[str] = (), whose: str = DRAWS) -> dict[str, Any]:
    """An error as JSON: `message`, `fields` (name of the control -> what is allowed), `reason`, `retry_after` (s).

    `attributes` are those of the conditions, in the order in which they were sent; `whose` error it is.
    """
    names = list(attributes)
    found = error.fields if isinstance(error, InvalidRequest) else {}
    fields = {_control(field, names): text for field, text in found.items()}
    words = "; ".join(f"{field.removeprefix('c.').replace('_', ' ')}: {text}" for field, text in fields.items())
    return {
        "message": words or f"{_PLAIN.get(error.code, '').format(whose)}{error}",
        "fields": fields,
        "reason": error.reason,
        "retry_after": error.retry_after,
    }


def _control(field: str, attributes: list[str]) -> str:
    """`conditions[0].category` is the control `c.style`; the other fields are called as their controls."""
    found = _CONDITION.match(field)
    if found and int(found[1]) < len(attributes):
        return f"c.{attributes[int(found[1])]}"
    return {"name": "model", "first_index": "index"}.get(field, field)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler of UnikatError."""
    assert isinstance(error, UnikatError)
    attributes = [name[2:] for name in request.query_params if name.startswith("c.")]
    return refusal(error, shown(error, attributes, getattr(request.state, "asked", DRAWS)))


def refusal(error: UnikatError, said: dict[str, Any]) -> JSONResponse:
    """The answer that says of an error what `shown` does, or more."""
    return JSONResponse(said, _TO_PAGES.get(error.code, 502))
