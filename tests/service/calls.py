"""Calls as a client makes them, and what they ended with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol, cast

import grpc
from grpc_status import rpc_status

from unikat.errors import InvalidRequest, UnikatError, error_of
from unikat.v1.studio_pb2 import GenerateResponse


class Responses(Protocol):
    """A Generate call in flight: what grpc returns, but for methods that its stubs leave out."""

    def __iter__(self) -> Iterator[GenerateResponse]: ...
    def __next__(self) -> GenerateResponse: ...
    def cancel(self) -> bool: ...


def error_from(error: grpc.RpcError) -> UnikatError:
    """The typed error, which must have come with `google.rpc.Status` details."""
    assert isinstance(error, grpc.Call)
    status = rpc_status.from_call(error)
    assert status is not None, f"no details: {error}"
    return error_of(status)


def refusal_of(call: Callable[..., Any], *args: object) -> UnikatError:
    """The error with which `call(*args)`, which may return a stream, ends."""
    try:
        result = call(*args)
        if isinstance(result, Iterable):
            list(result)
    except grpc.RpcError as error:
        return error_from(error)
    raise AssertionError("the call ended well")


def fields_of(call: Callable[..., Any], *args: object) -> dict[str, str]:
    """The wrong fields that an INVALID_ARGUMENT names."""
    error = refusal_of(call, *args)
    assert error.code == grpc.StatusCode.INVALID_ARGUMENT, error.status
    assert isinstance(error, InvalidRequest)
    return error.fields


def indices(responses: Iterable[GenerateResponse]) -> list[int]:
    """The indexes of the artworks among responses."""
    return [r.artwork.index for r in responses if r.HasField("artwork")]


def code_of(call: Callable[..., Any], *args: object) -> grpc.StatusCode | None:
    """The code with which `call(*args)`, which may return a stream, ends; None if it ends well."""
    try:
        result = call(*args)
        if isinstance(result, Iterable):
            list(result)
    except grpc.RpcError as error:
        return cast(grpc.Call, error).code()
    return None
