"""One call: its job is enqueued or joined, what the job publishes is handed out, and the job is let go of.

A request_id stands for one job. If that job ended without having been of use to the one who asks again (it was
cancelled because its caller was gone, or its result has expired), the next *attempt* takes its place: a job of the
same content under an id of its own, because a worker that still draws the old one must not write into the new
stream. Images are pure functions, so an attempt goes on exactly where its predecessor was left.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final

from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from redis.exceptions import OutOfMemoryError, RedisError

from unikat.bundle import key_of
from unikat.call_records import current_record
from unikat.conditions import to_messages
from unikat.encoders import newest_encoder
from unikat.errors import Reason, UnikatError, error_of, make_status, retry_later
from unikat.queue.calls import Enqueued, Existing, Full, Outcome, Submission, answer_of
from unikat.queue.job import DrawJob
from unikat.queue.keys import job_id_of
from unikat.recipes.messages import set_sequence
from unikat.recipes.sequence import sequence_from_json
from unikat.v1.studio_pb2 import Accepted, ImageFormat
from unikat_service.budgets import call_refused, seconds_of, store_full
from unikat_service.callers import current
from unikat_service.context import ServiceContext
from unikat_service.errors import Context, shutting_down
from unikat_service.requests import Order, reused
from unikat_service.subscription import Subscription

MAX_ATTEMPTS: Final = 256


@dataclass(frozen=True, slots=True)
class OpenJob:
    """A job that a call waits for. `deadline` is by this process' monotonic clock."""

    job: DrawJob
    position: int
    deadline: float | None


class Call:
    """A call that waits for a job: `async with` enqueues or joins it, and lets go of it at the end."""

    __slots__ = ("_deadline", "_draw", "_fingerprint", "_open", "_request_id", "_results", "_sent", "_service")

    def __init__(self, service: ServiceContext, order: Order, context: Context) -> None:
        remaining = context.time_remaining()
        request, caller = order.request, current()
        self._service = service
        self._deadline = None if remaining is None else time.monotonic() + remaining
        self._request_id = caller.own(request.request_id)
        self._fingerprint = order.fingerprint
        self._draw = _draw_job(order, caller.name, service.settings.mark_key, service.catalogue.clock.now())
        # Number of the last entry: in the stream, images are counted from 0, whatever the index of the first.
        self._sent = request.after_index - request.first_index + 1 if request.HasField("after_index") else 0
        self._results: Subscription | None = None
        self._open = OpenJob(self._draw, 0, None)

    @property
    def job_id(self) -> str:
        """RQ's id of the job that it waits for."""
        return self._subscribed.job_id

    @property
    def accepted(self) -> Accepted:
        """The job as it is, which a call that joined it may not have known in full."""
        draw = self._open.job
        accepted = Accepted(
            job_id=self.job_id,
            model=draw.model,
            model_digest=draw.digest,
            seed=draw.seed,
            count=draw.count,
            truncation=draw.truncation,
            format=ImageFormat.Name(draw.image_format),
            conditions=to_messages(draw.weights),
            queue_position=self._open.position,
            first_index=draw.first,
            background=draw.background,
        )
        set_sequence(accepted, sequence_from_json(draw.recipe) if draw.recipe else None)
        return accepted

    async def __aenter__(self) -> Call:
        await self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or isinstance(error, _Ended):
            self._let_go(Outcome.DONE)
        elif isinstance(error, UnikatError) and error.reason != Reason.NO_WORKER:
            self._leave()  # the service ends, or the job did without a word
        else:
            self._caller_is_gone()

    @property
    def is_next(self) -> bool:
        """Whether no other job waited before its own when it was accepted."""
        return self._open.position == 0

    async def ready(self, seconds: float) -> None:
        """Return when there is a response, at the latest after `seconds`."""
        await self._subscribed.ready(seconds)

    async def next(self) -> bytes | None:
        """The next response; None after the last. Raises UnikatError with the status to end the call with."""
        while self._sent <= self._open.job.count:
            entry = await self._subscribed.next()
            if isinstance(entry, bytes):
                self._sent += 1
                return entry
            if not (entry.code == Code.DEADLINE_EXCEEDED and self._outlasts()):
                raise _Ended(entry)
            self._let_go(Outcome.DONE)
            await self._begin()
        return None

    async def _begin(self) -> None:
        """Enqueue a job, or join the one that the request_id stands for.

        Raises UnikatError: RESOURCE_EXHAUSTED if there is no room, ALREADY_EXISTS if the request_id stands for another
        content, UNAVAILABLE if nobody serves what an earlier attempt was to draw.
        """
        draw = self._draw
        for job_id in _attempt_ids(self._request_id):
            self._results = self._service.delivery.open(job_id, self._service.new_lease(draw.caller), self._sent + 1)
            answer = await self._enqueue(draw)
            if not isinstance(answer, Existing):
                self._wait_for(answer, draw)
                return
            try:
                found = self._joined(answer)
            except UnikatError:
                self._let_go(Outcome.LEFT)
                raise
            if not _is_over(answer):
                self._wait_for(answer, found)
                return
            self._let_go(Outcome.LEFT)
            draw = replace(found, enqueued_at=draw.enqueued_at, deadline=None, caller=draw.caller)
        text = f"this request_id was cancelled {MAX_ATTEMPTS} times in a short while; use a new one"
        ttl = self._service.settings.result_ttl_s
        raise error_of(retry_later(Code.RESOURCE_EXHAUSTED, text, Reason.CANCELLED, ttl))

    async def _enqueue(self, draw: DrawJob) -> Enqueued:
        seconds = None if self._deadline is None else self._deadline - time.monotonic()
        results = self._subscribed
        rate = self._service.catalogue.snapshot.rates.get(draw.digest, 0.0)
        draw = replace(draw, seconds=seconds_of(draw.count, rate))
        size = self._service.delivery.image_bytes
        submission = Submission(results.job_id, draw, self._fingerprint, results.lease, seconds, size)
        reply = self._service.calls.enqueue(submission, self._service.delivery.jobs, self._caller_is_gone)
        try:
            answer = answer_of(submission, await reply)
        except (asyncio.CancelledError, RedisError) as error:
            # What is under way, or was done although the reply is lost, is let go of when it is known.
            if not reply.cancelled():
                self._caller_is_gone()
            raise self._no_room() if isinstance(error, OutOfMemoryError) else error  # noqa: B904
        if isinstance(answer, Full):
            self._close_results()
            if not self._service.calls.accepts:
                raise self._no_room()
            raise call_refused(answer, self._service.catalogue.snapshot.jobs_per_second)
        return answer

    def _no_room(self) -> UnikatError:
        return store_full(self._service.settings.max_memory_percent, "--max-memory-percent")

    def _joined(self, answer: Existing) -> DrawJob:
        if answer.fingerprint != self._fingerprint:
            raise reused()
        job = answer.job()
        self._service.catalogue.require_served(job.model, job.digest)
        return job

    def _wait_for(self, answer: Enqueued, found: DrawJob) -> None:
        results = self._subscribed
        deadline = None if answer.seconds is None else time.monotonic() + answer.seconds
        self._open = OpenJob(found, answer.position, deadline)
        results.model = found.model, found.digest
        if isinstance(answer, Existing):
            self._service.delivery.want(results)
        if self._service.stopping:  # since the job was asked for
            results.fail(shutting_down())

    @property
    def _subscribed(self) -> Subscription:
        assert self._results is not None, "the call has no job"
        return self._results

    def _caller_is_gone(self) -> None:
        """End the job if it was only for this call; but if it is the service that ends, its caller comes back."""
        if self._service.stopping:
            self._leave()
        else:
            self._let_go(Outcome.GONE)

    def _leave(self) -> None:
        """Let the job go on for callers who come back; without a request_id, nobody can."""
        self._let_go(Outcome.LEFT if self._request_id else Outcome.GONE)

    def _let_go(self, outcome: Outcome) -> None:
        results = self._close_results()
        if results is not None:
            status = self._why_gone().SerializeToString() if outcome == Outcome.GONE else b""
            self._service.calls.release(results.job_id, results.lease, outcome, self._open.job.count, status)

    def _close_results(self) -> Subscription | None:
        results, self._results = self._results, None
        if results is not None:
            self._service.delivery.close(results)
        return results

    def _outlasts(self) -> bool:
        """Whether the job had the deadline of an earlier call with this request_id, and this call's is later."""
        theirs = self._open.deadline
        return bool(self._request_id) and theirs is not None and (self._deadline is None or theirs < self._deadline)

    def _why_gone(self) -> Status:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            text = "the deadline passed before the last image"
            return make_status(Code.DEADLINE_EXCEEDED, text, Reason.DEADLINE_EXCEEDED)
        return make_status(Code.CANCELLED, "the caller cancelled, or is gone", Reason.CANCELLED)


class _Ended(UnikatError):
    """The job's stream ended with a status."""


def _draw_job(order: Order, caller: str, mark: str, enqueued_at: float) -> DrawJob:
    return DrawJob(
        model=key_of(order.model),
        digest=order.model.digest,
        weights=order.weights,
        count=order.request.count,
        seed=order.seed,
        truncation=order.truncation,
        image_format=int(order.image_format),
        enqueued_at=enqueued_at,
        first=order.request.first_index,
        caller=caller,
        encoder=newest_encoder(order.image_format),
        background=order.background,
        mark=mark,
        originality=order.terms.originality,
        attempt=order.terms.attempt,
        deny=order.terms.deny,
        recipe={} if order.sequence is None else order.sequence.to_json(),
        trace=current_record().trace,
    )


def _attempt_ids(request_id: str) -> Iterator[str]:
    if not request_id:
        yield "c-" + os.urandom(16).hex()
        return
    first = job_id_of(request_id)
    yield first
    yield from (f"{first}-{attempt}" for attempt in range(2, MAX_ATTEMPTS + 1))


def _is_over(found: Existing) -> bool:
    """Whether an attempt is of no use to a call that comes now.

    An earlier caller's cancellation or deadline is none of this one's; a failure stays one.
    """
    return found.is_lost or found.code in (Code.CANCELLED, Code.DEADLINE_EXCEEDED)
