"""One round trip to Redis: commands in a pipeline, each with what is to be done with its reply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from redis import Redis
from redis.client import Pipeline

Handler: TypeAlias = Callable[[Any], None]


class Exchange:
    """Collects commands; `execute` sends them and hands the replies out.

    There is no MULTI: commands are ordered so that every beginning of the list leaves a state from which the rest can
    be done again.
    """

    def __init__(self, redis: Redis) -> None:
        self.pipeline: Pipeline = redis.pipeline(transaction=False)
        self._handlers: dict[int, Handler] = {}

    def __len__(self) -> int:
        return len(self.pipeline)

    def on_reply(self, handler: Handler) -> None:
        """`handler` gets the reply of the command that was added last: its value, or the error as a value."""
        self._handlers[len(self.pipeline) - 1] = handler

    def execute(self) -> None:
        """Send; then call the handlers in order.

        Raises the first error reply that has no handler, after the handlers of the others, and ConnectionError.
        """
        if not len(self.pipeline):
            return
        replies = self.pipeline.execute(raise_on_error=False)
        for position, reply in enumerate(replies):
            if position in self._handlers:
                self._handlers[position](reply)
        for position, reply in enumerate(replies):
            if isinstance(reply, Exception) and position not in self._handlers:
                raise reply
