"""What all calls of a process share: its connections to Redis, and the tasks that read from it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Final

from redis import Redis
from redis.exceptions import RedisError

from unikat.queue.calls import DrawCalls
from unikat.queue.clients import REPLY_S
from unikat.queue.connection import Connection
from unikat.queue.inbox import BLOCK_MS, Inbox
from unikat.queue.job import Limits
from unikat_service.budgets import quotas
from unikat_service.callers import is_told_apart
from unikat_service.catalogue import Catalogue
from unikat_service.delivery import Delivery
from unikat_service.errors import shutting_down
from unikat_service.settings import Settings
from unikat_service.signing import Signing
from unikat_service.tokens import Tokens

CLIENT_NAME: Final = "unikat-service"


class ServiceContext:
    """One for a process; used by one event loop."""

    def __init__(self, settings: Settings, threaded: Redis) -> None:
        """`threaded`: the client of those who block; it leaves a server that became a replica as well.

        Raises OSError for a key of credentials that cannot be used.
        """
        self.settings = settings
        self.signing = Signing.of(settings)
        self.stopping = False
        self._name = uuid.uuid4().hex
        self._numbers = count()
        self._threaded = threaded
        self._moving: asyncio.Future[list[None]] | None = None
        # What is large does not hold up what is small, and a read that blocks holds up everything.
        timeouts = (REPLY_S, REPLY_S, BLOCK_MS / 1000 + REPLY_S)
        self.connections = [Connection(settings.redis_url, CLIENT_NAME, each, self._on_moved) for each in timeouts]
        commands, reads, blocking = self.connections
        self.commands = commands
        self._inbox = Inbox(self._name, blocking, commands)
        self.catalogue = Catalogue(commands, settings.worker_grace_s)
        limits = Limits(settings.retries, settings.result_ttl_s, settings.failure_ttl_s)
        self.calls = DrawCalls(commands, limits, settings.max_queue, quotas(settings))
        self.tokens = Tokens(commands)
        self.delivery = Delivery(self._inbox, self.calls, reads, self.catalogue, settings.caller_percent / 100)

    def new_lease(self, caller: str) -> str:
        """The name of a call's lease, which no other call has. Where it names a caller, the caller's quotas count."""
        lease = f"{self._name}/{next(self._numbers)}"
        return f"{lease}/{caller}" if is_told_apart(caller) else lease

    async def refresh(self) -> None:
        """Learn who is alive, and whether there is room for new jobs. Raises RedisError."""
        await self.catalogue.refresh()
        self.calls.accepts = self.catalogue.snapshot.memory_percent < self.settings.max_memory_percent

    def stop(self) -> None:
        """End all calls: their callers go on at another service."""
        self.stopping = True
        for subscription in self.delivery.subscriptions:
            subscription.fail(shutting_down())

    def _on_moved(self) -> None:
        """What only reads would go on reading from a server that is a replica now, and perhaps of nobody."""
        self._moving = asyncio.gather(*(connection.reconnect() for connection in self.connections))
        self._threaded.connection_pool.disconnect(inuse_connections=False)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[ServiceContext]:
        """With the tasks that read, until the end of the block."""
        with suppress(RedisError):  # it may be started before Redis
            await self._inbox.beat()
        tasks = [*self.delivery.running(), asyncio.create_task(self.tokens.run())]
        try:
            yield self
        finally:
            await self.calls.drained()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            with suppress(RedisError):
                await self._inbox.end()
            for connection in self.connections:
                await connection.close()
            if self.signing is not None:
                self.signing.close()
