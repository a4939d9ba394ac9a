"""The inbox of a service: what was published for its calls, in one stream. A hint: jobs' streams have everything."""

from __future__ import annotations

from typing import Final, NamedTuple

from unikat.queue.connection import Connection
from unikat.queue.keys import inbox_key
from unikat.queue.scripts import script

TTL_S: Final = 25  # without a beat; with it the service's leases end
BEAT_S: Final = 5.0
BLOCK_MS: Final = 2000
MOST: Final = 128  # entries of one read: 2 MB


class News(NamedTuple):
    """Images of a job from entry `number` on; none: something that is to be read from the job's stream."""

    job: bytes
    number: int
    images: list[bytes]


class Inbox:
    """Reads one service's inbox, and keeps it."""

    def __init__(self, service: str, blocking: Connection, other: Connection) -> None:
        """`blocking` is used by `read` alone."""
        self._service = service
        self._blocking = blocking
        self._other = other
        self._position = b"0-0"

    async def read(self) -> list[News]:
        """What is new, after at most BLOCK_MS. Raises RedisError."""
        position = self._position
        reply = await self._blocking.execute(
            "XREAD", "COUNT", MOST, "BLOCK", BLOCK_MS, "STREAMS", inbox_key(self._service), position
        )
        if not reply:
            return []
        entries = reply[0][1]
        if self._position == position:  # it was not reset meanwhile
            self._position = entries[-1][0]
        return [_news(fields) for _, fields in entries]

    async def beat(self) -> None:
        """Make the inbox if it is not there, and keep it for another while. Raises RedisError."""
        last = await self._other.run(script("beat"), self._service, TTL_S, self._position)
        if _order(last) < _order(self._position):  # Redis went back in time, or its clock did
            self._position = b"0-0"

    async def end(self) -> None:
        """Remove it, and with it the leases of the service. Raises RedisError."""
        await self._other.run(script("beat"), self._service, 0, self._position)


def _news(fields: list[bytes]) -> News:
    if len(fields) > 3 and fields[2] == b"n":
        return News(fields[1], int(fields[3]), fields[5::2])
    return News(fields[1], 0, [])


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, number = entry_id.partition(b"-")
    return int(milliseconds), int(number)
