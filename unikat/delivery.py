"""A Generate call over as many connections as it takes: what to ask for next, and whether everything arrived once.

No I/O happens here, so the synchronous and the asynchronous client are the same but for waiting.
"""

from __future__ import annotations

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.artwork import Accepted, Artwork, Finished
from unikat.errors import UnikatError, error_of
from unikat.patience import Patience
from unikat.v1 import studio_pb2
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse


class Delivery(Patience):
    """State of one call. `timeout` is for all of it, `reconnect_timeout` for being without progress, in seconds."""

    def __init__(self, request: GenerateRequest, timeout: float | None, reconnect_timeout: float) -> None:
        super().__init__(timeout, reconnect_timeout)
        self.accepted: Accepted | None = None
        self.finished: Finished | None = None
        self.received = 0
        self._request = request

    @property
    def is_complete(self) -> bool:
        """Whether everything has arrived."""
        return self.finished is not None

    @property
    def _due(self) -> int:
        """Index of the next image."""
        return self._request.first_index + self.received

    def next_request(self) -> GenerateRequest:
        """What to send on the next connection: the same request, behind the last image that arrived."""
        if self.received:
            self._request.after_index = self._due - 1
        return self._request

    def take(self, response: GenerateResponse) -> Artwork | None:
        """The image in a message, if it is one. Raises UnikatError (DATA_LOSS) if it is not the one that is due."""
        match response.WhichOneof("event"):
            case "accepted":
                self._take_accepted(Accepted.of(response.accepted))
            case "artwork":
                return self._take_artwork(response)
            case "finished":
                if self.accepted is None or self.received != self.accepted.count:
                    raise _lost(f"the stream ended when image {self._due} was due, before the last one")
                self.finished = Finished.of(response.finished)
        return None

    def _take_accepted(self, accepted: Accepted) -> None:
        before = self.accepted
        if before is not None and (before.model_digest, before.seed) != (accepted.model_digest, accepted.seed):
            raise _lost(
                f"image {self._due} would come from {accepted.model} with seed {accepted.seed}, the ones before "
                f"came from {before.model} with seed {before.seed}; pin the model's version"
            )
        self.accepted = accepted
        if before is None:
            self.progressed()

    def _take_artwork(self, response: GenerateResponse) -> Artwork:
        index = response.artwork.index
        if index != self._due:
            raise _lost(f"image {self._due} is due, but image {index} arrived")
        self.received += 1
        self.progressed()
        return Artwork.of(response.artwork)


def only_artwork(request: GenerateRequest, message: studio_pb2.Artwork) -> Artwork:
    """The image that a Draw call brought. Raises UnikatError (DATA_LOSS) if it is not the one that was asked for."""
    if (message.index, message.seed) != (request.first_index, request.seed):
        raise _lost(
            f"image {request.first_index} of seed {request.seed} was asked for, "
            f"but image {message.index} of seed {message.seed} arrived"
        )
    return Artwork.of(message)


def _lost(message: str) -> UnikatError:
    return error_of(Status(code=Code.DATA_LOSS, message=message))
