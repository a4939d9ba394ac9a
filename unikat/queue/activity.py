"""What each live worker has in hand and how long its last jobs took: for people who watch; services do not read it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from unikat.conditions import is_finite
from unikat.json_text import parse_json

MAX_ACTIVITY: Final = 2**18  # bytes, far more than a worker says
SHOWN: Final = 5  # jobs in hand that a worker names, the oldest
RECENT: Final = 64  # finished jobs whose times are kept, the newest
WINDOW_S: Final = 60.0  # and no longer than this
STAGES: Final = ("queued", "batched", "drawn", "encoded", "elapsed")  # of a finished job's times


def activity_key(worker: str) -> str:
    """Text: a worker's `Activity`; it expires with the worker. One of the release before has none."""
    return f"unikat:activity:{worker}"


@dataclass(frozen=True)
class Running:
    """A job of a call in the hands of a worker: `done` of `images` are drawn, `age` seconds after it was enqueued."""

    id: str
    model: str
    caller: str
    images: int
    done: int
    age: float


@dataclass(frozen=True)
class Activity:
    """What a worker says of its work with every beat.

    `images_per_second` and `jobs_per_second` were delivered over the last minute, idle time included. `jobs` and
    `shards` are in hand, with `work_s` seconds of work left at the worker's own rate; `oldest` are the SHOWN jobs of
    calls that were enqueued first. `memory` is the process' resident memory in bytes, `loaded` the "name@version" of
    the models that it keeps loaded. `recent` has, for jobs that it finished in the last minute, the seconds of each of
    STAGES; "elapsed" is from enqueueing to the last image.
    """

    images_per_second: float = 0.0
    jobs_per_second: float = 0.0
    jobs: int = 0
    shards: int = 0
    work_s: float = 0.0
    memory: int = 0
    loaded: Sequence[str] = ()
    oldest: Sequence[Running] = ()
    recent: Sequence[Sequence[float]] = field(default_factory=list)

    def to_json(self) -> str:
        """JSON text, as stored under `activity_key(name)`."""
        # `asdict` would copy every number of `recent` with every beat.
        return json.dumps(vars(self) | {"oldest": [vars(job) for job in self.oldest]})

    @classmethod
    def from_json(cls, text: str | bytes) -> Activity:
        """The inverse of `to_json`; fields of later releases are passed over. Raises ValueError for anything else."""
        if len(text) > MAX_ACTIVITY:
            raise ValueError(f"an activity has at most {MAX_ACTIVITY} bytes")
        try:
            found = parse_json(text)
            facts: dict[str, Any] = {name: found[name] for name in cls.__dataclass_fields__ if name in found}
            running = [{name: job[name] for name in Running.__dataclass_fields__} for job in facts.get("oldest", ())]
            activity = cls(**facts | {"oldest": [Running(**job) for job in running]})
            sound = activity._is_sound()
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"not an activity: {error!r}") from error
        if not sound:
            raise ValueError("not an activity: a field is not of its type")
        return activity

    def _is_sound(self) -> bool:
        counts = [self.jobs, self.shards, self.memory, *(n for job in self.oldest for n in (job.images, job.done))]
        numbers = [self.images_per_second, self.jobs_per_second, self.work_s, *(job.age for job in self.oldest)]
        texts = [*self.loaded, *(text for job in self.oldest for text in (job.id, job.model, job.caller))]
        return (
            all(type(count) is int for count in counts)
            and all(map(is_finite, numbers))
            and all(isinstance(text, str) for text in texts)
            and all(len(times) == len(STAGES) and all(map(is_finite, times)) for times in self.recent)
        )
