"""Names in Redis: of batches, their queues and jobs."""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import Final

BATCHES: Final = "unikat:batches"  # sorted set: batch id -> Unix time of its creation
OWNERS: Final = "unikat:batches:owners"  # list: owners with batches that have not ended, in the order of their turns
OF_OWNER: Final = "unikat:batches:of:"  # + owner, a list: their batches that have not ended, oldest first

DESTINATIONS: Final = "unikat:batches:destinations"  # sorted set: destinations of all batches, by name

QUEUE_PREFIX: Final = "unikat-batch-"  # + batch id: name of the RQ queue of its shards
JOB_PREFIX: Final = "b-"

_SHARD: Final = re.compile(r"[0-9]{5}")  # as `shard_job_id` writes it
BATCH_ID: Final = re.compile(r"[0-9a-f]{16}")  # as `batch_id_of` makes them


def batch_key(batch: str) -> str:
    """Hash: what is known of a batch, in few fields (`unikat.batches.record`)."""
    return f"unikat:batch:{batch}"


def destination_key(destination: str) -> str:
    """Text: the batch that writes to a destination. A key each, so that batches of others disturb no `WATCH`."""
    return f"unikat:batches:destination:{destination}"


def creating_key(batch: str) -> str:
    """Text: somebody is creating the batch."""
    return f"unikat:batch:{batch}:creating"


def cells_key(batch: str) -> str:
    """Text: the batch's cells as JSON."""
    return f"unikat:batch:{batch}:cells"


def done_key(batch: str) -> str:
    """Bitmap: the shards that are written."""
    return f"unikat:batch:{batch}:done"


def refused_key(batch: str) -> str:
    """Key of a hash: shard -> how many of its images were refused; only those with any."""
    return f"unikat:batch:{batch}:refused"


def failed_key(batch: str) -> str:
    """Hash: the shards that failed for good -> why."""
    return f"unikat:batch:{batch}:failed"


def pace_key(batch: str) -> str:
    """List, newest first: "<Unix time>:<images>" of the shards written last."""
    return f"unikat:batch:{batch}:pace"


def queue_name(batch: str) -> str:
    """Name of a batch's RQ queue: `rq info` shows how many shards wait."""
    return QUEUE_PREFIX + batch


def shard_job_id(batch: str, shard: int) -> str:
    """Id of a shard's job."""
    return f"{JOB_PREFIX}{batch}-{shard:05}"


def shard_of(batch: str, job_id: str) -> int | None:
    """The number of a shard by the id of its job; None if it is none of this batch."""
    number = job_id.removeprefix(f"{JOB_PREFIX}{batch}-")
    return int(number) if number != job_id and _SHARD.fullmatch(number) else None


def close_job_id(batch: str, round: int) -> str:
    """Id of the job that writes the manifest and ends the batch; every retry begins another round."""
    return f"{JOB_PREFIX}{batch}-close-{round}"


def batch_id_of(request_id: str) -> str:
    """The id of the one batch that a request_id stands for; a new one for an empty request_id."""
    return hashlib.sha256(f"batch {request_id}".encode()).hexdigest()[:16] if request_id else uuid.uuid4().hex[:16]
