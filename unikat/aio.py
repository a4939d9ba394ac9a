"""The asyncio client: the same studio, with `await` and `async for`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Self

import grpc

from unikat.aio_batches import AsyncBatchMethods
from unikat.artwork import Accepted, Artwork, Finished
from unikat.channel import OPTIONS, Address
from unikat.delivery import Delivery
from unikat.request import Where, generate_request
from unikat.resuming_aio import AsyncResumingStream
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse, GetModelRequest, ListModelsRequest
from unikat.v1.studio_pb2_grpc import StudioStub

if TYPE_CHECKING:
    from unikat.v1.studio_pb2_grpc import StudioAsyncStub  # StudioStub on an asyncio channel, for the type checker


class AsyncGeneration(AsyncResumingStream[GenerateRequest, GenerateResponse], AsyncIterator[Artwork]):
    """The images of one call, in the order of their indexes, as they are drawn.

    It reconnects and goes on by itself where the service was lost. It is called off by `cancel`, by leaving an
    `async with` block, when the task that iterates is cancelled, and when nothing refers to it any more, as after a
    `break`. Iterating raises the errors of `unikat.errors`.
    """

    def __init__(self, stub: StudioAsyncStub, address: Address, delivery: Delivery) -> None:
        super().__init__(stub.Generate, address, delivery)
        self._delivery = delivery

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


class AsyncStudio(AsyncBatchMethods):
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
        self._batches = BatchesStub(self._channel)

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
        first_index: int = 0,
        seed: int | None = None,
        truncation: float | None = None,
        format: str = "png",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGeneration:
        """Draw `count` images of `model`, for `async for`. Arguments and errors are those of `Studio.generate`."""
        request = generate_request(
            model, where, count=count, first_index=first_index, seed=seed, truncation=truncation, format=format,
            request_id=request_id,
        )  # fmt: skip
        return AsyncGeneration(self._stub, self._address, Delivery(request, timeout, self._reconnect_timeout))

    async def close(self) -> None:
        """End every call and the connection."""
        await self._channel.close(None)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
