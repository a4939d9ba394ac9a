"""Errors of the service, and the one place where they become a gRPC status."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NoReturn, TypeVar

import grpc
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from redis.exceptions import RedisError

from unikat.conditions import FieldError
from unikat.errors import Reason, UnikatError, bad_field, error_of, make_status, retry_later
from unikat.queue.batches.jobs import NoSuchBatch
from unikat_service import audit

log = logging.getLogger(__name__)

# gRPC refuses trailing metadata above 8 KiB, where a status is base64 and its message percent-encoded; and part of a
# message may be what a caller sent.
MESSAGE_BYTES: Final = 400
DETAIL_BYTES: Final = 3000

RETRY_STORE_S: Final = 1.0
RETRY_RESTART_S: Final = 1.0

Result = TypeVar("Result")
Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[bytes, Context], Awaitable[Result]]


def invalid(problems: Sequence[FieldError]) -> UnikatError:
    """INVALID_ARGUMENT that names every field which is wrong."""
    first, *others = problems
    message = str(first) + (f" (and {len(others)} more)" if others else "")
    violations = [BadRequest.FieldViolation(field=p.field, description=p.message) for p in problems]
    details = BadRequest(field_violations=violations)
    return error_of(make_status(Code.INVALID_ARGUMENT, message, Reason.BAD_FIELD, details))


def store_unavailable(error: Exception) -> UnikatError:
    """UNAVAILABLE: Redis does not answer, or not as it should."""
    text = f"the job store cannot be used at the moment: {error}"
    return error_of(retry_later(Code.UNAVAILABLE, text, Reason.STORE_UNAVAILABLE, RETRY_STORE_S))


def shutting_down(how: str = "send the request again with the same request_id") -> Status:
    """UNAVAILABLE: this service ends; another one, or its successor, goes on."""
    text = f"this service is shutting down; {how} to go on"
    return retry_later(Code.UNAVAILABLE, text, Reason.SHUTTING_DOWN, RETRY_RESTART_S)


def no_memory() -> Status:
    """UNAVAILABLE: what this service may hold is held for callers that do not read."""
    text = "this service holds as many images as it may for callers that do not read; send the request again to go on"
    return retry_later(Code.UNAVAILABLE, text, Reason.TOO_MANY_CALLS, RETRY_STORE_S)


def no_such_batch(batch: str) -> Status:
    """NOT_FOUND: it was deleted, or never there."""
    text = f'there is no batch "{batch}"; ListBatches names those there are'
    return bad_field("id", text, Code.NOT_FOUND, Reason.BATCH_NOT_FOUND)


class SomebodyElses(NoSuchBatch):
    """A batch that the caller may not see: to it, there is none."""


def translated(handler: Handler[Result]) -> Handler[Result]:
    """A handler whose exceptions end the call with a status; a cancellation passes through as it is."""

    async def handle(request: bytes, context: Context) -> Result:
        try:
            return await handler(request, context)
        except UnikatError as error:
            status = error.status
        except NoSuchBatch as error:
            status = no_such_batch(error.args[0])
            if isinstance(error, SomebodyElses):
                audit.refused(f"batch {error.args[0]} is of somebody else")
        except RedisError as error:
            log.warning("Redis: %s", error)
            status = store_unavailable(error).status
        except Exception:
            log.exception("A call failed")
            status = make_status(Code.INTERNAL, "the service failed; its log says why", Reason.JOB_FAILED)
        return await end(context, status)

    return handle


async def end(context: grpc.aio.ServicerContext[Any, Any], status: Status) -> NoReturn:
    """End a call with a status. Raises grpc.aio.AbortError."""
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
