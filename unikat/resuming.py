"""Server streams that go on by themselves over a new connection where the old one broke; for `async for` and `for`."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any, Generic, Protocol, Self, TypeVar

import grpc

from unikat.artwork import Accepted, Artwork, Finished, Refused
from unikat.batch import Batch
from unikat.delivery import Delivery, Watching, cancelled, ended_early
from unikat.errors import UnikatError
from unikat.link import Link, Stream, run
from unikat.v1 import batches_pb2 as pb
from unikat.v1.studio_pb2 import GenerateResponse

Response = TypeVar("Response")
Response_contra = TypeVar("Response_contra", contravariant=True)
Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Talk(Protocol[Response_contra, Item_co]):
    """What is known of a call without any I/O."""

    @property
    def is_complete(self) -> bool: ...

    def take(self, response: Response_contra, /) -> Item_co | None: ...

    def pause_after(self, error: UnikatError) -> float: ...


class AsyncResuming(AsyncIterator[Item], Generic[Response, Item]):
    """What a call brings, over as many connections as it takes.

    It is called off by `cancel`, by leaving an `async with` block, when the task that iterates is cancelled, and when
    nothing refers to it any more, as after a `break`. Iterating raises the errors of `unikat.errors`.
    """

    def __init__(self, link: Link, talk: Talk[Response, Item]) -> None:
        self._link = link
        self._talk = talk
        self._stopped = link.signal()
        self._stream = self._connect()

    @abstractmethod
    def _connect(self) -> Stream[Response]:
        """Begin the call, or go on with it."""

    async def __anext__(self) -> Item:
        while True:
            response = await self._receive()
            if response is None:
                raise StopAsyncIteration
            item = self._talk.take(response)
            if item is not None:
                return item

    async def _receive(self) -> Response | None:
        """The next message, over a new connection where the old one broke; None after the last."""
        while True:
            try:
                response = await self._link.read(self._stream)
                if response is not None:
                    return response
                error = ended_early()
            except (grpc.RpcError, asyncio.CancelledError) as broken:
                error = self._link.typed(broken, self._stopped.is_set())
            if self._talk.is_complete:
                return None
            await self._link.wait(self._stopped, self._talk.pause_after(error))
            if not (self._stopped.is_set() or self._link.closed):
                self._stream = self._connect()
            if self._stopped.is_set() or self._link.closed:  # perhaps by another thread, meanwhile
                self._stream.cancel()
                raise cancelled()

    def cancel(self) -> None:
        """Call it off. Iterating on raises `unikat.errors.Cancelled`."""
        self._stopped.set()
        self._stream.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_stream"):  # the first connection can fail, on a channel that is closed
            with suppress(RuntimeError):  # the loop is closed, and the call with it
                self._stream.cancel()


class AsyncGeneration(AsyncResuming[GenerateResponse, Artwork]):
    """The images of one call, in the order of their indexes, as they are drawn; `refused` has those not delivered.

    At most a few images are held: a caller that is slower than the service slows it down.
    """

    _talk: Delivery

    def _connect(self) -> Stream[GenerateResponse]:
        return self._link.begin(self._link.studio.Generate, self._talk.next_request(), self._talk.remaining)

    async def accepted(self) -> Accepted:
        """The request as the service resolved it. Waits for it where it has not arrived."""
        while self._talk.accepted is None:
            response = await self._receive()
            if response is not None:
                self._talk.take(response)
        return self._talk.accepted

    @property
    def finished(self) -> Finished | None:
        """The totals; None until the last image was taken."""
        return self._talk.finished

    @property
    def refused(self) -> list[Refused]:
        """Images that were drawn and are not delivered, so far."""
        return self._talk.refused


class AsyncBatchWatch(AsyncResuming[pb.Batch, Batch]):
    """A batch as it is, then at every change, until it has ended. The batch goes on when the watching ends."""

    _talk: Watching

    def _connect(self) -> Stream[pb.Batch]:
        return self._link.begin(self._link.batches.WatchBatch, self._talk.next_request(), self._talk.remaining)


class Resuming(Iterator[Item]):
    """What a call brings, over as many connections as it takes; it blocks until the next is there.

    It is called off by `cancel`, by leaving a `with` block, and when nothing refers to it any more, as after a `break`.
    Iterating raises the errors of `unikat.errors`.
    """

    def __init__(self, calls: AsyncResuming[Any, Item]) -> None:
        self._calls = calls  # ends the call when it is dropped with this

    def __next__(self) -> Item:
        try:
            return run(anext(self._calls))
        except StopAsyncIteration:
            raise StopIteration from None

    def cancel(self) -> None:
        """Call it off, from any thread. Iterating on raises `unikat.errors.Cancelled`."""
        self._calls.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


class Generation(Resuming[Artwork]):
    """The images of one call, in the order of their indexes, as they are drawn; `refused` has those not delivered.

    At most a few images are held: a caller that is slower than the service slows it down.
    """

    _calls: AsyncGeneration

    @property
    def accepted(self) -> Accepted:
        """The request as the service resolved it. Waits for it where it has not arrived."""
        return run(self._calls.accepted())

    @property
    def finished(self) -> Finished | None:
        """The totals; None until the last image was taken."""
        return self._calls.finished

    @property
    def refused(self) -> list[Refused]:
        """Images that were drawn and are not delivered, so far."""
        return self._calls.refused


class BatchWatch(Resuming[Batch]):
    """A batch as it is, then at every change, until it has ended. The batch goes on when the watching ends."""
