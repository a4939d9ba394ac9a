"""The result stream of a job: exactly once, by explicit entry ids.

Image `i` is the entry `<i+1>-0`, the end of a complete job is `<count+1>-0`, and the end of a failed or cancelled job
takes the largest id there is. Redis refuses an id that is not larger than the last, so a job that runs twice (a
retry, a worker that wakes up after it was given up) cannot publish an image twice or out of order, and nothing can be
published behind an end. An image is a pure function of its request, so it does not matter which run published it.

An entry has one field: `RESPONSE`, a serialized `GenerateResponse`, which the service passes on as it is, and which is
an image or a refusal; or
`STATUS`, a serialized `google.rpc.Status`, with which the stream ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RESPONSE: Final = b"r"
STATUS: Final = b"s"

REFUSED: Final = 4 << 3 | 2  # first byte of a GenerateResponse with `refused`; publish.lua knows it, too

END_ID: Final = "18446744073709551615-18446744073709551615"


def is_refusal(response: bytes) -> bool:
    """Whether a serialized GenerateResponse stands in place of an image that is not delivered."""
    return response[:1] == bytes([REFUSED])


def stream_key(job_id: str) -> str:
    """Key of a job's result stream. It expires some time after the last entry."""
    return f"unikat:stream:{job_id}"


@dataclass(frozen=True)
class Progress:
    """How far a stream has come: `published` images, and whether it has ended."""

    published: int
    ended: bool

    @classmethod
    def of(cls, last_id: bytes | str | None, count: int) -> Progress:
        """From the id of the last entry (None: there is none) of a job of `count` images."""
        if last_id is None:
            return cls(0, False)
        number = int((last_id.decode() if isinstance(last_id, bytes) else last_id).partition("-")[0])
        return cls(min(number, count), number > count)
