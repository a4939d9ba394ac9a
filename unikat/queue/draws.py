"""What workers do with draw jobs: take and begin them, publish images, finish them. Commands and their replies."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from google.rpc.status_pb2 import Status
from redis import Redis
from redis.client import Pipeline
from redis.commands.core import Script as Registered

from unikat.queue.keys import QUEUES_KEY, bell_key, queues_key
from unikat.queue.scripts import Argument, Command, script

RECORD_TTL: Final = 24 * 3600  # seconds in RQ's registries, for a job whose workers all died
TRIED: Final = "unikat_tried"  # field of an execution, see `mark_tried`
MOST_TAKEN: Final = 128  # jobs by one call: 3 ms of Redis' time, in which it serves nobody else
INBOX_ENTRIES: Final = 2048  # of a service, about; with INLINE_BYTES this bounds what an inbox holds
INLINE_BYTES: Final = 16_384  # of images in an entry of an inbox; what is larger is read from the job's stream

_QUEUE: Final = re.compile(r"unikat:([a-z][a-z0-9-]*@[0-9]+\.[0-9a-f]+)\.")  # as `keys.queue_name` writes it

OPEN: Final = -1  # code of a stream that was not ended by a status
RQ_SETTLES, HAS_CALLBACKS = 1, 2

NO_STREAM: Final = -2  # something else has its name


@dataclass(frozen=True, slots=True)
class Taken:
    """A job that this worker has begun, as Redis has it.

    `last` is the number of its stream's last entry, `code` that of the status that ended the stream (OPEN, NO_STREAM).
    `foreign`: RQ_SETTLES or HAS_CALLBACKS for a job that our service did not enqueue. `begun_at`: Redis' time (s).
    `refused`: the numbers of the stream's entries that are refusals, with spaces between.
    """

    id: str
    queue: str
    execution: str
    data: bytes
    extra: bytes
    deadline: bytes
    attempts: int
    crashes: int
    last: int
    code: int
    result_ttl: int
    foreign: int
    begun_at: float
    refused: bytes = b""

    @property
    def member(self) -> str:
        """How RQ's registries name the execution."""
        return f"{self.id}:{self.execution}"


@dataclass(frozen=True, slots=True)
class Completion:
    """What RQ is told of a complete job.

    `result` is RQ's text of its result, `begun_at` the `Taken`'s, `last` the number of its last entry.
    """

    result: str
    begun_at: float
    result_ttl: int
    last: int = 0

    @property
    def arguments(self) -> tuple[Argument, ...]:
        """As `finish` in the scripts takes them: result, begun (s), seconds it is kept."""
        return self.result, f"{self.begun_at:.6f}", self.result_ttl


@dataclass(frozen=True, slots=True)
class Publication:
    """Entries for a job's stream, from number `first` on; none to ask only how far the stream is."""

    job: Taken
    first: int
    entries: Sequence[bytes]
    completion: Completion | None = None


@dataclass(frozen=True, slots=True)
class Published:
    """`state`: open, finished, dependents, ended, lost, or a status of RQ's (see publish.lua)."""

    state: str
    last: int
    code: int


def take(worker: str, models: Sequence[str], most: int) -> Command:
    """Take and begin at most `most` jobs of some model keys, and at most MOST_TAKEN."""
    most = min(most, MOST_TAKEN)
    ids = os.urandom(16 * most).hex()
    executions = (ids[at : at + 32] for at in range(0, 32 * most, 32))
    return script("take").command(most, worker, RECORD_TTL, len(models), *models, *executions)


def taken(reply: Any) -> tuple[float, bool, list[Taken]]:  # noqa: ANN401  (a script's reply)
    """Redis' time, whether jobs are left, and the jobs."""
    clock, left, jobs = reply
    return float(clock), bool(left), [taken_from(job) for job in jobs]


def taken_from(job: list[Any]) -> Taken:
    """A job as `begin` in the scripts returns it."""
    id, queue, execution, *rest = job
    taken = Taken(id.decode(errors="replace"), queue.decode(), execution.decode(), *rest)
    return replace(taken, begun_at=float(taken.begun_at))


def mark_tried(redis: Redis, member: str) -> None:
    """A worker is about to draw a job with which others died: if it dies too, that counts against this job."""
    with redis.pipeline() as pipe:
        pipe.hset(f"rq:execution:{member}", TRIED, "1")
        pipe.expire(f"rq:execution:{member}", RECORD_TTL)
        pipe.execute()


def wait(models: Sequence[str], worker: str, seconds: float) -> Command:
    """Block until jobs of one of these model keys may be there, or somebody wakes this worker."""
    bells = [bell_key(model) for model in models]
    return ("BLPOP", *bells, bell_key(worker), seconds)


def wake(redis: Redis, worker: str) -> None:
    """Let a worker's thread that waits for jobs look around."""
    with redis.pipeline(transaction=False) as pipe:
        pipe.rpush(bell_key(worker), "1")
        pipe.expire(bell_key(worker), 2)
        pipe.execute()


def publish(worker: str, publications: Sequence[Publication], ttl_s: int) -> Command:
    """Add entries to streams and finish what is complete."""
    arguments: list[str | bytes | int | float] = [worker, ttl_s * 1000, INBOX_ENTRIES, INLINE_BYTES]
    for each in publications:
        job, done = each.job, each.completion
        arguments += (job.id, job.queue, job.execution, each.first, len(each.entries), *each.entries)
        if done is None:
            arguments.append("")
            continue
        arguments += (done.last, *done.arguments)
    return script("publish").command(*arguments)


def published(reply: Any) -> list[Published]:  # noqa: ANN401  (a script's reply)
    """What became of each publication."""
    return [Published(state.decode(), last, code) for state, last, code in reply]


def close(redis: Redis | Pipeline, job_id: str, complete: int, status: Status, ttl_s: int) -> bool:
    """End a stream with a status unless it has ended, or is complete with entry `complete`.

    Returns whether this call ended it; in a pipeline the answer says nothing.
    """
    return bool(run_script("close", redis, job_id, complete, status.SerializeToString(), ttl_s, INBOX_ENTRIES))


def ring(redis: Redis, model: str) -> int:
    """Let the queues of a model key take part in its turns into which RQ put jobs; returns the jobs that wait."""
    return int(run_script("ring", redis, model))


def announce(pipe: Pipeline, queue: str) -> None:
    """A queue in which RQ's methods put a job again is known, if it had been forgotten as empty."""
    if model := model_of(queue):
        pipe.sadd(queues_key(model), queue)
        pipe.sadd(QUEUES_KEY, f"rq:queue:{queue}")


def run_script(name: str, redis: Redis | Pipeline, *arguments: Argument) -> Any:  # noqa: ANN401  (a script's reply)
    """Run a script by redis-py's own way, which makes it known where it is not. Raises RedisError."""
    return Registered(redis, script(name).text)(keys=[], args=arguments, client=redis)


def model_of(queue: str) -> str | None:
    """The model key of a queue's name; None for those of batches."""
    found = _QUEUE.match(queue)
    return found[1] if found else None
