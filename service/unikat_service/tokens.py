"""The tokens that callers show, as this process knows them: at most so old that a revocation counts within a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from redis.exceptions import ResponseError

from unikat.queue.clock import RedisClock
from unikat.queue.connection import Connection
from unikat.queue.tokens import TOKENS_KEY, Token

log = logging.getLogger(__name__)

FRESH_S: Final = 0.4  # a record is believed this long
SWEEP_S: Final = 0.4  # between looks at the tokens of calls that are under way
KEPT: Final = 10_000  # records


@dataclass(slots=True)
class _Known:
    token: Token
    at: float  # of this process' monotonic clock


@dataclass(eq=False, slots=True)
class Held:
    """A call with a token; `is_over`: it was cancelled because the token has ended."""

    task: asyncio.Task[object]
    is_over: bool = False

    def end(self) -> None:
        if not self.is_over:
            self.is_over = True
            self.task.cancel()


class Tokens:
    """Looked up in Redis when they are shown, and again while a call with one is under way."""

    def __init__(self, redis: Connection) -> None:
        self._redis = redis
        self._known: dict[str, _Known] = {}
        self._clock = RedisClock()
        self._exist: tuple[float, bool] = (-FRESH_S, False)
        self._calls: dict[str, set[Held]] = {}

    async def find(self, id: str) -> Token | None:
        """The record of an id. Raises RedisError."""
        known = self._known.get(id)
        if known is not None and time.monotonic() - known.at < FRESH_S:
            return known.token
        (token,) = await self._read([id])
        return token

    async def exist(self) -> bool:
        """Whether a token was ever made. Raises RedisError."""
        at, exist = self._exist
        if time.monotonic() - at >= FRESH_S:
            exist = bool(await self._redis.execute("HLEN", TOKENS_KEY))
            self._exist = time.monotonic(), exist
        return exist

    def state(self, token: Token) -> str:
        """As `Token.state`, by Redis' clock."""
        return token.state(self._clock.now())

    @contextmanager
    def holding(self, id: str) -> Iterator[Held]:
        """While a call with a token is under way: its task is cancelled when the token ends."""
        task = asyncio.current_task()
        assert task is not None, "a call is served by a task"
        held, calls = Held(task), self._calls.setdefault(id, set())
        calls.add(held)
        try:
            yield held
        finally:
            calls.discard(held)
            if not calls and self._calls.get(id) is calls:
                del self._calls[id]

    async def run(self) -> None:
        """End the calls of tokens that are revoked or expire, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_S)
            if not self._calls:
                continue
            ids = list(self._calls)
            try:
                found = await self._read(ids)
            except Exception as error:  # whatever it is: calls go on, and it is asked again
                log.warning("Tokens of calls under way cannot be read: %s", error)
                continue
            for id, token in zip(ids, found, strict=True):
                if token is None or self.state(token) != "valid":
                    for held in self._calls.get(id, ()):
                        held.end()

    async def _read(self, ids: Sequence[str]) -> list[Token | None]:
        asked = time.monotonic()
        replies = await self._redis.execute_many([("TIME",), ("HMGET", TOKENS_KEY, *ids)])
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        (seconds, microseconds), values = replies
        self._clock.set(int(seconds) + int(microseconds) / 1e6)
        found = [_token(id, value) for id, value in zip(ids, values, strict=True)]
        for id, token in zip(ids, found, strict=True):
            self._known.pop(id, None)
            if token is not None:
                self._known[id] = _Known(token, asked)
        while len(self._known) > KEPT:  # the ones that were not asked for the longest
            del self._known[next(iter(self._known))]
        return found


def _token(id: str, value: bytes | None) -> Token | None:
    try:
        return None if value is None else Token.from_json(id, value)
    except ValueError as error:  # somebody else wrote it: it opens nothing
        log.warning("%s", error)
        return None
