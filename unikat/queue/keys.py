"""Names in Redis of draw jobs, their queues and results. The Lua scripts use the same."""

from __future__ import annotations

import hashlib
from typing import Final

# No job waits here: RQ lists workers beside their queues, and one whose models nobody has asked for yet has no other.
WORKERS_QUEUE: Final = "unikat"
DRAW: Final = "worker.jobs.draw"  # name of the function in a job's payload; nothing is imported by it

QUEUES_KEY: Final = "rq:queues"  # RQ's own set of all queues

DIGEST_DIGITS: Final = 12  # of a model's digest in the name of its queues


def model_key(key: str, digest: str) -> str:
    """Names the queues of a model: "emoji@2" and "sha256:3abc…" to "emoji@2.3abc1fd0b338"."""
    return f"{key}.{digest.removeprefix('sha256:')[:DIGEST_DIGITS]}"


def queue_name(model: str, caller: str) -> str:
    """RQ queue of a model key and a caller."""
    return f"unikat:{model}.{caller}"


def queues_key(model: str) -> str:
    """Set: queues of a model key."""
    return f"unikat:queues:{model}"


def turns_key(model: str) -> str:
    """List: queues of a model key with jobs that wait, in the order of their turns."""
    return f"unikat:turns:{model}"


def bell_key(model: str) -> str:
    """List with one element while jobs wait for a model key: what idle workers block on."""
    return f"unikat:bell:{model}"


def leases_key(job_id: str) -> str:
    """Set: "<service>/<call>" of the calls that wait for a job. A lease ends with the inbox of its service."""
    return f"unikat:calls:{job_id}"


def inbox_key(service: str) -> str:
    """Stream: what was published for the calls of a service, a hint; it expires with the service."""
    return f"unikat:inbox:{service}"


def job_id_of(request_id: str) -> str:
    """The id of the one job that a request_id stands for."""
    return "r-" + hashlib.sha256(request_id.encode()).hexdigest()[:32]
