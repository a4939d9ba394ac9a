"""A server that waits 20 ms and answers with 8 kB: what is measured at it is the client."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import grpc

ANSWER = b"\x89PNG\r\n\x1a\n" + bytes(8192)
WAIT_S = 0.02


async def unary(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    """One message."""
    await asyncio.sleep(WAIT_S)
    return ANSWER


async def stream(_: bytes, __: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
    """Three messages, as a Generate call of one image has."""
    yield bytes(100)
    await asyncio.sleep(WAIT_S)
    yield ANSWER
    yield bytes(20)


async def main(port: str) -> None:
    """Serve until killed."""
    methods = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.unary_stream_rpc_method_handler(stream),
    }
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Wait", methods),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
