"""A studio as coroutines: all that a client does. `unikat.client.Studio` is the same for blocking callers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from os import PathLike
from pathlib import Path
from typing import Final, Self, SupportsIndex, TypeVar, Unpack

import grpc

from unikat.artwork import Artwork
from unikat.batch import Batch, BatchOptions, BatchState, Grid, Plan, Wish, create_request, list_request
from unikat.delivery import Delivery, Patience, Watching, only_artwork
from unikat.link import Address, Link
from unikat.request import Where, generate_request, whole
from unikat.resuming import AsyncBatchWatch, AsyncGeneration
from unikat.v1 import batches_pb2 as pb
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GetModelRequest, ListModelsRequest

Request = TypeVar("Request")
Response = TypeVar("Response")

# Seconds for which a lost call is sent again that only reads, or can be repeated: who asks for a list is told soon.
ASK_AGAIN: Final = 1.5


class AsyncStudio:
    """A connection to a service, used from one event loop at a time. It can be made before the loop runs.

    `target` is "host:port", by default $UNIKAT_TARGET, then localhost:50051. `tls` encrypts, trusting the system's
    authorities; `ca` is a PEM file with the ones to trust instead; `identity`, PEM files of a certificate and its
    key, and `token`, by default $UNIKAT_TOKEN, then what the file $UNIKAT_TOKEN_FILE holds, are for a service that
    asks who you are. `reconnect_timeout` is how many seconds a call keeps trying to reach the service without getting
    anything further. Raises OSError for a file that cannot be read, ValueError for a token that would be sent in
    plaintext to another machine.

    Every method raises the errors of `unikat.errors`.
    """

    _link_type: type[Link] = Link

    def __init__(
        self,
        target: str | None = None,
        *,
        tls: bool = False,
        ca: str | Path | None = None,
        identity: tuple[str | Path, str | Path] | None = None,
        token: str | None = None,
        reconnect_timeout: float = 60.0,
    ) -> None:
        self._link = self._link_type(Address.of(target, tls, ca, identity).showing(token))
        self._reconnect_timeout = reconnect_timeout

    @property
    def target(self) -> str:
        return self._link.address.target

    async def models(self, *, timeout: float = 10.0) -> list[Model]:
        """The models that live workers serve, without their combinations; `timeout` is for each page, in seconds."""
        models: list[Model] = []
        request = ListModelsRequest()
        while True:
            page = await self._ask(self._link.studio.ListModels, request, timeout, ASK_AGAIN)
            models.extend(page.models)
            request.page_token = page.next_page_token
            if not request.page_token:
                return models

    async def model(self, name: str, *, timeout: float = 10.0) -> Model:
        """One model, by "name" (the newest version) or "name@version". Raises `unikat.errors.NotFound`."""
        return await self._ask(self._link.studio.GetModel, GetModelRequest(name=name), timeout, ASK_AGAIN)

    async def draw(
        self,
        model: str,
        where: Where | None = None,
        *,
        index: SupportsIndex = 0,
        seed: SupportsIndex | None = None,
        truncation: float | None = None,
        format: str = "png",
        background: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> Artwork:
        """Draw one image: the one at `index` of the seed. All else is as in `generate`; `accepted` is with it."""
        request = generate_request(
            model, where, first_index=whole("index", index), seed=seed, truncation=truncation, format=format,
            background=background, request_id=request_id,
        )  # fmt: skip
        artwork = await self._ask(self._link.studio.Draw, request, timeout, self._reconnect_timeout)
        return only_artwork(request, artwork)

    def generate(
        self,
        model: str,
        where: Where | None = None,
        *,
        count: SupportsIndex = 1,
        first_index: SupportsIndex = 0,
        seed: SupportsIndex | None = None,
        truncation: float | None = None,
        format: str = "png",
        background: str = "",
        timeout: float | None = None,
        request_id: str | None = None,
    ) -> AsyncGeneration:
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
            background=background,
            request_id=request_id,
        )  # fmt: skip
        return AsyncGeneration(self._link, Delivery(request, timeout, self._reconnect_timeout))

    async def create_batch(
        self,
        model: str,
        *,
        to: str | PathLike[str],
        plans: Iterable[Plan] | None = None,
        grid: Grid | None = None,
        where: Where | None = None,
        count: SupportsIndex | None = None,
        timeout: float = 60.0,
        **options: Unpack[BatchOptions],
    ) -> Batch:
        """Queue a batch that draws into the folder `to`: an absolute path on the workers' machine, or a URL.

        What to draw is one of three. `grid={"style": "*", "category": ["face", "heart"]}`: `count` images of every
        combination, "*" being all categories, the last attribute varying fastest. `plans=[Plan({"style": "noto"}, 100),
        ...]`: one after the other, each with a count of its own. Neither: `count` images. `where` is what all have in
        common; an attribute that is left out is drawn for each image from the training distribution.

        Options: `seed`, `truncation` and `format` as in `generate`; `layout` is "files" or "webdataset"; batches of
        several `owner`s take turns; `labels` are for your own use; `shard_size` is the number of images in a unit of
        work. With a `request_id`, a second call with the same content returns the same batch. One is picked where none
        is given, and a call that loses its service is sent again for up to `reconnect_timeout` seconds: there is one
        batch in the end. `timeout` is for each try, in seconds.

        Raises `unikat.errors.InvalidRequest` for a field that is wrong.
        """
        request = create_request(model, Wish(plans, grid, where, count), to, **options)
        method, again = self._link.batches.CreateBatch, self._reconnect_timeout
        return Batch.of(await self._ask(method, request, timeout, again, each_try=True))

    async def batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """One batch. Raises `unikat.errors.NotFound`."""
        return Batch.of(await self._ask(self._link.batches.GetBatch, pb.GetBatchRequest(id=id), timeout, ASK_AGAIN))

    def batches(
        self, *, states: Iterable[BatchState | str] = (), owner: str = "", timeout: float = 10.0
    ) -> AsyncIterator[Batch]:
        """All batches, or those in one of `states` and of one owner, newest first, without their plans.

        Pages are fetched as they are needed; `timeout` is for each. Raises ValueError for a state that there is not.
        """
        return self._pages(list_request(states, owner), timeout)

    async def _pages(self, request: pb.ListBatchesRequest, timeout: float) -> AsyncIterator[Batch]:
        while True:
            page = await self._ask(self._link.batches.ListBatches, request, timeout, ASK_AGAIN)
            for message in page.batches:
                yield Batch.of(message)
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Call a batch off. What was written stays, and gets its manifest by the time the batch has `ended`.

        Raises `unikat.errors.WrongState` for one that has ended otherwise.
        """
        request = pb.CancelBatchRequest(id=id)
        return Batch.of(await self._ask(self._link.batches.CancelBatch, request, timeout, ASK_AGAIN))

    async def retry_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Draw again what failed. Raises `unikat.errors.WrongState` unless the batch is FAILED."""
        return Batch.of(await self._ask(self._link.batches.RetryBatch, pb.RetryBatchRequest(id=id), timeout))

    async def delete_batch(self, id: str, *, timeout: float = 10.0) -> None:
        """Forget a batch that has ended; its files stay.

        Raises `unikat.errors.WrongState` for one that has not.
        """
        await self._ask(self._link.batches.DeleteBatch, pb.DeleteBatchRequest(id=id), timeout)

    def watch_batch(self, id: str, *, timeout: float | None = None) -> AsyncBatchWatch:
        """The batch as it is, then at every change, until it has ended. It reconnects by itself.

        Changes within a fraction of a second come as one. `timeout` is for all of it, in seconds; what is wrong is
        raised by iterating.
        """
        return AsyncBatchWatch(self._link, Watching(id, timeout, self._reconnect_timeout))

    async def close(self) -> None:
        """End every call and the connection."""
        await self._link.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _ask(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        again: float = 0.0,
        each_try: bool = False,
    ) -> Response:
        """The answer to a call, which is sent again for `again` seconds where it is lost.

        `timeout` is for all of it, or for each try.
        """
        patience = Patience(None if each_try else timeout, min(again, self._reconnect_timeout))
        while True:
            try:
                return await self._link.ask(method, request, timeout if each_try else patience.remaining)
            except (grpc.RpcError, asyncio.CancelledError) as broken:
                pause = patience.pause_after(self._link.typed(broken))
            await self._link.wait(self._link.signal(), pause)
