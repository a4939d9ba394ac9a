"""Calls over as many connections as it takes.

No I/O happens here, so the synchronous and the asynchronous client are the same but for waiting.
"""

from __future__ import annotations

import random
import time
from typing import Final

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.artwork import Accepted, Artwork, Finished, Refused
from unikat.batch import Batch
from unikat.errors import DeadlineExceeded, Unavailable, UnikatError, error_of
from unikat.v1 import batches_pb2, studio_pb2
from unikat.v1.studio_pb2 import ORIGINALITY_MODE_ENFORCE, GenerateRequest, GenerateResponse

FIRST_PAUSE: Final = 0.1  # seconds
LONGEST_PAUSE: Final = 2.0  # seconds


class Patience:
    """How long a call that lost its service is tried again: pauses that grow, until nothing has come for too long.

    `timeout` is for all of it or for each try, `reconnect_timeout` for being without progress, in seconds.
    """

    def __init__(self, timeout: float | None, reconnect_timeout: float, each_try: bool = False) -> None:
        self._each_try = timeout if each_try else None
        self._deadline = None if timeout is None or each_try else time.monotonic() + timeout
        self._reconnect_timeout = reconnect_timeout
        self._failures = 0
        self._give_up_at: float | None = None

    @property
    def remaining(self) -> float | None:
        """Seconds that the next try has."""
        if self._each_try is not None:
            return self._each_try
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def progressed(self) -> None:
        """Something arrived: whatever breaks from here on is a new trouble."""
        self._failures = 0
        self._give_up_at = None

    def pause_after(self, error: UnikatError) -> float:
        """Seconds to wait before the next connection, or `error` raised where another try is not worth it."""
        now = time.monotonic()
        if self._give_up_at is None:
            self._give_up_at = now + self._reconnect_timeout
        # Full jitter would allow pauses of nothing; half of it keeps many clients apart as well.
        pause: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures) * random.uniform(0.5, 1.0)
        pause = max(pause, (error.retry_after or 0.0) * random.uniform(1.0, 1.1))
        ends = [self._give_up_at] + ([] if self._deadline is None else [self._deadline])
        if not self._is_lost(error) or now + pause > min(ends):
            raise error
        self._failures += 1
        return pause

    def _is_lost(self, error: UnikatError) -> bool:
        """Whether the service was lost. A deadline that is neither ours nor the service's is that of one in between."""
        if isinstance(error, DeadlineExceeded) and not error.reason and self._each_try is None:
            return self._deadline is None or time.monotonic() < self._deadline
        return isinstance(error, Unavailable)


class Delivery(Patience):
    """A Generate call: what to ask for next, and whether everything arrived once."""

    def __init__(self, request: GenerateRequest, timeout: float | None, reconnect_timeout: float) -> None:
        super().__init__(timeout, reconnect_timeout)
        self.accepted: Accepted | None = None
        self.finished: Finished | None = None
        # Artworks and refusals, those before a call that goes on where an earlier one was included.
        self.received = request.after_index - request.first_index + 1 if request.HasField("after_index") else 0
        self.refused: list[Refused] = []
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
                check_signed(self._request, response.accepted)
                self._take_accepted(Accepted.of(response.accepted))
            case "artwork":
                return self._take_artwork(response)
            case "refused":
                self._arrived(response.refused.index)
                self.refused.append(Refused.of(response.refused))
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
        check_compared(self._request, response.artwork)
        self._arrived(response.artwork.index)
        return Artwork.of(response.artwork, "" if self.accepted is None else self.accepted.model)

    def _arrived(self, index: int) -> None:
        if index != self._due:
            raise _lost(f"image {self._due} is due, but image {index} arrived")
        self.received += 1
        self.progressed()


class Watching(Patience):
    """A WatchBatch call: what to ask for next, what is news, when it is over."""

    def __init__(self, batch: str, timeout: float | None, reconnect_timeout: float) -> None:
        super().__init__(timeout, reconnect_timeout)
        self._request = batches_pb2.WatchBatchRequest(id=batch)
        self._latest: Batch | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the batch has ended."""
        return self._latest is not None and self._latest.ended is not None

    def next_request(self) -> batches_pb2.WatchBatchRequest:
        """What to send on the next connection: the same request, behind the last message that arrived."""
        return self._request

    def take(self, message: batches_pb2.Batch) -> Batch | None:
        """The batch as it is now, or None where nothing changed since the last message."""
        self.progressed()
        batch = Batch.of(message)
        news = self._latest is None or batch.revision != self._latest.revision
        self._latest = batch
        self._request.after_revision = batch.revision
        return batch if news else None


def only_artwork(request: GenerateRequest, message: studio_pb2.Artwork) -> Artwork:
    """The image that a Draw call brought. Raises UnikatError (DATA_LOSS) if it is not the one that was asked for."""
    if (message.index, message.seed) != (request.first_index, request.seed):
        raise _lost(
            f"image {request.first_index} of seed {request.seed} was asked for, "
            f"but image {message.index} of seed {message.seed} arrived"
        )
    check_signed(request, message.accepted)
    check_compared(request, message)
    return Artwork.of(message, message.accepted.model)


def check_signed(request: GenerateRequest, accepted: studio_pb2.Accepted) -> None:
    """Raises UnikatError (UNIMPLEMENTED) where credentials or a recipe were asked for and the service knows of none."""
    if any(request.HasField(name) and not accepted.HasField(name) for name in ("recipe", "walk")):
        text = "the service is of a release that draws seeds only: ask for no recipe, or have it updated"
        raise error_of(Status(code=Code.UNIMPLEMENTED, message=text))
    if request.credentials != accepted.credentials:
        text = "the service is of a release that signs nothing: ask for no credentials, or have it updated"
        raise error_of(Status(code=Code.UNIMPLEMENTED, message=text))


def check_compared(request: GenerateRequest, artwork: studio_pb2.Artwork) -> None:
    """Raises UnikatError (UNIMPLEMENTED) where the service passed over what was asked for: it knows no such thing."""
    found = artwork.originality
    is_compared = request.originality != ORIGINALITY_MODE_ENFORCE or found.HasField("distance")
    if not is_compared or found.attempt < request.attempt:
        text = "the service is of a release that knows no originality and no attempts: ask for none, or have it updated"
        raise error_of(Status(code=Code.UNIMPLEMENTED, message=text))


def ended_early() -> UnikatError:
    """A stream that ended well, but not with its last message, as behind a proxy that restarts."""
    return error_of(Status(code=Code.UNAVAILABLE, message="the service ended the stream before its end"))


def cancelled() -> UnikatError:
    """The call was cancelled by its caller."""
    return error_of(Status(code=Code.CANCELLED, message="the call was cancelled"))


def _lost(message: str) -> UnikatError:
    return error_of(Status(code=Code.DATA_LOSS, message=message))
