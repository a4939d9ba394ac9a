"""How many calls a service serves at a time; health checks and reflection have room of their own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc
from google.rpc.code_pb2 import Code
from grpc_status import rpc_status

from unikat.errors import Reason, retry_later

RETRY_S: Final = 1.0
# For health checks, their watches and reflection: beyond it, gRPC itself refuses.
OTHERS: Final = 1000

_OURS: Final = "/unikat."

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]  # generic in its stubs only
else:
    Interceptor = grpc.aio.ServerInterceptor


class Room(Interceptor):
    """Counts the calls of our own services, until their last byte is sent, and refuses more than `most`."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._calls = 0
        self._counted: dict[str, Handler] = {}  # of methods that there are

    async def intercept_service(  # type: ignore[override]  # no handler is UNIMPLEMENTED, which the stubs leave out
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of a call."""
        counted = self._counted.get(details.method)
        if counted is not None:
            return counted
        handler = await continuation(details)
        if handler is None or not details.method.startswith(_OURS):
            return handler
        self._counted[details.method] = self._count(handler)
        return self._counted[details.method]

    def _count(self, handler: Handler) -> Handler:
        kind = "unary_stream" if handler.response_streaming else "unary_unary"
        behaviour: Callable[[Any, Context], Awaitable[Any]] = getattr(handler, kind)
        new: Callable[..., Handler] = getattr(grpc, f"{kind}_rpc_method_handler")

        async def counted(request: Any, context: Context) -> object:  # noqa: ANN401  # of any method
            if self._calls >= self._most:
                await self._refuse(context)
            self._calls += 1
            context.add_done_callback(self._done)  # type: ignore[arg-type]  # the stubs' protocol names its argument
            return await behaviour(request, context)

        return new(counted, handler.request_deserializer, handler.response_serializer)

    def _done(self, context: Context) -> None:
        self._calls -= 1

    async def _refuse(self, context: Context) -> None:
        text = f"this service serves {self._calls} calls already (its --max-calls); come back in {RETRY_S:g} s"
        facts = {"setting": "--max-calls", "limit": str(self._most)}
        final = rpc_status.to_status(
            retry_later(Code.RESOURCE_EXHAUSTED, text, Reason.TOO_MANY_CALLS, RETRY_S, **facts)
        )
        await context.abort(final.code, final.details or "", final.trailing_metadata or ())
