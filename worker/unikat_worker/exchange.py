"""One round trip to Redis: commands in a pipeline, each with what is to be done with its reply."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from redis import Redis
from redis.client import Pipeline

Handler: TypeAlias = Callable[[Any], None]
Command: TypeAlias = tuple[str | bytes | int, ...]


class Exchange:
    """Collects commands; `execute` sends them and hands the replies out.

    As a whole it is no transaction: commands are ordered so that every beginning of the list leaves a state from
    which the rest can be done again. Where one must not be done without those before it, they are added `together`.
    """

    def __init__(self, redis: Redis) -> None:
        self.pipeline: Pipeline = redis.pipeline(transaction=False)
        self._handlers: dict[int, Handler] = {}

    def __len__(self) -> int:
        return len(self.pipeline)

    def on_reply(self, handler: Handler) -> None:
        """`handler` gets the reply of the command that was added last: its value, or the error as a value."""
        self._handlers[len(self.pipeline) - 1] = handler

    def together(self, commands: Sequence[tuple[Command, Handler]]) -> None:
        """Add commands of which all are done or none, each with what is to be done with its reply.

        Redis, when it is full, refuses one command and takes the next, smaller one; here it then refuses all, and
        `execute` raises the refusal.
        """
        self.pipeline.execute_command("MULTI")
        for command, _ in commands:
            self.pipeline.execute_command(*command)
        self.pipeline.execute_command("EXEC")

        def take_in(replies: Any) -> None:  # noqa: ANN401  (a list of replies, or an error)
            if isinstance(replies, Exception):
                return  # what was refused has a reply, and so an error, of its own
            for (_, handler), reply in zip(commands, replies, strict=True):
                handler(reply)

        self.on_reply(take_in)

    def execute(self) -> None:
        """Send; then call the handlers in order, all of them: what a later reply says must not be lost.

        Raises the first error of a handler or of a reply that has none, after all handlers, and ConnectionError.
        """
        if not len(self.pipeline):
            return
        errors: list[Exception] = []
        for position, reply in enumerate(self.pipeline.execute(raise_on_error=False)):
            if position in self._handlers:
                try:
                    self._handlers[position](reply)
                except Exception as error:
                    errors.append(error)
            elif isinstance(reply, Exception):
                errors.append(reply)
        if errors:
            raise errors[0]
