"""One connection to Redis for all coroutines of an event loop.

Commands are written as they come, all of a turn of the loop at once, and replies are read in their order, so that a
caller that is cancelled leaves nothing behind: its reply is read and dropped.
"""

# redis-py annotates only a part of what it offers.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import asyncio
import builtins
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, NoScriptError, RedisError, ResponseError, TimeoutError

from unikat.queue.clients import REPLY_S, async_pool
from unikat.queue.scripts import Command, Script
from unikat.queue.unready import NotPrimary

Reply: TypeAlias = Any  # what hiredis parses: bytes, int, None or a list of replies

MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 1.0  # between tries to connect


class Connection:
    """Connects with the first command, and again after a failure. Used by one event loop."""

    def __init__(self, url: str, name: str, timeout: float = REPLY_S, moved: Callable[[], object] = bool) -> None:
        """`name` is shown by CLIENT LIST. `timeout`: seconds for which a reply is waited for.

        `moved` is called where the server says that another one takes the writes now. Raises ValueError.
        """
        self._pool = async_pool(url, name)
        self._timeout = timeout
        self._moved = moved
        self._link: AbstractConnection | None = None
        self._unsent: list[tuple[bytes, asyncio.Future[Reply]]] = []
        self._in_flight: deque[asyncio.Future[Reply]] = deque()
        self._has_unsent, self._has_in_flight = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._pause = 0.0
        self._refused: tuple[float, str] = (0.0, "")  # until when no connection is tried, and why
        self.round_trips = self.sent_bytes = 0  # writes of commands, whose replies are waited for

    async def execute(self, *command: bytes | str | int | float) -> Reply:
        """The reply to a command. Raises RedisError."""
        (reply,) = await self.execute_many([command])
        if isinstance(reply, ResponseError):
            raise reply
        return reply

    async def execute_many(self, commands: Sequence[Command]) -> list[Reply]:
        """The replies to commands, ResponseErrors among them. Raises RedisError where the connection fails.

        After a failure all are sent once more, on a new connection: Redis may have been restarted since this one was
        last used. Not more: while Redis is away, callers hear it at once.
        """
        try:
            return await self._send(commands)
        except (ConnectionError, TimeoutError):
            return await self._send(commands)

    async def run(self, script: Script, *arguments: bytes | str | int | float) -> Reply:
        """The reply of a script, which Redis is taught where it does not know it. Raises RedisError."""
        try:
            return await self.execute(*script.command(*arguments))
        except NoScriptError:
            await self.execute(*script.load)
            return await self.execute(*script.command(*arguments))

    async def reconnect(self) -> None:
        """Give the connection up; what is under way is sent once more, on a new one."""
        if self._link is not None:
            await self._fail(self._link, ConnectionError("the connection is given up for another"))

    async def close(self) -> None:
        """Ends; what is under way fails."""
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        self._tasks = []
        await self._fail(self._link, ConnectionError("the connection is closed"))

    async def _send(self, commands: Sequence[Command]) -> list[Reply]:
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        loop = asyncio.get_running_loop()
        futures: list[asyncio.Future[Reply]] = [loop.create_future() for _ in commands]
        packed = [hiredis.pack_command(command) for command in commands]  # type: ignore[arg-type]  # tuples are invariant
        self._unsent.extend(zip(packed, futures, strict=True))
        self._has_unsent.set()
        try:
            return [await future for future in futures]
        except RedisError:  # of the connection, and the other futures have the same
            for future in futures:
                if future.done() and not future.cancelled():
                    future.exception()  # nobody else asks for it
            raise

    async def _write(self) -> None:
        while True:
            await self._has_unsent.wait()
            self._has_unsent.clear()
            link = self._link
            try:
                link = self._link = link or await self._connected()
                sending, self._unsent = self._unsent, []
                self._in_flight.extend(future for _, future in sending)
                self._has_in_flight.set()
                packed = [each for each, _ in sending]
                self.round_trips += 1
                self.sent_bytes += sum(map(len, packed))
                await link.send_packed_command(packed, check_health=False)
            except (RedisError, OSError) as error:
                await self._fail(link, error)

    async def _connected(self) -> AbstractConnection:
        loop = asyncio.get_running_loop()
        until, why = self._refused
        if loop.time() < until:
            raise ConnectionError(why)
        link: AbstractConnection = self._pool.make_connection()
        try:
            async with asyncio.timeout(REPLY_S):  # redis-py's own is for reaching the server, not for its first replies
                await link.connect()
        except (RedisError, OSError) as error:
            with suppress(RedisError, OSError):
                await link.disconnect(nowait=True)
            self._pause = min(max(self._pause * 2, MIN_PAUSE_S), MAX_PAUSE_S)
            self._refused = loop.time() + self._pause, str(error) or f"nothing came back in {REPLY_S:g} s"
            raise
        self._pause = 0.0
        return link

    async def _read(self) -> None:
        while True:
            await self._has_in_flight.wait()
            link = self._link
            try:
                while self._in_flight and link is not None:
                    async with asyncio.timeout(self._timeout):
                        reply = await _reply(link)
                    if self._link is link:
                        _settle(self._in_flight.popleft(), reply)
                self._has_in_flight.clear()
            except (RedisError, OSError, builtins.TimeoutError) as error:
                await self._fail(link, error)

    async def _fail(self, link: AbstractConnection | None, error: Exception) -> None:
        """Gives up a connection. What was sent fails, and where there was none, what waits to be sent."""
        if link is not self._link:  # another has taken its place already
            return
        failed, self._in_flight = self._in_flight, deque()
        if link is None:
            failed.extend(future for _, future in self._unsent)
            self._unsent = []
        self._link = None
        self._has_in_flight.clear()
        if not isinstance(error, RedisError):
            error = ConnectionError(f"{type(error).__name__} {error}".strip())
        for future in failed:
            if not future.done():
                future.set_exception(error)
        if link is not None:
            with suppress(RedisError, OSError):
                await link.disconnect(nowait=True)
        if isinstance(error, NotPrimary):
            self._moved()


async def _reply(link: AbstractConnection) -> Reply:
    try:
        return await link.read_response()
    except ResponseError as error:
        return error


def _settle(future: asyncio.Future[Reply], reply: Reply) -> None:
    if not future.done():
        future.set_result(reply)
