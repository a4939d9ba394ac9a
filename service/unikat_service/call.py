"""One Generate call: opens its job, sends what the job publishes, and lets go of the job when the caller is gone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.conditions import to_messages
from unikat.errors import Reason, UnikatError, error_of, make_status
from unikat.v1.studio_pb2 import Accepted, GenerateResponse, ImageFormat
from unikat_service.catalogue import Catalogue
from unikat_service.errors import Context, shutting_down
from unikat_service.jobs import JobQueue, OpenJob
from unikat_service.keeper import Keeper
from unikat_service.reader import Cursor, StreamReader
from unikat_service.requests import Order


@dataclass
class Backstage:
    """What all calls of a process share."""

    catalogue: Catalogue
    queue: JobQueue
    reader: StreamReader
    keeper: Keeper
    threads: ThreadPoolExecutor
    stopping: bool = False
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def in_background(self, work: Coroutine[None, None, None]) -> None:
        """Run to the end even though the call that asks for it ends now."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drained(self) -> None:
        """Return when nothing runs in the background."""
        while self._tasks:
            await asyncio.wait(self._tasks)


class Call:
    """State of one Generate call."""

    def __init__(self, backstage: Backstage, order: Order, context: Context) -> None:
        remaining = context.time_remaining()
        self._backstage = backstage
        self._order = order
        self._context = context
        self._deadline = None if remaining is None else time.time() + remaining
        request = order.request
        # Entry number: in the stream, images are counted from 0, whatever the index of the first.
        self._sent = request.after_index - request.first_index + 1 if request.HasField("after_index") else 0

    async def run(self) -> None:
        """Serve the call. Raises UnikatError with the status to end it with, CancelledError if the caller is gone."""
        job = await self._open()
        await self._write_accepted(job)
        while (status := await self._deliver(job)) is not None:
            if not (status.code == Code.DEADLINE_EXCEEDED and self._outlasts(job)):
                raise error_of(status)
            job = await self._open()

    async def _open(self) -> OpenJob:
        loop = asyncio.get_running_loop()
        rate = self._backstage.catalogue.snapshot.jobs_per_second
        opening = loop.run_in_executor(
            self._backstage.threads, partial(self._backstage.queue.open, self._order, self._deadline, rate)
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            # The thread goes on, and what it opens must be let go.
            self._backstage.in_background(self._let_go_when_open(opening, self._why_gone()))
            raise

    async def _write_accepted(self, job: OpenJob) -> None:
        try:
            await self._context.write(_accepted(job))
        except BaseException:
            self._caller_is_gone(job)
            raise

    async def _deliver(self, job: OpenJob) -> Status | None:
        """Send what the job publishes. Returns None at its end, or the status with which its stream ended."""
        cursor = self._backstage.reader.open(job.job_id, self._sent)
        self._backstage.keeper.keep(cursor, job.lease)
        if self._backstage.stopping:  # since the job was asked for
            cursor.fail(shutting_down())
        try:
            return await self._send_entries(cursor, job.job.count)
        except UnikatError:  # the cursor was given up: the service ends, or the job did without a word
            self._backstage.in_background(self._leave(job))
            raise
        except BaseException:  # CancelledError, or a write that failed: nobody listens any more
            self._caller_is_gone(job)
            raise
        finally:
            self._backstage.keeper.forget(cursor)
            self._backstage.reader.close(cursor)

    async def _send_entries(self, cursor: Cursor, count: int) -> Status | None:
        while self._sent <= count:
            entry = await cursor.next()
            if entry.response is None:
                return entry.status
            await self._context.write(entry.response)
            self._sent = entry.number
        return None

    def _caller_is_gone(self, job: OpenJob) -> None:
        self._backstage.in_background(self._let_go(job, self._why_gone()))

    async def _let_go_when_open(self, opening: asyncio.Future[OpenJob], why: Status) -> None:
        try:
            job = await opening
        except Exception:  # it was refused: nothing was opened, and nobody is there to be told
            return
        await self._let_go(job, why)

    async def _let_go(self, job: OpenJob, why: Status) -> None:
        """End the job if it was only for this call; but if it is the service that ends, its caller comes back."""
        if self._backstage.stopping:
            await self._leave(job)
        else:
            await self._in_thread(partial(self._backstage.queue.close, job, why))

    async def _leave(self, job: OpenJob) -> None:
        """Let the job go on for callers who come back; without a request_id, nobody can."""
        if job.lease:
            await self._in_thread(partial(self._backstage.queue.release, job.job_id, job.lease))
        else:
            await self._in_thread(partial(self._backstage.queue.close, job, self._why_gone()))

    async def _in_thread(self, work: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._backstage.threads, work)

    def _outlasts(self, job: OpenJob) -> bool:
        """Whether the job had the deadline of an earlier call with this request_id, and this call's is later."""
        theirs = job.job.deadline
        return bool(job.lease) and theirs is not None and (self._deadline is None or theirs < self._deadline)

    def _why_gone(self) -> Status:
        if self._deadline_passed():
            text = "the deadline passed before the last image"
            return make_status(Code.DEADLINE_EXCEEDED, text, Reason.DEADLINE_EXCEEDED)
        return make_status(Code.CANCELLED, "the caller cancelled, or is gone", Reason.CANCELLED)

    def _deadline_passed(self) -> bool:
        return self._deadline is not None and time.time() >= self._deadline


def _accepted(job: OpenJob) -> bytes:
    """The first message: the job as it is, which a call that joined it may not have known in full."""
    draw = job.job
    return GenerateResponse(
        accepted=Accepted(
            job_id=job.job_id,
            model=draw.model,
            model_digest=draw.digest,
            seed=draw.seed,
            count=draw.count,
            truncation=draw.truncation,
            format=ImageFormat.Name(draw.image_format),
            conditions=to_messages(draw.weights),
            queue_position=job.position,
            first_index=draw.first,
        )
    ).SerializeToString()
