"""Errors of the service, and the one place where they become a gRPC status."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import grpc
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from redis.exceptions import RedisError

from unikat.errors import Reason, UnikatError, bad_field, error_of, make_status, retry_later
from unikat.queue.batches.jobs import NoSuchBatch
from unikat.statuses import end
from unikat_service import audit

log = logging.getLogger(__name__)

RETRY_STORE_S: Final = 1.0
RETRY_RESTART_S: Final = 1.0

Result = TypeVar("Result")
Context = grpc.aio.ServicerContext[bytes, bytes]
Handler = Callable[[bytes, Context], Awaitable[Result]]


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
