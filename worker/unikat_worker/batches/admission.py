"""From a job of a batch, as Redis has it, to one that can be drawn or written; what cannot is failed without a try."""

from __future__ import annotations

import json
from collections.abc import Sequence

from unikat.batches.spec import CLOSE_BATCH, DRAW_SHARD, MAX_SHARD_SIZE, ShardJob
from unikat.batches.storage import DestinationRefused, Storage
from unikat.queue.batches.keys import close_job_id, shard_job_id
from unikat.queue.batches.progress import TakenOfBatch
from unikat.queue.job import call_of
from unikat_worker.active import ActiveClose, ActiveShard, Ending, OfBatch
from unikat_worker.admission import check_callbacks
from unikat_worker.batches.files import is_given_up
from unikat_worker.settlement import SUSPECT


def admit(found: TakenOfBatch) -> OfBatch:
    """A shard or the job that closes its batch; it has an ending where there is nothing left to do."""
    try:
        check_callbacks(found.job)
        function, kwargs = call_of(found.job.data, [DRAW_SHARD, CLOSE_BATCH])
        owner, destination = _about(found)
        item = _close(found, kwargs) if function == CLOSE_BATCH else _shard(found, kwargs, owner, destination)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        refused = OfBatch(found.job, found)
        refused.refuse(str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}")
        return refused
    item.destination = destination
    if not found.head:
        item.ending = Ending.CANCELLED  # the batch was deleted
    elif isinstance(item, ActiveClose):
        item.ending = Ending.FINISHED if found.has_ended or found.round != item.round else None
    elif found.cancelled or found.has_ended:
        item.ending = Ending.CANCELLED
    elif found.is_written:
        item.ending = Ending.FINISHED
    return item


def refusal(item: OfBatch, prefixes: Sequence[str]) -> DestinationRefused | None:
    """Why this worker's settings forbid it to write what a batch draws; None if they do not.

    `prefixes`: what is open to this worker.
    """
    try:
        Storage.check_open(item.destination, prefixes)
    except DestinationRefused as refused:
        cancelled = item.found.cancelled
        nothing_to_write = cancelled and (is_given_up(cancelled, item.taken.begun_at) or not item.found.written)
        return None if nothing_to_write else refused
    return None


def _about(found: TakenOfBatch) -> tuple[str, str]:
    """Owner and destination of a batch; empty for one that was deleted."""
    try:
        facts = json.loads(found.head) if found.head else {"owner": "", "destination": ""}
        return str(facts["owner"]), str(facts["destination"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"its batch is not readable: {type(error).__name__}: {error}") from error


def _shard(found: TakenOfBatch, kwargs: dict[str, object], owner: str, destination: str) -> ActiveShard:
    shard = ShardJob.from_kwargs(kwargs)
    if shard.batch != found.batch or shard_job_id(found.batch, shard.shard) != found.job.id:
        raise ValueError(f"it holds shard {shard.shard} of batch {shard.batch}")
    if not 1 <= shard.count <= MAX_SHARD_SIZE:
        raise ValueError(f"a shard has 1 to {MAX_SHARD_SIZE} images, this one {shard.count}")
    if found.head and shard.shard >= found.shards:  # it would count as one of them
        raise ValueError(f"batch {found.batch} has no shard {shard.shard}")
    if destination not in ("", shard.destination):
        raise ValueError(f"it writes to {shard.destination}, and its batch to {destination}")
    return ActiveShard(found.job, found, shard, owner, suspect=found.job.crashes >= SUSPECT)


def _close(found: TakenOfBatch, kwargs: dict[str, object]) -> ActiveClose:
    round = int(str(kwargs["round"]))
    if kwargs["batch"] != found.batch or close_job_id(found.batch, round) != found.job.id:
        raise ValueError(f"it ends round {round} of batch {kwargs['batch']}")
    return ActiveClose(found.job, found, round)
