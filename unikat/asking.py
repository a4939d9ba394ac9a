"""Unary calls, sent again where they are lost: what all clients ask by."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import grpc

from unikat.delivery import Patience
from unikat.link import Link

Request = TypeVar("Request")
Response = TypeVar("Response")

# Seconds for which a lost call is sent again that only reads, or can be repeated: who asks for a list is told soon.
ASK_AGAIN: Final = 1.5


class Asker:
    """What has a link, and asks by it."""

    def __init__(self, link: Link, reconnect_timeout: float) -> None:
        self._link = link
        self._reconnect_timeout = reconnect_timeout

    async def _ask(
        self,
        method: grpc.UnaryUnaryMultiCallable[Request, Response],
        request: Request,
        timeout: float | None,
        again: float = 0.0,
        each_try: bool = False,
    ) -> Response:
        return await ask(self._link, method, request, timeout, min(again, self._reconnect_timeout), each_try)


async def ask(
    link: Link,
    method: grpc.UnaryUnaryMultiCallable[Request, Response],
    request: Request,
    timeout: float | None,
    again: float = 0.0,
    each_try: bool = False,
) -> Response:
    """The answer to a call on `link`, which is sent again for `again` seconds where it is lost.

    `timeout` is for all of it, or for each try.
    """
    patience = Patience(timeout, again, each_try)
    while True:
        try:
            return await link.ask(method, request, patience.remaining)
        except (grpc.RpcError, asyncio.CancelledError) as broken:
            pause = patience.pause_after(link.typed(broken))
        await link.wait(link.signal(), pause)
