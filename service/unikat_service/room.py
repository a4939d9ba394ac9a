"""How many calls a service serves at a time; health checks and reflection have room of their own."""

from __future__ import annotations

from typing import Any, Final

from google.rpc.code_pb2 import Code

from unikat.errors import Reason, retry_later
from unikat.interceptor import KINDS, OURS, Behaviour, Context, Handler, MethodInterceptor
from unikat.statuses import end
from unikat_service import audit
from unikat_service.callers import UNKNOWN

RETRY_S: Final = 1.0
# For health checks, their watches and reflection: beyond it, gRPC itself refuses.
OTHERS: Final = 1000


class Room(MethodInterceptor):
    """Counts the calls of our own services, until their last byte is sent, and refuses more than `most`."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most
        self._calls = 0

    def around(self, method: str, handler: Handler) -> Handler:
        """The handler, counted if it is one of ours: they all take one message."""
        if not method.startswith(OURS):
            return handler
        kind, new = KINDS[False, bool(handler.response_streaming)]
        behaviour: Behaviour = getattr(handler, kind)

        async def counted(request: Any, context: Context) -> object:  # noqa: ANN401  # of any method
            if self._calls >= self._most:
                await self._refuse(context, method)
            self._calls += 1
            context.add_done_callback(self._done)  # type: ignore[arg-type]  # the stubs' protocol names its argument
            return await behaviour(request, context)

        return new(counted, handler.request_deserializer, handler.response_serializer)

    def _done(self, context: Context) -> None:
        self._calls -= 1

    async def _refuse(self, context: Context, method: str) -> None:
        text = f"this service serves {self._calls} calls already (its --max-calls); come back in {RETRY_S:g} s"
        audit.refused(text, audit.Origin(UNKNOWN, context.peer(), method))
        facts = {"setting": "--max-calls", "limit": str(self._most)}
        await end(context, retry_later(Code.RESOURCE_EXHAUSTED, text, Reason.TOO_MANY_CALLS, RETRY_S, **facts))
