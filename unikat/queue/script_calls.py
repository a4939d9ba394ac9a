"""Calls of one script, sent together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from unikat.queue.connection import Connection, Reply
from unikat.queue.scripts import Argument, Script

SLICE: Final = 64  # jobs in one call of a script: 2 ms of Redis' time, in which it serves nobody else
TURNS: Final = 4  # of the event loop, in which calls come that are sent together

Abandoned: TypeAlias = "Callable[[], object] | None"


class ScriptCalls:
    """Calls of one script. While one is under way, what comes meanwhile waits, and is sent together."""

    def __init__(self, connection: Connection, run: Script, head: Callable[[], list[Argument]]) -> None:
        self._connection, self._script, self._head = connection, run, head
        self._waiting: list[tuple[list[Argument], asyncio.Future[Reply], Abandoned]] = []
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    def add(self, arguments: list[Argument], patience: float, abandoned: Abandoned = None) -> asyncio.Future[Reply]:
        """Send with what comes within `patience` seconds, or within a few turns of the loop.

        `abandoned` is called instead of the future that was cancelled meanwhile: it is sent in any case.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        self._waiting.append((arguments, future, abandoned))
        if self.task is None:
            self.task = asyncio.create_task(self._send())
        if not patience or len(self._waiting) >= SLICE:
            self._due.set()
        elif self._timer is None:
            self._timer = loop.call_later(patience, self._due.set)
        return future

    def hurry(self) -> None:
        """What waits is not to wait longer."""
        self._due.set()

    async def _send(self) -> None:
        while self._waiting:
            await self._due.wait()
            for _ in range(TURNS):  # an idle loop is through at once, and a busy one has more calls to send
                await asyncio.sleep(0)
            calls, self._waiting = self._waiting[:SLICE], self._waiting[SLICE:]
            if not self._waiting:
                self._rest()
            try:
                arguments = [each for call in calls for each in call[0]]
                replies = await self._connection.run(self._script, *self._head(), *arguments)
            except Exception as error:  # whatever it is: these calls fail, and others go on
                for _, future, abandoned in calls:
                    _settle(future, abandoned, error)
                continue
            for (_, future, abandoned), reply in zip(calls, replies, strict=True):
                _settle(future, abandoned, reply)
        self.task = None

    def _rest(self) -> None:
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _settle(future: asyncio.Future[Reply], abandoned: Abandoned, reply: Reply) -> None:
    if not future.done():
        future.set_exception(reply) if isinstance(reply, Exception) else future.set_result(reply)
    elif abandoned is not None:
        abandoned()
