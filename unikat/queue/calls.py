"""What services do with draw jobs: enqueue or join them, read their results, look after them, let go of them.

Many jobs go out as one call of a script. Any script may run twice and any reply may be lost: a job that is sent again
is there already, and ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from google.protobuf.message import DecodeError
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status

from unikat.errors import Reason, make_status
from unikat.queue.budget import ASK, Quotas, work_in_progress
from unikat.queue.connection import Connection, Reply
from unikat.queue.job import FINGERPRINT, DrawJob, Limits, common_fields, own_fields
from unikat.queue.keys import model_key, queue_name
from unikat.queue.script_calls import Abandoned, ScriptCalls
from unikat.queue.scripts import Argument, script
from unikat.queue.stream import RESPONSE, STATUS, stream_key

MANY: Final = 16  # calls in progress from which a script call for each costs more than waiting for others does
PATIENCE_S: Final = 0.002  # then
DONE_PATIENCE_S: Final = 0.05  # for leases of callers that have everything: nobody waits
DONE_TTL_S: Final = 30  # results whose end every caller has are kept this long
JOB_BYTES: Final = 1500  # of a job in Redis beside its own fields and its images, about
RETRIED: Final = 10_000  # releases that are kept for another try while Redis is away

_ACTIVE: Final = {"queued", "started", "scheduled", "deferred", "created"}


class Outcome(StrEnum):
    """How a call leaves its job: see release.lua."""

    DONE = "done"
    LEFT = "left"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Submission:
    """A job to be enqueued, and the call that waits for it.

    `seconds`: until the call's deadline; `image_bytes`: of one of its images, about.
    """

    job_id: str
    job: DrawJob
    fingerprint: str
    lease: str
    seconds: float | None
    image_bytes: float = 0.0

    @property
    def queue(self) -> str:
        """RQ's queue."""
        return queue_name(model_key(self.job.model, self.job.digest), self.job.caller)

    def arguments(self) -> list[Argument]:
        """Of enqueue.lua."""
        model = model_key(self.job.model, self.job.digest)
        limit = "" if self.seconds is None else f"{self.seconds:.3f}"
        fields = own_fields(self.job, self.fingerprint)
        size = JOB_BYTES + sum(len(str(field)) for field in fields) + round(self.job.count * self.image_bytes)
        work = f"{self.job.seconds:.3f}"
        return [self.job_id, model, self.queue, self.lease, limit, self.job.count, work, size, *fields]


@dataclass(frozen=True, slots=True)
class Full:
    """A job was not taken. `what` is spent: `used` of `limit`; in `seconds` there may be room, 0: not known.

    "queue": jobs that wait, "seconds" of work, "bytes"; of the caller alone: "own queue", "own seconds", "own bytes",
    "calls" in progress, "images" a minute.
    """

    what: str
    used: int
    limit: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Enqueued:
    """A job that a call holds a lease on. `seconds`: until its deadline; None: it has none."""

    queue: str
    position: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Existing(Enqueued):
    """A job that was there already. `last` is the number of its stream's last entry, `code` its status' or -1."""

    status: str
    fingerprint: str
    last: int
    code: int
    data: bytes
    extra: bytes

    def job(self) -> DrawJob:
        """Raises ValueError."""
        return DrawJob.from_hash(self.data, self.extra, b"")

    @property
    def is_lost(self) -> bool:
        """Nothing was published, or all has expired, and nothing will be."""
        return self.last == 0 and self.code == -1 and self.status not in _ACTIVE


@dataclass(frozen=True, slots=True)
class Condition:
    """What has become of a job: RQ's status ("" if it is not there), its stream's last entry and its status' code."""

    status: str
    last: int
    code: int

    @property
    def is_active(self) -> bool:
        """Whether it waits or is drawn."""
        return self.status in _ACTIVE


Entry: TypeAlias = "tuple[int, bytes | Status]"  # number in the stream, and a GenerateResponse's bytes or the end


class DrawCalls:
    """The draw jobs of a service's calls."""

    def __init__(self, connection: Connection, limits: Limits, max_queue: int, quotas: Quotas) -> None:
        """`max_queue`: jobs that may wait for a model."""
        self._connection = connection
        self._limits = limits
        self._max_queue = max_queue
        self._quotas = quotas
        self._enqueue = ScriptCalls(connection, script("enqueue"), self._enqueue_head)
        self._release = ScriptCalls(connection, script("release"), self._release_head)
        self._unreleased: list[list[Argument]] = []
        self.accepts = True  # whether new jobs are taken; jobs that are there can be joined in any case

    def enqueue(self, submission: Submission, others: int, abandoned: Abandoned) -> asyncio.Future[Reply]:
        """Enqueue a job and take a lease on it, or on the job that has its id. `answer_of` reads the reply.

        `others`: calls in progress. Where there are many, it waits a moment for more that begin. If the future is
        cancelled, `abandoned` is called when Redis has replied, or does not.
        """
        return self._enqueue.add(submission.arguments(), PATIENCE_S if others > MANY else 0.0, abandoned)

    def release(self, job_id: str, lease: str, outcome: Outcome, complete: int = 0, status: bytes = b"") -> None:
        """Give a lease up. `complete`: number behind which the stream is complete, `status` its end if all are gone."""
        self._try_release([job_id, lease, outcome, complete, status])

    async def work_in_progress(self, now: float) -> float:
        """Seconds of work that calls of everybody amount to. `now`: Redis' time. Raises RedisError."""
        return work_in_progress(await self._connection.execute(*ASK), now, self._limits.result_ttl)

    def retry_releases(self) -> None:
        """Send what could not be sent."""
        unreleased, self._unreleased = self._unreleased, []
        for arguments in unreleased:
            self._try_release(arguments)

    async def drained(self) -> None:
        """Return when nothing is under way."""
        batches = self._enqueue, self._release
        while tasks := [batch.task for batch in batches if batch.task is not None]:
            for batch in batches:
                batch.hurry()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)  # for what follows from the replies

    async def inspect(self, leases: Sequence[tuple[str, str]]) -> list[Condition]:
        """The condition of the jobs of at most SLICE (job, lease), which are held for another while."""
        if not leases:
            return []
        arguments = [each for lease in leases for each in lease]
        reply = await self._connection.run(script("inspect"), self._limits.result_ttl, *arguments)
        return [Condition(status.decode(), last, code) for status, last, code in reply]

    def _try_release(self, arguments: list[Argument]) -> None:
        def released(future: asyncio.Future[Reply]) -> None:
            if future.exception() is not None and len(self._unreleased) < RETRIED:
                self._unreleased.append(arguments)

        patience = DONE_PATIENCE_S if arguments[2] == Outcome.DONE else 0.0
        self._release.add(arguments, patience).add_done_callback(released)

    def _enqueue_head(self) -> list[Argument]:
        fields = common_fields(self._limits)
        most = self._max_queue if self.accepts else 0
        return [most, self._limits.result_ttl, *self._quotas.arguments, len(fields) // 2, *fields]

    def _release_head(self) -> list[Argument]:
        return [DONE_TTL_S, self._limits.result_ttl]


async def read_entries(connection: Connection, wanted: Sequence[tuple[str, int]], most: int) -> list[list[Entry]]:
    """At most so many entries of each (job, number of the first) stream; [] of what is no stream. Raises RedisError."""
    commands = [("XRANGE", stream_key(job), f"{number}-0", "+", "COUNT", most) for job, number in wanted]
    replies = await connection.execute_many(commands)
    return [[_entry(*each) for each in reply] if isinstance(reply, list) else [] for reply in replies]


def answer_of(submission: Submission, reply: Reply) -> Full | Enqueued:
    """What became of a submission."""
    if reply[0] == b"full":
        what, used, limit, seconds = reply[1:]
        return Full(what.decode(), used, limit, float(seconds))
    if reply[0] == b"queued":
        return Enqueued(submission.queue, reply[1], submission.seconds)
    _, status, queue, position, meta, last, code, seconds, data, extra = reply
    try:
        fingerprint = json.loads(meta or b"{}").get(FINGERPRINT, "")
    except (ValueError, AttributeError):  # RQ's, and somebody else's
        fingerprint = ""
    left = float(seconds) if seconds else None
    return Existing(queue.decode(), position, left, status.decode(), fingerprint, last, code, data, extra)


def _entry(entry_id: bytes, fields: list[bytes]) -> Entry:
    number = int(entry_id.partition(b"-")[0])
    if fields[0] == RESPONSE:
        return number, fields[1]
    try:
        if fields[0] == STATUS:
            return number, Status.FromString(fields[1])
    except DecodeError:
        pass
    text = "the job's result stream has an entry that is neither a response nor a status"
    return number, make_status(Code.INTERNAL, text, Reason.JOB_FAILED)
