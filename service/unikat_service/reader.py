"""The one reader of all live result streams.

One task reads; calls wait in memory. A blocking read is never cancelled (redis-py could then hand a connection with a
reply in it to somebody else): to watch one more stream, the reader is woken by an entry in a stream of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections import deque
from dataclasses import dataclass
from typing import Final, cast

from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from redis.asyncio import Redis
from redis.exceptions import RedisError
from redis.typing import KeyT, StreamIdT

from unikat.errors import Reason, error_of, make_status
from unikat.queue.stream import RESPONSE, STATUS, stream_key

log = logging.getLogger(__name__)

# What one call may hold in memory unsent; beyond it, its stream is not read until half is gone.
MAX_IMAGES: Final = 64
MAX_BYTES: Final = 4 * 2**20
# What one read may bring, of all streams together: an estimate, from the entries that came before.
MAX_READ_BYTES: Final = 8 * 2**20
MAX_READ_ENTRIES: Final = 32  # of one stream

BLOCK_MS: Final = 2000
WAKE_TTL_S: Final = 60
MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 1.0


# What XREAD answers to a client that neither decodes nor asks for legacy responses.
RawEntries = list[tuple[bytes, dict[bytes, bytes]]]
Reply = dict[bytes, RawEntries]


@dataclass(frozen=True)
class Entry:
    """An entry of a result stream: a serialized `GenerateResponse`, or the status with which the stream ends."""

    number: int
    response: bytes | None
    status: Status | None


class Cursor:
    """Where one call is in its job's stream, and what it has not sent yet."""

    def __init__(self, reader: StreamReader, job_id: str, position: int) -> None:
        self.job_id = job_id
        self.key = stream_key(job_id).encode()
        self.position = position
        self.heard = time.monotonic()  # when the last entry came
        self.suspicions = 0  # how often in a row the keeper found no sign of life
        self._reader = reader
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._paused = False
        self._failure: Status | None = None
        self._news = asyncio.Event()

    @property
    def wants_more(self) -> bool:
        """Whether the reader should read on for this call."""
        return not self._paused

    async def next(self) -> Entry:
        """The next entry. Raises UnikatError if the stream was given up (`fail`)."""
        while not self._entries:
            if self._failure is not None:
                raise error_of(self._failure)
            self._news.clear()
            await self._news.wait()
        entry = self._entries.popleft()
        self._bytes -= len(entry.response or b"")
        if self._paused and len(self._entries) <= MAX_IMAGES // 2 and self._bytes <= MAX_BYTES // 2:
            self._paused = False
            self._reader.wake()
        return entry

    def push(self, entry: Entry) -> None:
        """Take an entry from the reader."""
        self.position = entry.number
        self.heard = time.monotonic()
        self.suspicions = 0
        self._entries.append(entry)
        self._bytes += len(entry.response or b"")
        self._paused = len(self._entries) >= MAX_IMAGES or self._bytes >= MAX_BYTES
        self._news.set()

    def fail(self, status: Status) -> None:
        """End the call with a status, once it has sent what it holds."""
        self._failure = status
        self._paused = True
        self._news.set()


class StreamReader:
    """Reads the streams of all cursors with one blocking command on one connection."""

    def __init__(self, blocking: Redis, other: Redis) -> None:
        """`blocking` is used by the reader alone, `other` for wake-ups."""
        self._blocking = blocking
        self._other = other
        self._cursors: dict[bytes, list[Cursor]] = {}
        self._wake_key = f"unikat:wake:{uuid.uuid4().hex}".encode()
        self._wake_position = b"0-0"
        self._is_blocked = False
        self._entry_bytes = 4096.0  # moving average
        self._wake_up: asyncio.Task[None] | None = None  # sent since the last read began
        self._stopped = asyncio.Event()

    @property
    def cursors(self) -> list[Cursor]:
        """All open cursors."""
        return [cursor for cursors in self._cursors.values() for cursor in cursors]

    def open(self, job_id: str, position: int) -> Cursor:
        """Begin to read a job's stream behind entry number `position`."""
        cursor = Cursor(self, job_id, position)
        self._cursors.setdefault(cursor.key, []).append(cursor)
        self.wake()
        return cursor

    def close(self, cursor: Cursor) -> None:
        """Forget a cursor; what it holds is dropped."""
        cursors = self._cursors[cursor.key]
        cursors.remove(cursor)
        if not cursors:
            del self._cursors[cursor.key]

    def wake(self) -> None:
        """Let a blocked read return, so that the next one watches what is wanted now."""
        if self._is_blocked and self._wake_up is None:
            self._wake_up = asyncio.create_task(self._send_wake_up())

    async def run(self) -> None:
        """Read until `stop`; errors of Redis are waited out, for as long as they last."""
        pause = MIN_PAUSE_S
        while not self._stopped.is_set():
            try:
                await self._read()
                pause = MIN_PAUSE_S
            except Exception as error:  # without the reader no call gets anything, so whatever it is, it goes on
                self._is_blocked = False
                known = isinstance(error, (RedisError, OSError))
                log.warning("Reading results: %s; again in %.2f s", error, pause, exc_info=not known)
                await self._sleep(pause)
                pause = min(pause * 2, MAX_PAUSE_S)

    def stop(self) -> None:
        """Let `run` return."""
        self._stopped.set()
        self.wake()

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return

    async def _send_wake_up(self) -> None:
        try:
            async with self._other.pipeline(transaction=False) as pipe:
                pipe.xadd(self._wake_key, {b"w": b""}, maxlen=1, approximate=False)
                pipe.expire(self._wake_key, WAKE_TTL_S)
                await pipe.execute()
        except (RedisError, OSError) as error:
            log.warning("Waking the reader: %s", error)  # it looks again after BLOCK_MS anyway

    async def _read(self) -> None:
        readers = self._readers()
        streams: dict[KeyT, StreamIdT] = {
            key: b"%d-0" % min(c.position for c in cursors) for key, cursors in readers.items()
        }
        streams[self._wake_key] = self._wake_position
        self._wake_up = None
        self._is_blocked = True
        count = max(1, min(MAX_READ_ENTRIES, int(MAX_READ_BYTES / (len(streams) * self._entry_bytes))))
        reply = cast(Reply, await self._blocking.xread(streams, count=count, block=BLOCK_MS))
        self._is_blocked = False
        for key, entries in reply.items():
            if key == self._wake_key:
                self._wake_position = entries[-1][0]
            else:
                size = max(len(fields.get(RESPONSE, b"")) for _, fields in entries)
                self._entry_bytes += (size - self._entry_bytes) / 8
                _deliver(entries, readers[key])

    def _readers(self) -> dict[bytes, list[Cursor]]:
        """By stream, the cursors that want more."""
        wanting = ((key, [c for c in cursors if c.wants_more]) for key, cursors in self._cursors.items())
        return {key: cursors for key, cursors in wanting if cursors}


def _deliver(entries: RawEntries, cursors: list[Cursor]) -> None:
    """Entries to the cursors for which they were read: a cursor that was opened later would miss what came before."""
    for entry_id, fields in entries:
        entry = _entry(int(entry_id.partition(b"-")[0]), fields)
        for cursor in cursors:
            # Several calls can read one stream, each from a place of its own; nobody gets an entry twice.
            if cursor.position < entry.number and cursor.wants_more:
                cursor.push(entry)


def _entry(number: int, fields: dict[bytes, bytes]) -> Entry:
    if RESPONSE in fields:
        return Entry(number, fields[RESPONSE], None)
    try:
        return Entry(number, None, Status.FromString(fields[STATUS]))
    except (KeyError, DecodeError):  # one broken stream must not end the reader, and with it all calls
        text = "the job's result stream has an entry that is neither a response nor a status"
        return Entry(number, None, make_status(Code.INTERNAL, text, Reason.JOB_FAILED))
