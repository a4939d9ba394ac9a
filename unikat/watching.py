"""A WatchBatch call over as many connections as it takes: what to ask for next, what is news, when it is over."""

from __future__ import annotations

from unikat.batch import Batch
from unikat.patience import Patience
from unikat.v1 import batches_pb2 as pb


class Watching(Patience):
    """State of one call. `timeout` is for all of it, `reconnect_timeout` for being without a service, in seconds."""

    def __init__(self, batch: str, timeout: float | None, reconnect_timeout: float) -> None:
        super().__init__(timeout, reconnect_timeout)
        self._request = pb.WatchBatchRequest(id=batch)
        self._latest: Batch | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the batch has ended."""
        return self._latest is not None and self._latest.ended is not None

    def next_request(self) -> pb.WatchBatchRequest:
        """What to send on the next connection: the same request, behind the last message that arrived."""
        return self._request

    def take(self, message: pb.Batch) -> Batch | None:
        """The batch as it is now, or None where nothing changed since the last message."""
        self.progressed()
        batch = Batch.of(message)
        news = self._latest is None or batch.revision != self._latest.revision
        self._latest = batch
        self._request.after_revision = batch.revision
        return batch if news else None
