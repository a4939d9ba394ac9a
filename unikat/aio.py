"""The asyncio client: the same studio, with `await` and `async for`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc

from unikat.artwork import Accepted, Artwork, Finished
from unikat.channel import OPTIONS, Address
from unikat.delivery import Delivery, cancelled, ended_early
from unikat.errors import UnikatError
from unikat.request import Where, generate_request
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse, GetModelRequest, ListModelsRequest
from unikat.v1.studio_pb2_grpc import StudioStub

if TYPE_CHECKING:
    from unikat.v1.studio_pb2_grpc import StudioAsyncStub  # StudioStub on an asyncio channel, for the type checker


class AsyncGeneration(AsyncIterator[Artwork]):
    """The images of one call, in the order of their indexes, as they are drawn.

    It reconnects and goes on by itself where the service was lost. It is called off by `cancel`, by leaving an
    `async with` block, when the task that iterates is cancelled, and when nothing refers to it any more, as after a
    `break`. Iterating raises the errors of `unikat.errors`.
    """

    def __init__(self, stub: StudioAsyncStub, address: Address, delivery: Delivery) -> None:
        self._stub = stub
        self._address = address
        self._delivery = delivery
        self._cancelled = asyncio.Event()
        self._call = self._connect()

    async def accepted(self) -> Accepted:
        """The request as the service resolved it. Waits for it where it has not arrived."""
        while self._delivery.accepted is None:
            response = await self._receive()
            if response is not None:
                self._delivery.take(response)
        return self._delivery.accepted

    @property
    def finished(self) -> Finished | None:
        """The totals; None until the last image was taken."""
        return self._delivery.finished

    async def __anext__(self) -> Artwork:
        while True:
            response = await self._receive()
            if response is None:
                raise StopAsyncIteration
            artwork = self._delivery.take(response)
            if artwork is not None:
                return artwork

    async def _receive(self) -> GenerateResponse | None:
        """The next message, over a new connection where the old one broke; None after the last."""
        while True:
            error = ended_early()
            try:
                response = await self._call.read()
                if isinstance(response, GenerateResponse):  # and not grpc.aio.EOF
                    return response
            except grpc.RpcError as broken:
                error = self._address.typed(broken)
            except asyncio.CancelledError:
                if self._cancelled.is_set():  # how grpc.aio says that the call was cancelled here
                    raise cancelled() from None
                self._call.cancel()
                raise
            if self._delivery.finished is not None:
                return None
            await self._pause(error)
            self._call = self._connect()

    async def _pause(self, error: UnikatError) -> None:
        if not self._cancelled.is_set():
            seconds = self._delivery.pause_after(error)
            try:
                await asyncio.wait_for(self._cancelled.wait(), seconds)
            except TimeoutError:
                return
        raise cancelled()

    def _connect(self) -> grpc.aio.UnaryStreamCall[GenerateRequest, GenerateResponse]:
        return self._stub.Generate(self._delivery.next_request(), timeout=self._delivery.remaining)

    def cancel(self) -> None:
        """Call the job off. Iterating on raises `unikat.errors.Cancelled`."""
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


class AsyncStudio:
    """A connection to a service, used from one event loop.

    `target` is "host:port", by default $UNIKAT_TARGET, then localhost:50051. `tls` encrypts, trusting the system's
    authorities; `ca` is a PEM file with the ones to trust instead; `identity`, PEM files of a certificate and its
    key, is for a service that asks who you are. `reconnect_timeout` is how many seconds a call keeps trying to reach
    the service without getting anything further. Raises OSError for a file that cannot be read.
    """

    def __init__(
        self,
        target: str | None = None,
        *,
        tls: bool = False,
        ca: str | Path | None = None,
        identity: tuple[str | Path, str | Path] | None = None,
        reconnect_timeout: float = 60.0,
    ) -> None:
        self._address = Address.of(target, tls, ca, identity)
        self._reconnect_timeout = reconnect_timeout
        credentials = self._address.credentials
        self._channel = (
            grpc.aio.insecure_channel(self._address.target, options=OPTIONS)
            if credentials is None
            else grpc.aio.secure_channel(self._address.target, credentials, options=OPTIONS)
        )
        self._stub = StudioStub(self._channel)

    @property
    def target(self) -> str:
        """Where it connects to."""
        return self._address.target

    async def models(self, *, timeout: float = 10.0) -> list[Model]:
        """The models that live workers serve, without their combinations. Raises the errors of `unikat.errors`."""
        models: list[Model] = []
        token = ""
        while True:
            try:
                page = await self._stub.ListModels(ListModelsRequest(page_token=token), timeout=timeout)
            except grpc.RpcError as error:
                raise self._address.typed(error) from error
            models.extend(page.models)
            token = page.next_page_token
            if not token:
                return models

    async def model(self, name: str, *, timeout: float = 10.0) -> Model:
        """One model, by "name" (the newest version) or "name@version". Raises `unikat.errors.NotFound`."""
        try:
            return await self._stub.GetModel(GetModelRequest(name=name), timeout=timeout)
        except grpc.RpcError as error:
            raise self._address.typed(error) from error

    def generate(
        self,
        model: str,
        where: Where | None = None,
        *,
        count: int = 1,
        seed: int | None = None,
        truncation: float | None = None,
        format: str = "png",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGeneration:
        """Draw `count` images of `model`, for `async for`. Arguments and errors are those of `Studio.generate`."""
        request = generate_request(
            model, where, count=count, seed=seed, truncation=truncation, format=format, request_id=request_id
        )
        return AsyncGeneration(self._stub, self._address, Delivery(request, timeout, self._reconnect_timeout))

    async def close(self) -> None:
        """End every call and the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
