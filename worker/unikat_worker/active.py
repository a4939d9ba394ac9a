"""The jobs that are being drawn, and whose turn it is."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from rq.executions import Execution
from rq.job import Job

from unikat.queue.job import DrawJob
from unikat.queue.stream import stream_key


class Ending(Enum):
    """How a job's stream ended."""

    FINISHED = auto()
    CANCELLED = auto()  # by the client, or its deadline passed
    STOPPED = auto()  # by RQ's stop command
    FAILED = auto()
    RETURNED = auto()  # to the front of its queue
    LOST = auto()  # the lease ran out and somebody else has it


@dataclass(eq=False)
class ActiveJob:
    """A job with its cursor.

    `next` is the first image that no batch has taken, `published` the first that is not in the stream, `ready` the
    drawn ones that wait for an earlier one. `attempts` counts how often it was begun, this time included; `solo`
    jobs share no batch, because they were there when a batch or a worker died.
    """

    rq: Job
    execution: Execution
    draw: DrawJob
    published: int
    attempts: int
    solo: bool = False
    taken_at: float = field(default_factory=time.time)
    seen_at: float = field(default_factory=time.monotonic)  # when its stream was last known to be open
    next: int = 0
    ready: dict[int, bytes] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)  # a heap: images whose batch failed
    in_flight: int = 0
    prepared: bool = False
    ending: Ending | None = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.next = max(self.next, self.published)

    @property
    def key(self) -> str:
        """Key of its stream."""
        return stream_key(self.rq.id)

    @property
    def remaining(self) -> int:
        """Images that no batch has taken."""
        return 0 if self.ending else self.draw.count - self.next + len(self.again)

    @property
    def outcome(self) -> dict[str, Any]:
        """What RQ's tools show once it is finished."""
        return {"images": self.draw.count, "attempts": self.attempts}

    @property
    def is_fresh(self) -> bool:
        """Whether it has had no turn yet."""
        return self.next == self.published and not self.in_flight

    def take(self, count: int) -> list[int]:
        """The next `count` images, for a batch."""
        taken = []
        for _ in range(count):
            if self.again:
                taken.append(heapq.heappop(self.again))
            else:
                taken.append(self.next)
                self.next += 1
        self.in_flight += 1
        return taken

    def give_back(self, indices: Iterable[int]) -> None:
        """The batch with these images failed; they are drawn again, in a batch of this job's own."""
        for index in indices:
            heapq.heappush(self.again, index)
        self.solo = True

    def advance(self, published: int) -> None:
        """The stream is known to hold so many images, whoever published them."""
        self.published = max(self.published, published)
        self.next = max(self.next, self.published)
        self.again = [index for index in self.again if index >= self.published]
        heapq.heapify(self.again)
        for index in [index for index in self.ready if index < self.published]:
            del self.ready[index]
        self.seen_at = time.monotonic()

    def due(self) -> list[int]:
        """The drawn images that can be published now, in order."""
        due: list[int] = []
        while self.published + len(due) in self.ready:
            due.append(self.published + len(due))
        return due


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one model that are drawn together. `alone`: nothing else is being drawn."""

    digest: str
    shares: list[tuple[ActiveJob, list[int]]]
    alone: bool

    @property
    def size(self) -> int:
        """Number of images."""
        return sum(len(indices) for _, indices in self.shares)


class Rota:
    """The active jobs in the order of their turns: who was served goes to the end."""

    def __init__(self) -> None:
        self._jobs: list[ActiveJob] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[ActiveJob]:
        return iter(list(self._jobs))

    @property
    def fresh(self) -> int:
        """Jobs that have had no turn yet."""
        return sum(job.is_fresh for job in self._jobs)

    def add(self, job: ActiveJob) -> None:
        """A new job."""
        self._jobs.append(job)

    def remove(self, job: ActiveJob) -> None:
        """It has ended."""
        self._jobs.remove(job)

    def compose(self, limit: Callable[[str], int], spread: int, idle: bool) -> Batch | None:
        """The next batch: one image of each job in turn, of the model whose turn it is, None if nothing is left.

        `limit` gives the largest batch for a digest; `spread` is the number of batches that what is there should
        make, so that all lanes have work; `idle`: no lane is drawing.
        """
        open_jobs = [job for job in self._jobs if job.remaining]
        if not open_jobs:
            return None
        first = open_jobs[0]
        members = [job for job in open_jobs if job.draw.digest == first.draw.digest and not job.solo]
        if first.solo:
            members = [first]
        available = sum(job.remaining for job in members)
        alone = idle and available == 1 and len(open_jobs) == 1
        size = min(limit(first.draw.digest), -(-available // spread))
        shares = [(job, job.take(count)) for job, count in _deal(members, size)]
        served = {id(job) for job, _ in shares}
        self._jobs = [job for job in self._jobs if id(job) not in served] + [job for job, _ in shares]
        return Batch(first.draw.digest, shares, alone)


def _deal(members: Sequence[ActiveJob], size: int) -> list[tuple[ActiveJob, int]]:
    """`size` images over jobs, one each in turn."""
    counts = [0] * len(members)
    left = size
    while left:
        for position, job in enumerate(members):
            if left and counts[position] < job.remaining:
                counts[position] += 1
                left -= 1
    return [(job, count) for job, count in zip(members, counts, strict=True) if count]
