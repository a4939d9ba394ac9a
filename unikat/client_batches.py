"""What a studio does with batches: images by the thousand, drawn into files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from typing import TypeVar, Unpack

import grpc

from unikat.batch import Batch, BatchOptions, BatchState, Grid, Plan, Wish, create_request, list_request
from unikat.channel import Address
from unikat.patience import Patience
from unikat.request import Where
from unikat.resuming import ResumingStream
from unikat.v1 import batches_pb2 as pb
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.watching import Watching

T = TypeVar("T")


class BatchWatch(ResumingStream[pb.WatchBatchRequest, pb.Batch], Iterator[Batch]):
    """A batch as it is, then at every change, until it has ended.

    It reconnects by itself. `cancel`, leaving a `with` block and dropping it end the watching; the batch goes on.
    Iterating raises the errors of `unikat.errors`.
    """

    def __init__(self, stub: BatchesStub, address: Address, watching: Watching) -> None:
        super().__init__(stub.WatchBatch, address, watching)
        self._watching = watching

    def __next__(self) -> Batch:
        while True:
            message = self._receive()
            if message is None:
                raise StopIteration
            batch = self._watching.take(message)
            if batch is not None:
                return batch


class BatchMethods:
    """The batches of a service. Every method raises the errors of `unikat.errors`."""

    _address: Address
    _batches: BatchesStub
    _reconnect_timeout: float

    def create_batch(
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
        patience = Patience(None, self._reconnect_timeout)
        while True:
            try:
                return Batch.of(self._batches.CreateBatch(request, timeout=timeout))
            except grpc.RpcError as error:
                time.sleep(patience.pause_after(self._address.typed(error)))

    def batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """One batch. Raises `unikat.errors.NotFound`."""
        return Batch.of(self._ask(lambda: self._batches.GetBatch(pb.GetBatchRequest(id=id), timeout=timeout)))

    def batches(
        self, *, states: Iterable[BatchState | str] = (), owner: str = "", timeout: float = 10.0
    ) -> Iterator[Batch]:
        """All batches, or those in one of `states` and of one owner, newest first, without their plans.

        Pages are fetched as they are needed; `timeout` is for each. Raises ValueError for a state that there is not.
        """
        request = list_request(states, owner)
        return self._pages(request, timeout)

    def _pages(self, request: pb.ListBatchesRequest, timeout: float) -> Iterator[Batch]:
        while True:
            page = self._ask(lambda: self._batches.ListBatches(request, timeout=timeout))
            yield from map(Batch.of, page.batches)
            request.page_token = page.next_page_token
            if not request.page_token:
                return

    def cancel_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Call a batch off. What was written stays, and gets its manifest by the time the batch has `ended`.

        Raises `unikat.errors.WrongState` for one that has ended otherwise.
        """
        return Batch.of(self._ask(lambda: self._batches.CancelBatch(pb.CancelBatchRequest(id=id), timeout=timeout)))

    def retry_batch(self, id: str, *, timeout: float = 10.0) -> Batch:
        """Draw again what failed. Raises `unikat.errors.WrongState` unless the batch is FAILED."""
        return Batch.of(self._ask(lambda: self._batches.RetryBatch(pb.RetryBatchRequest(id=id), timeout=timeout)))

    def delete_batch(self, id: str, *, timeout: float = 10.0) -> None:
        """Forget a batch that has ended; its files stay.

        Raises `unikat.errors.WrongState` for one that has not.
        """
        self._ask(lambda: self._batches.DeleteBatch(pb.DeleteBatchRequest(id=id), timeout=timeout))

    def watch_batch(self, id: str, *, timeout: float | None = None) -> BatchWatch:
        """The batch as it is, then at every change, until it has ended. It reconnects by itself.

        Changes within a fraction of a second come as one. `timeout` is for all of it, in seconds; what is wrong is
        raised by iterating.
        """
        return BatchWatch(self._batches, self._address, Watching(id, timeout, self._reconnect_timeout))

    def _ask(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except grpc.RpcError as error:
            raise self._address.typed(error) from error
