"""Errors as `google.rpc.Status`: built here for the service and the worker, read here by the client.

The pattern is AIP-193: `BadRequest` names the field, `RetryInfo` says when to come back, and every error carries
`ErrorInfo {domain: "unikat", reason}` for programs to switch on.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeVar

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

if TYPE_CHECKING:
    import grpc

DOMAIN: Final = "unikat"

M = TypeVar("M", bound=Message)


class Reason(StrEnum):
    """ErrorInfo reasons."""

    BAD_FIELD = "BAD_FIELD"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    NO_WORKER = "NO_WORKER"
    QUEUE_FULL = "QUEUE_FULL"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    TOO_MANY_CALLS = "TOO_MANY_CALLS"
    STORE_FULL = "STORE_FULL"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    CANCELLED = "CANCELLED"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    RESULT_EXPIRED = "RESULT_EXPIRED"
    JOB_FAILED = "JOB_FAILED"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    SHUTTING_DOWN = "SHUTTING_DOWN"
    BATCH_NOT_FOUND = "BATCH_NOT_FOUND"
    BATCH_STATE = "BATCH_STATE"
    DESTINATION_TAKEN = "DESTINATION_TAKEN"
    CERTIFICATE = "CERTIFICATE"
    NO_SIGNER = "NO_SIGNER"
    SIGNER_FAILED = "SIGNER_FAILED"
    UNAUTHENTICATED = "UNAUTHENTICATED"
    SCOPE = "SCOPE"
    NEAR_COPY = "NEAR_COPY"
    CONTENT = "CONTENT"
    NO_ORIGINALITY = "NO_ORIGINALITY"
    OLD_WORKER = "OLD_WORKER"
    MODEL_UNLOADED = "MODEL_UNLOADED"
    PINNED = "PINNED"
    WORK_NOT_FOUND = "WORK_NOT_FOUND"
    ALREADY_CLAIMED = "ALREADY_CLAIMED"
    NEAR_WORK = "NEAR_WORK"
    OTHER_PICTURE = "OTHER_PICTURE"
    OTHER_MODEL = "OTHER_MODEL"
    NOT_THE_OWNER = "NOT_THE_OWNER"


def make_status(code: Code.ValueType, message: str, reason: Reason, *details: Message, **metadata: str) -> Status:
    """A status with ErrorInfo and further details."""
    status = Status(code=code, message=message)
    for detail in (ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata), *details):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def bad_field(
    field: str, message: str, code: Code.ValueType = Code.INVALID_ARGUMENT, reason: Reason = Reason.BAD_FIELD
) -> Status:
    """A status that names the field which is wrong, and what is allowed."""
    violation = BadRequest.FieldViolation(field=field, description=message)
    return make_status(code, f"{field}: {message}", reason, BadRequest(field_violations=[violation]))


def retry_later(code: Code.ValueType, message: str, reason: Reason, seconds: float, **metadata: str) -> Status:
    """A status that says when to come back; `metadata` is ErrorInfo's."""
    delay = Duration()
    delay.FromMilliseconds(max(1, round(seconds * 1000)))
    return make_status(code, message, reason, RetryInfo(retry_delay=delay), **metadata)


class UnikatError(Exception):
    """An error that a service reported, or the lack of one that answers.

    `status` has the code, the message and the details; `reason` and `retry_after` (seconds) are read from it.
    """

    def __init__(self, status: Status) -> None:
        super().__init__(status.message)
        self.status = status

    @property
    def code(self) -> grpc.StatusCode:
        import grpc  # here: workers make statuses and never load gRPC (12 MB, 30 ms)

        return next((code for code in grpc.StatusCode if code.value[0] == self.status.code), grpc.StatusCode.UNKNOWN)

    @property
    def reason(self) -> str:
        """ErrorInfo's reason, or "" where the error did not come from Unikat."""
        info = ErrorInfo()
        ours = any(detail.Unpack(info) and info.domain == DOMAIN for detail in self.status.details)
        return info.reason if ours else ""

    @property
    def retry_after(self) -> float | None:
        """Seconds after which a second try makes sense, where the service said so."""
        info = self._detail(RetryInfo)
        return None if info is None else info.retry_delay.ToTimedelta().total_seconds()

    def _detail(self, kind: type[M]) -> M | None:
        found = kind()
        return next((found for detail in self.status.details if detail.Unpack(found)), None)


class InvalidRequest(UnikatError):
    """A field of the request is wrong; `fields` maps its path to what is allowed."""

    @property
    def fields(self) -> dict[str, str]:
        bad = self._detail(BadRequest)
        return {} if bad is None else {v.field: v.description for v in bad.field_violations}


class NotFound(InvalidRequest):
    """There is no such model or batch, or no such result any more."""


class Overloaded(UnikatError):
    """The queue is full, or a budget or quota is spent; `retry_after` says when to come back."""


class Unavailable(UnikatError):
    """No service answers, or it cannot reach what it needs."""


class WrongState(UnikatError):
    """A batch, or the service, is in a state in which this cannot be done; the message says in which, and what can.

    An image that was drawn and is not delivered is one, too; `reason` is NEAR_COPY or CONTENT.
    """


class Unauthenticated(UnikatError):
    """The service wants a token that is valid: none was shown, or it is wrong, expired or revoked."""


class PermissionDenied(UnikatError):
    """The caller's token has not the scope for it, or its certificate names nobody that can be named."""


class Cancelled(UnikatError):
    """The job was cancelled."""


class DeadlineExceeded(UnikatError):
    """The deadline passed before the last image."""


class JobFailed(UnikatError):
    """The job failed every time it was tried."""


_BY_CODE: Final[dict[int, type[UnikatError]]] = {
    Code.INVALID_ARGUMENT: InvalidRequest,
    Code.ALREADY_EXISTS: InvalidRequest,
    Code.NOT_FOUND: NotFound,
    Code.RESOURCE_EXHAUSTED: Overloaded,
    Code.UNAVAILABLE: Unavailable,
    Code.FAILED_PRECONDITION: WrongState,
    Code.PERMISSION_DENIED: PermissionDenied,
    Code.UNAUTHENTICATED: Unauthenticated,
    Code.CANCELLED: Cancelled,
    Code.DEADLINE_EXCEEDED: DeadlineExceeded,
    Code.INTERNAL: JobFailed,
}


def error_of(status: Status) -> UnikatError:
    """The typed error for a status."""
    return _BY_CODE.get(status.code, UnikatError)(status)
