"""Interceptors that put something around the handlers of methods: once a method, not once a call."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import grpc

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Behaviour: TypeAlias = "Callable[[Any, Context], Any]"

if TYPE_CHECKING:
    Interceptor = grpc.aio.ServerInterceptor[Any, Any]  # generic in its stubs only
else:
    Interceptor = grpc.aio.ServerInterceptor

OURS: Final = ("/unikat.", "/inference.")  # how our own methods begin, all of which take one message

# By whether requests and responses are streams.
KINDS: Final[dict[tuple[bool, bool], tuple[str, Callable[..., Handler]]]] = {
    (False, False): ("unary_unary", grpc.unary_unary_rpc_method_handler),
    (False, True): ("unary_stream", grpc.unary_stream_rpc_method_handler),
    (True, False): ("stream_unary", grpc.stream_unary_rpc_method_handler),
    (True, True): ("stream_stream", grpc.stream_stream_rpc_method_handler),
}


class MethodInterceptor(Interceptor):
    """Keeps what `around` makes of the handler of each method that there is."""

    def __init__(self) -> None:
        self._made: dict[str, Handler] = {}

    @abstractmethod  # gRPC's class is one of `abc`
    def around(self, method: str, handler: Handler) -> Handler:
        """What serves "/package.Service/Method" instead of its handler."""

    async def intercept_service(  # type: ignore[override]  # no handler is UNIMPLEMENTED, which the stubs leave out
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """The handler of a call."""
        made = self._made.get(details.method)
        if made is None:
            handler = await continuation(details)
            if handler is None:
                return None
            made = self._made[details.method] = self.around(details.method, handler)
        return made
