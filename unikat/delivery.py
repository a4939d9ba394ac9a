"""A Generate call over as many connections as it takes: what to ask for next, and whether everything arrived once.

No I/O happens here, so the synchronous and the asynchronous client are the same but for waiting.
"""

from __future__ import annotations

import random
import time
from typing import Final

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.artwork import Accepted, Artwork, Finished
from unikat.errors import Unavailable, UnikatError, error_of
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse

FIRST_PAUSE: Final = 0.1  # seconds
LONGEST_PAUSE: Final = 2.0  # seconds


class Delivery:
    """State of one call. `timeout` is for all of it, `reconnect_timeout` for being without progress, in seconds."""

    def __init__(self, request: GenerateRequest, timeout: float | None, reconnect_timeout: float) -> None:
        self.accepted: Accepted | None = None
        self.finished: Finished | None = None
        self.received = 0
        self._request = request
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._reconnect_timeout = reconnect_timeout
        self._failures = 0
        self._give_up_at: float | None = None

    def next_request(self) -> GenerateRequest:
        """What to send on the next connection: the same request, behind the last image that arrived."""
        if self.received:
            self._request.after_index = self.received - 1
        return self._request

    @property
    def remaining(self) -> float | None:
        """Seconds to the deadline, for the next connection."""
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def take(self, response: GenerateResponse) -> Artwork | None:
        """The image in a message, if it is one. Raises UnikatError (DATA_LOSS) if it is not the one that is due."""
        match response.WhichOneof("event"):
            case "accepted":
                self._take_accepted(Accepted.of(response.accepted))
            case "artwork":
                return self._take_artwork(response)
            case "finished":
                if self.accepted is None or self.received != self.accepted.count:
                    raise _lost(f"the stream ended after image {self.received - 1}, before the last one")
                self.finished = Finished.of(response.finished)
        return None

    def _take_accepted(self, accepted: Accepted) -> None:
        before = self.accepted
        if before is not None and (before.model_digest, before.seed) != (accepted.model_digest, accepted.seed):
            raise _lost(
                f"image {self.received} would come from {accepted.model} with seed {accepted.seed}, the ones before "
                f"came from {before.model} with seed {before.seed}; pin the model's version"
            )
        self.accepted = accepted
        if before is None:
            self._progressed()

    def _take_artwork(self, response: GenerateResponse) -> Artwork:
        index = response.artwork.index
        if index != self.received:
            raise _lost(f"image {self.received} is due, but image {index} arrived")
        self.received += 1
        self._progressed()
        return Artwork.of(response.artwork)

    def _progressed(self) -> None:
        self._failures = 0
        self._give_up_at = None

    def pause_after(self, error: UnikatError) -> float:
        """Seconds to wait before the next connection, or `error` raised: only UNAVAILABLE is worth another try."""
        now = time.monotonic()
        if self._give_up_at is None:
            self._give_up_at = now + self._reconnect_timeout
        # Full jitter would allow pauses of nothing; half of it keeps many clients apart as well.
        pause: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2**self._failures) * random.uniform(0.5, 1.0)
        pause = max(pause, (error.retry_after or 0.0) * random.uniform(1.0, 1.1))
        ends = [self._give_up_at] + ([] if self._deadline is None else [self._deadline])
        if not isinstance(error, Unavailable) or now + pause > min(ends):
            raise error
        self._failures += 1
        return pause


def ended_early() -> UnikatError:
    """A stream that ended well, but not with its last message, as behind a proxy that restarts."""
    return error_of(Status(code=Code.UNAVAILABLE, message="the service ended the stream before its end"))


def cancelled() -> UnikatError:
    """The call was cancelled by its caller."""
    return error_of(Status(code=Code.CANCELLED, message="the call was cancelled"))


def _lost(message: str) -> UnikatError:
    return error_of(Status(code=Code.DATA_LOSS, message=message))
