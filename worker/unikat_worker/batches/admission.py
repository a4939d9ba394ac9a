"""From a batch's queue to an item: the job is read, checked, and made active, or refused."""

# RQ and redis-py annotate only a part of what they offer.
# mypy: disallow-untyped-calls=False

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

from rq.executions import Execution
from rq.job import Job

from unikat.batches import record as r
from unikat.batches.spec import CLOSE_BATCH, DRAW_SHARD, MAX_SHARD_SIZE, ShardJob
from unikat.batches.storage import DestinationRefused, Storage
from unikat.queue.batches.jobs import batch_queue
from unikat.queue.batches.keys import batch_key, close_job_id, done_key, queue_name, shard_job_id
from unikat_worker.active import Ending
from unikat_worker.away import AWAY
from unikat_worker.batches.active import ActiveClose, ActiveShard, AnyItem
from unikat_worker.batches.files import is_given_up
from unikat_worker.batches.shard_state import ShardState
from unikat_worker.settlement import (
    ATTEMPTS,
    RefusedJob,
    Settlement,
    checked_kwargs,
    is_waiting,
    number,
    restored,
)


class _About(NamedTuple):
    """What a worker has to know of a batch; empty for one that was deleted."""

    owner: str
    destination: str


class _Common(TypedDict):
    rq: Job
    execution: Execution
    settlement: Settlement
    batch: str
    attempts: int


def admit(state: ShardState, batch: str, job_id: str, prefixes: Sequence[str]) -> AnyItem | None:
    """The item of a job that is in the intermediate list; None if there is nothing to do for it.

    An item that has an ending has only to be settled; one that is RETURNED is to be left to other workers, because
    the batch's destination is below none of `prefixes`. Raises RefusedJob.
    """
    with state.redis.pipeline(transaction=False) as pipe:
        pipe.hgetall(Job.key_for(job_id))
        pipe.hmget(batch_key(batch), r.HEAD, r.SHARDS, r.CANCELLED, r.ENDED, r.ROUND)
        fields, facts = pipe.execute(raise_on_error=False)
    if isinstance(facts, Exception) or isinstance(fields, AWAY):
        raise facts if isinstance(facts, Exception) else fields
    is_hash = not isinstance(fields, Exception)
    job = restored(batch_queue(state.redis, batch), job_id, fields) if is_hash else None
    settlement = state.settlement(batch)
    if job is None or not is_waiting(job):
        settlement.forget(job_id)
        return None
    common = _Common(
        rq=job,
        execution=settlement.new_execution(job),
        settlement=settlement,
        batch=batch,
        attempts=number(fields, ATTEMPTS) + 1,
    )
    head, shards, cancelled, *_ = facts
    about = _about(job, head)
    item = _item(common, about, shards)
    item.ending = _ending(state, item, facts)
    if item.ending is None and _is_left_to_others(state, item, about.destination, prefixes, cancelled):
        item.ending = Ending.RETURNED
    return item


def _is_left_to_others(
    state: ShardState, item: AnyItem, destination: str, prefixes: Sequence[str], cancelled: bytes | None
) -> bool:
    """Whether this worker's settings forbid it to write what a batch draws; then the batch says so."""
    try:
        Storage.check_open(destination, prefixes)
    except DestinationRefused as refused:
        if cancelled is not None and (is_given_up(cancelled) or not state.redis.bitcount(done_key(item.batch))):
            return False  # nothing is left to be written
        state.hold(item.batch, f"worker {item.execution.worker_name}: {refused}")
        return True
    return False


def _ending(state: ShardState, item: AnyItem, facts: list[bytes | None]) -> Ending | None:
    """Whether there is nothing left to do for an item, by what is known of its batch."""
    head, _, cancelled, ended, round = facts
    if head is None:
        return Ending.CANCELLED  # the batch was deleted
    if isinstance(item, ActiveClose):
        return Ending.FINISHED if ended is not None or int(round or 0) != item.round else None
    if cancelled is not None or ended is not None:
        return Ending.CANCELLED
    item.was_done = state.progress.is_done(item.batch, item.job.shard)
    return Ending.FINISHED if item.was_done else None


def _about(job: Job, head: bytes | None) -> _About:
    try:
        facts = json.loads(head) if head else {"owner": "", "destination": ""}  # it was deleted
        return _About(str(facts["owner"]), str(facts["destination"]))
    except (ValueError, KeyError, TypeError) as error:
        raise RefusedJob(job, f"its batch is not readable: {type(error).__name__}: {error}") from error


def _item(common: _Common, about: _About, shards: bytes | None) -> AnyItem:
    job, batch = common["rq"], common["batch"]
    if job.origin != queue_name(batch):
        raise RefusedJob(job, f"it says that it is of queue {job.origin!r}, but it was in that of batch {batch}")
    kwargs = checked_kwargs(job, [DRAW_SHARD, CLOSE_BATCH])
    try:
        return _close(common, kwargs) if job.func_name == CLOSE_BATCH else _shard(common, kwargs, about, shards)
    except RefusedJob:
        raise
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise RefusedJob(job, f"{type(error).__name__}: {error}") from error


def _shard(common: _Common, kwargs: dict[str, Any], about: _About, shards: bytes | None) -> ActiveShard:
    job, batch = common["rq"], common["batch"]
    shard = ShardJob.from_kwargs(kwargs)
    if shard.batch != batch or shard_job_id(batch, shard.shard) != job.id:
        raise RefusedJob(job, f"it holds shard {shard.shard} of batch {shard.batch}")
    if not 1 <= shard.count <= MAX_SHARD_SIZE:
        raise RefusedJob(job, f"a shard has 1 to {MAX_SHARD_SIZE} images, this one {shard.count}")
    if shards is not None and shard.shard >= int(shards):  # it would count as one of them
        raise RefusedJob(job, f"batch {batch} has no shard {shard.shard}")
    if about.destination not in ("", shard.destination):
        raise RefusedJob(job, f"it writes to {shard.destination}, and its batch to {about.destination}")
    return ActiveShard(**common, job=shard, owner=about.owner)


def _close(common: _Common, kwargs: dict[str, Any]) -> ActiveClose:
    job, batch = common["rq"], common["batch"]
    round = int(kwargs["round"])
    if kwargs["batch"] != batch or close_job_id(batch, round) != job.id:
        raise RefusedJob(job, f"it ends round {round} of batch {kwargs['batch']}")
    return ActiveClose(**common, round=round)
