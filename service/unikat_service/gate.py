"""Every call of every method goes through here: who calls, and may that caller do it?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from inspect import isasyncgenfunction
from typing import Any, NoReturn

from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from redis.exceptions import RedisError

from unikat.call_records import ANONYMOUS, CERTIFICATE, TOKEN, current_record
from unikat.conditions import FieldError
from unikat.errors import Reason, UnikatError, make_status
from unikat.interceptor import KINDS, Behaviour, Context, Handler, MethodInterceptor
from unikat.statuses import end, invalid
from unikat_service import audit
from unikat_service.access import OPEN, SCOPES
from unikat_service.callers import UNKNOWN, Caller, Callers, Refused, be
from unikat_service.errors import store_unavailable


class Gate(MethodInterceptor):
    """Lets a call through to its method with `callers.current` set, or ends it. Methods need not ask for it."""

    def __init__(self, callers: Callers) -> None:
        super().__init__()
        self._callers = callers

    def around(self, method: str, handler: Handler) -> Handler:
        """The handler behind the questions of this class."""
        kind, new = KINDS[bool(handler.request_streaming), bool(handler.response_streaming)]
        behaviour: Behaviour = getattr(handler, kind)
        if handler.request_deserializer is not None:  # of health and reflection; ours parse their bytes themselves
            reading = _of_stream if handler.request_streaming else _of_message
            behaviour = reading(behaviour, handler.request_deserializer)
        guarded = self._generator(method, behaviour) if isasyncgenfunction(behaviour) else self._call(method, behaviour)
        return new(guarded, None, handler.response_serializer)

    def _call(self, method: str, behaviour: Behaviour) -> Behaviour:
        async def guarded(request: Any, context: Context) -> object:  # noqa: ANN401  # of any method
            caller = await self._admitted(method, context)
            if caller is None or not caller.token:
                return await behaviour(request, context)
            with self._callers.tokens.holding(caller.token) as held:
                try:
                    return await behaviour(request, context)
                except asyncio.CancelledError:
                    if not held.is_over:
                        raise
                    held.task.uncancel()
            return await self._refuse(context, Refused(caller.name, f"token {caller.token} has ended"), method)

        return guarded

    def _generator(self, method: str, behaviour: Behaviour) -> Behaviour:
        async def guarded(requests: Any, context: Context) -> AsyncIterator[object]:  # noqa: ANN401
            await self._admitted(method, context)
            async for response in behaviour(requests, context):
                yield response

        return guarded

    async def _admitted(self, method: str, context: Context) -> Caller | None:
        """The caller; None where anybody may call. Ends the call, and raises AbortError, for one that may not."""
        scopes = SCOPES.get(method)
        if scopes is OPEN:
            return None
        try:
            caller = await self._callers.identify(context)
        except UnikatError as error:
            return await self._refuse(context, error, method)
        except RedisError as error:
            return await self._refuse(context, store_unavailable(error), method)
        audit.origin.set(audit.Origin(caller.name, context.peer(), method))
        be(caller)
        record = current_record()
        record.caller = caller.name
        record.caller_class = TOKEN if caller.token else CERTIFICATE if caller.is_known else ANONYMOUS
        if scopes is None or not scopes & caller.scopes:
            wanted = " or ".join(sorted(scopes or ("none that there is",)))
            audit.refused(f"needs scope {wanted}")
            text = f'"{caller.name}" may not call {method}: it needs the scope {wanted}'
            await end(context, make_status(Code.PERMISSION_DENIED, text, Reason.SCOPE))
        return caller

    async def _refuse(self, context: Context, error: UnikatError, method: str) -> NoReturn:
        who, why = (error.who, error.why) if isinstance(error, Refused) else (UNKNOWN, str(error))
        audit.refused(why, audit.Origin(who, context.peer(), method))
        await end(context, error.status)


# gRPC ends a call whose request is no message with UNKNOWN, and a traceback in the log.


def _of_message(behaviour: Behaviour, read: Callable[[bytes], Any]) -> Behaviour:
    async def parsed(request: bytes, context: Context) -> object:
        return await behaviour(await _read(read, request, context), context)

    return parsed


def _of_stream(behaviour: Behaviour, read: Callable[[bytes], Any]) -> Behaviour:
    async def parsed(requests: AsyncIterator[bytes], context: Context) -> AsyncIterator[object]:
        messages = (await _read(read, request, context) async for request in requests)
        async for response in behaviour(messages, context):
            yield response

    return parsed


async def _read(read: Callable[[bytes], Any], request: bytes, context: Context) -> object:
    try:
        return read(request)
    except DecodeError as error:
        return await end(context, invalid([FieldError("request", f"is no such message: {error}")]).status)
