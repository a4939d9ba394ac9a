"""The asyncio counterpart of `unikat.resuming`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message

from unikat.channel import Address
from unikat.errors import UnikatError
from unikat.patience import cancelled, ended_early
from unikat.resuming import Talk

Request = TypeVar("Request")
Response = TypeVar("Response")


class AsyncResumingStream(Generic[Request, Response]):
    """Messages of one call, over as many connections as it takes. `method` is a stub's method for a server stream.

    It is called off by `cancel`, by leaving an `async with` block, when the task that iterates is cancelled, and when
    nothing refers to it any more, as after a `break`.
    """

    def __init__(
        self,
        method: Callable[..., grpc.aio.UnaryStreamCall[Request, Response]],
        address: Address,
        talk: Talk[Request],
    ) -> None:
        self._method = method
        self._address = address
        self._talk = talk
        self._cancelled = asyncio.Event()
        self._call = self._connect()

    async def _receive(self) -> Response | None:
        """The next message, over a new connection where the old one broke; None after the last."""
        while True:
            error = ended_early()
            try:
                response = await self._call.read()
                if isinstance(response, Message):  # and not grpc.aio.EOF
                    return cast(Response, response)
            except grpc.RpcError as broken:
                error = self._address.typed(broken)
            except asyncio.CancelledError:
                if self._cancelled.is_set():  # how grpc.aio says that the call was cancelled here
                    raise cancelled() from None
                self._call.cancel()
                raise
            if self._talk.is_complete:
                return None
            await self._pause(error)
            self._call = self._connect()

    async def _pause(self, error: UnikatError) -> None:
        if not self._cancelled.is_set():
            seconds = self._talk.pause_after(error)
            try:
                await asyncio.wait_for(self._cancelled.wait(), seconds)
            except TimeoutError:
                return
        raise cancelled()

    def _connect(self) -> grpc.aio.UnaryStreamCall[Request, Response]:
        return self._method(self._talk.next_request(), timeout=self._talk.remaining)

    def cancel(self) -> None:
        """Call it off. Iterating on raises `unikat.errors.Cancelled`."""
        self._cancelled.set()
        self._call.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_call"):  # the first connection can fail, on a channel that is closed
            with suppress(RuntimeError):  # the loop is closed, and the call with it
                self._call.cancel()
