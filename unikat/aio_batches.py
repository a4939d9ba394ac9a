"""The asyncio counterpart of `unikat.client_batches`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable
from os import PathLike
from typing import TYPE_CHECKING, TypeVar, Unpack

import grpc

from unikat.batch import Batch, BatchOptions, BatchState, Grid, Plan, Wish, create_request, list_request
from unikat.channel import Address
from unikat.patience import Patience
from unikat.request import Where
from unikat.resuming_aio import AsyncResumingStream
from unikat.v1 import batches_pb2 as pb
from unikat.watching import Watching

if TYPE_CHECKING:
    from unikat.v1.batches_pb2_grpc import BatchesAsyncStub  # BatchesStub on an asyncio channel

T = TypeVar("T")


class AsyncBatchWatch(AsyncResumingStream[pb.WatchBatchRequest, pb.Batch], AsyncIterator[Batch]):
    """A batch as it is, then at every change, until it has ended.

    It reconnects by itself. `cancel`, leaving an `async with` block, cancelling the task that iterates and dropping it
    end the watching; the batch goes on. Iterating raises the errors of `unikat.errors`.
    """

    def __init__(self, stub: BatchesAsyncStub, address: Address, watching: Watching) -> None:
        super().__init__(stub.WatchBatch, address, watching)
        self._watching = watching

    async def __anext__(self) -> Batch:
        while True:
            message = await self._receive()
            if message is None:
                raise StopAsyncIteration
            batch = self._watching.take(message)
            if batch is not None:
                return batch


class AsyncBatchMethods:
    """The batches of a service. Arguments and errors are those of `Studio`'s methods of the same names."""

    _address: Address
    _batches: BatchesAsyncStub
    _reconnect_timeout: float

    async def create_batch(
        self,
        model: str,
        *,
        to: str | PathLike[str],
        plans: Iterable[Plan] | None = None,
        grid: Grid | None = None,
        where: Where | None = None,
        count: int | None = None,
        timeout: float = 60.0,
        **options: Unpack[BatchOptions],
    ) -> Batch:
        """Queue a batch that draws into the folder `to`."""
        request = create_request(model, Wish(plans, grid, where, count), to, **options)
        patience = Patience(None, self._reconnect_timeout)
        while True:
            try:
                return Batch.of(await self._batches.CreateBatch(request, timeout=timeout))
            except grpc.RpcError as error:
                await asyncio.sleep(patience.pause_after(self._address.typed(error)))

    async def batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """One batch."""
        return Batch.of(await self._ask(self._batches.GetBatch(pb.GetBatchRequest(id=id), timeout=timeout)))

    async def batches(
        self, *, states: Iterable[BatchState | str] = (), owner: str = "", timeout: float = 10.0
    ) -> AsyncIterator[Batch]:
        """All batches, or those in one of `states` and of one owner, newest first, without their plans."""
        request = list_request(states, owner)
        while True:
            page = await self._ask(self._batches.ListBatches(request, timeout=timeout))
            for message in page.batches:
                yield Batch.of(message)
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    async def cancel_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Call a batch off."""
        return Batch.of(await self._ask(self._batches.CancelBatch(pb.CancelBatchRequest(id=id), timeout=timeout)))

    async def retry_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Draw again what failed."""
        return Batch.of(await self._ask(self._batches.RetryBatch(pb.RetryBatchRequest(id=id), timeout=timeout)))

    async def delete_batch(self, id: str, *, timeout: float = 10.0) -> None:
        """Forget a batch that has ended; its files stay."""
        await self._ask(self._batches.DeleteBatch(pb.DeleteBatchRequest(id=id), timeout=timeout))

    def watch_batch(self, id: str, *, timeout: float | None = None) -> AsyncBatchWatch:
        """The batch as it is, then at every change, until it has ended, for `async for`."""
        return AsyncBatchWatch(self._batches, self._address, Watching(id, timeout, self._reconnect_timeout))

    async def _ask(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except grpc.RpcError as error:
            raise self._address.typed(error) from error
