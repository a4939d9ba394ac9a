"""A server made by hand: grpc.aio, and threads that take what waits and draw it together. A crash loses what waits."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable

import grpc

from benchmarks.work import Drawer, Job, answer_many

BATCH = 4  # images drawn together: a processor gains nothing beyond
Waiting = tuple[bytes, "asyncio.Future[bytes]"]


def lane(drawers: list[Drawer], waiting: queue.SimpleQueue[Waiting], loop: asyncio.AbstractEventLoop) -> None:
    """Take one request, and up to BATCH that wait behind it; draw; hand the images to the event loop."""
    while True:
        taken = [waiting.get()]
        while len(taken) < BATCH and not waiting.empty():
            try:
                taken.append(waiting.get_nowait())
            except queue.Empty:
                break
        images = answer_many(drawers, [body for body, _ in taken])
        loop.call_soon_threadsafe(settle, [future for _, future in taken], images)


def settle(futures: list[asyncio.Future[bytes]], images: list[bytes]) -> None:
    """Answer the requests of a batch; a caller that is gone gets none."""
    for future, image in zip(futures, images, strict=True):
        if not future.done():
            future.set_result(image)


async def main(job: Job) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
    for _ in range(job.setup.lanes):
        threading.Thread(target=lane, args=(job.drawers(), waiting, loop), daemon=True).start()

    async def draw(body: bytes, _: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        future: asyncio.Future[bytes] = loop.create_future()
        waiting.put((body, future))
        return await future

    handler: Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]] = draw
    method = grpc.unary_unary_rpc_method_handler(handler)
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Draw", {"Draw": method}),))
    server.add_insecure_port(f"127.0.0.1:{job.port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(main(Job.from_environment()))
