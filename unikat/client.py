"""The client: a studio draws to order, and its images come as they are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import grpc

from unikat.artwork import Accepted, Artwork, Finished
from unikat.channel import OPTIONS, Address
from unikat.client_batches import BatchMethods
from unikat.delivery import Delivery
from unikat.request import Where, generate_request
from unikat.resuming import ResumingStream
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse, GetModelRequest, ListModelsRequest
from unikat.v1.studio_pb2_grpc import StudioStub


class Generation(ResumingStream[GenerateRequest, GenerateResponse], Iterator[Artwork]):
    """The images of one call, in the order of their indexes, as they are drawn.

    It reconnects and goes on by itself where the service was lost. It is called off by `cancel`, by leaving a `with`
    block, and when nothing refers to it any more, as after a `break`. At most a few images are held: a caller that
    is slower than the service slows it down. Iterating raises the errors of `unikat.errors`.
    """

    def __init__(self, stub: StudioStub, address: Address, delivery: Delivery) -> None:
        super().__init__(stub.Generate, address, delivery)
        self._delivery = delivery

    @property
    def accepted(self) -> Accepted:
        """The request as the service resolved it. Waits for it where it has not arrived."""
        while self._delivery.accepted is None:
            response = self._receive()
            if response is not None:
                self._delivery.take(response)
        return self._delivery.accepted

    @property
    def finished(self) -> Finished | None:
        """The totals; None until the last image was taken."""
        return self._delivery.finished

    def __next__(self) -> Artwork:
        while True:
            response = self._receive()
            if response is None:
                raise StopIteration
            artwork = self._delivery.take(response)
            if artwork is not None:
                return artwork


class Studio(BatchMethods):
    """A connection to a service; it can be shared by threads.

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
            grpc.insecure_channel(self._address.target, options=OPTIONS)
            if credentials is None
            else grpc.secure_channel(self._address.target, credentials, options=OPTIONS)
        )
        self._stub = StudioStub(self._channel)
        self._batches = BatchesStub(self._channel)

    @property
    def target(self) -> str:
        """Where it connects to."""
        return self._address.target

    def models(self, *, timeout: float = 10.0) -> list[Model]:
        """The models that live workers serve, without their combinations. Raises the errors of `unikat.errors`."""
        models: list[Model] = []
        token = ""
        while True:
            try:
                page = self._stub.ListModels(ListModelsRequest(page_token=token), timeout=timeout)
            except grpc.RpcError as error:
                raise self._address.typed(error) from error
            models.extend(page.models)
            token = page.next_page_token
            if not token:
                return models

    def model(self, name: str, *, timeout: float = 10.0) -> Model:
        """One model, by "name" (the newest version) or "name@version". Raises `unikat.errors.NotFound`."""
        try:
            return self._stub.GetModel(GetModelRequest(name=name), timeout=timeout)
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
    ) -> Generation:
        """Draw `count` images of `model`; they are begun at once, and arrive by iterating over what is returned.

        `where` says what to draw: `{"style": "noto", "category": {"animal": .7, "plant": .3}}`. An attribute that
        it leaves out is drawn for each image from the training distribution. `seed` (0 to 2**64 - 1) makes the
        images repeatable; left out, one is picked, and `accepted.seed` says which. The images are those of the seed
        from `first_index` on, so that any one can be drawn again alone. `truncation` is 0 to 2, by default the
        model's; `format` is "png", "webp" or "jpeg"; `timeout` is for the whole call, in seconds. Two calls with the
        same `request_id` share one job.

        Raises `unikat.errors.InvalidRequest` for arguments that cannot be sent; all else is raised by iterating.
        """
        request = generate_request(
            model, where, count=count, first_index=first_index, seed=seed, truncation=truncation, format=format,
            request_id=request_id,
        )  # fmt: skip
        return Generation(self._stub, self._address, Delivery(request, timeout, self._reconnect_timeout))

    def close(self) -> None:
        """End every call and the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
