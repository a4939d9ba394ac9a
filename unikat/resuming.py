"""A server stream that goes on by itself over a new connection where the old one broke."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar, cast

import grpc

from unikat.channel import Address
from unikat.errors import UnikatError
from unikat.patience import cancelled, ended_early

Request = TypeVar("Request")
Request_co = TypeVar("Request_co", covariant=True)
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)


class Talk(Protocol[Request_co]):
    """What is known of a call without any I/O: what to ask for next, and whether everything has arrived."""

    @property
    def is_complete(self) -> bool: ...

    @property
    def remaining(self) -> float | None: ...

    def next_request(self) -> Request_co: ...

    def pause_after(self, error: UnikatError) -> float: ...


class _Call(Protocol[Response_co]):
    def __next__(self) -> Response_co: ...

    def cancel(self) -> bool: ...


class ResumingStream(Generic[Request, Response]):
    """Messages of one call, over as many connections as it takes. `method` is a stub's method for a server stream.

    It is called off by `cancel`, by leaving a `with` block, and when nothing refers to it any more, as after a `break`.
    """

    def __init__(self, method: Callable[..., object], address: Address, talk: Talk[Request]) -> None:
        self._method = method
        self._address = address
        self._talk = talk
        self._cancelled = threading.Event()
        self._call = self._connect()

    def _receive(self) -> Response | None:
        """The next message, over a new connection where the old one broke; None after the last."""
        while True:
            try:
                return next(self._call)
            except StopIteration:
                error = ended_early()
            except grpc.RpcError as broken:
                error = self._address.typed(broken)
            if self._talk.is_complete:
                return None
            if self._cancelled.is_set() or self._cancelled.wait(self._talk.pause_after(error)):
                raise cancelled()
            self._call = self._connect()

    def _connect(self) -> _Call[Response]:
        call = self._method(self._talk.next_request(), timeout=self._talk.remaining)
        return cast(_Call[Response], call)  # what gRPC promises of it, and its stubs leave out

    def cancel(self) -> None:
        """Call it off, from any thread. Iterating on raises `unikat.errors.Cancelled`."""
        self._cancelled.set()
        self._call.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_call"):  # the first connection can fail, on a channel that is closed
            self.cancel()
