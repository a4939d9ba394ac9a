"""From a job of a batch, as Redis has it, to one that can be drawn or written; what cannot is failed without a try."""

from __future__ import annotations

import json
from typing import NamedTuple

from unikat.batches.spec import CLOSE_BATCH, DRAW_SHARD, MAX_SHARD_SIZE, ShardJob
from unikat.batches.storage import DestinationRefused
from unikat.queue.batches.keys import close_job_id, shard_job_id
from unikat.queue.batches.progress import TakenOfBatch
from unikat.queue.job import call_of
from unikat_worker.active import ActiveClose, ActiveShard, Ending, OfBatch
from unikat_worker.admission import check_callbacks
from unikat_worker.batches.files import is_given_up
from unikat_worker.batches.places import Places
from unikat_worker.settlement import SUSPECT


def admit(found: TakenOfBatch) -> OfBatch:
    """A shard or the job that closes its batch; it has an ending where there is nothing left to do."""
    try:
        check_callbacks(found.job)
        function, kwargs = call_of(found.job.data, [DRAW_SHARD, CLOSE_BATCH])
        about = _about(found)
        item = _close(found, kwargs) if function == CLOSE_BATCH else _shard(found, kwargs, about)
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        refused = OfBatch(found.job, found)
        refused.refuse(str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}")
        return refused
    item.destination, item.encryption_key, item.trace = about.destination, about.encryption_key, about.trace
    if not found.head:
        item.ending = Ending.CANCELLED  # the batch was deleted
    elif isinstance(item, ActiveClose):
        item.ending = Ending.FINISHED if found.has_ended or found.round != item.round else None
    elif found.cancelled or found.has_ended:
        item.ending = Ending.CANCELLED
    elif found.is_written:
        item.ending = Ending.FINISHED
    return item


def refusal(item: OfBatch, places: Places) -> DestinationRefused | None:
    """Why this worker's settings forbid it to write what a batch draws; None if they do not."""
    try:
        places.check(item)
    except DestinationRefused as refused:
        cancelled = item.found.cancelled
        nothing_to_write = cancelled and (is_given_up(cancelled, item.taken.begun_at) or not item.found.written)
        return None if nothing_to_write else refused
    return None


class _About(NamedTuple):
    """What is asked of a batch; empty for one that was deleted."""

    owner: str
    destination: str
    encryption_key: str
    trace: str


def _about(found: TakenOfBatch) -> _About:
    try:
        facts = json.loads(found.head) if found.head else {"owner": "", "destination": ""}
        later = (str(facts.get(name, "")) for name in ("encryption_key", "trace"))
        return _About(str(facts["owner"]), str(facts["destination"]), *later)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"its batch is not readable: {type(error).__name__}: {error}") from error


def _shard(found: TakenOfBatch, kwargs: dict[str, object], about: _About) -> ActiveShard:
    shard = ShardJob.from_kwargs(kwargs)
    if shard.batch != found.batch or shard_job_id(found.batch, shard.shard) != found.job.id:
        raise ValueError(f"it holds shard {shard.shard} of batch {shard.batch}")
    if not 1 <= shard.count <= MAX_SHARD_SIZE:
        raise ValueError(f"a shard has 1 to {MAX_SHARD_SIZE} images, this one {shard.count}")
    if found.head and shard.shard >= found.shards:  # it would count as one of them
        raise ValueError(f"batch {found.batch} has no shard {shard.shard}")
    if about.destination not in ("", shard.destination):
        raise ValueError(f"it writes to {shard.destination}, and its batch to {about.destination}")
    if found.head and shard.encryption_key != about.encryption_key:
        raise ValueError(f"its files are for the key {shard.encryption_key!r}, its batch's {about.encryption_key!r}")
    return ActiveShard(found.job, found, shard, about.owner, suspect=found.job.crashes >= SUSPECT)


def _close(found: TakenOfBatch, kwargs: dict[str, object]) -> ActiveClose:
    round = int(str(kwargs["round"]))
    if kwargs["batch"] != found.batch or close_job_id(found.batch, round) != found.job.id:
        raise ValueError(f"it ends round {round} of batch {kwargs['batch']}")
    return ActiveClose(found.job, found, round)
