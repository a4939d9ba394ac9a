"""A draw job in the hands of a worker: its cursor, and how it ended."""

from __future__ import annotations

import heapq
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from unikat.queue.draws import Taken
from unikat.queue.job import DrawJob


class Ending(Enum):
    """How a job ended for this worker."""

    FINISHED = auto()
    CANCELLED = auto()  # by the client, or its deadline passed
    STOPPED = auto()  # by RQ's stop command
    FAILED = auto()
    RETURNED = auto()  # to its queue
    LOST = auto()  # somebody else has it, or it was deleted


@dataclass(eq=False)
class ActiveJob:
    """A job with its cursor. Changed under the scheduler's lock.

    `next` is the first image that no batch has taken, `published` the first that is not in the stream, `ready` the
    drawn ones that are not. `solo` jobs share no batch, because they were there when a batch or a worker died.
    `publishing`: a thread has sent what is ready and not heard of it.
    """

    taken: Taken
    draw: DrawJob
    published: int = 0
    solo: bool = False
    taken_at: float = field(default_factory=time.time)
    seen_at: float = field(default_factory=time.monotonic)  # when its stream was last known to be open
    next: int = 0
    ready: dict[int, bytes] = field(default_factory=dict)
    again: list[int] = field(default_factory=list)  # a heap: images to be drawn once more
    in_flight: int = 0  # batches with images of it
    publishing: bool = False
    ending: Ending | None = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.next = max(self.next, self.published)

    @property
    def id(self) -> str:
        """RQ's id of the job."""
        return self.taken.id

    @property
    def remaining(self) -> int:
        """Images that no batch has taken."""
        return 0 if self.ending else self.draw.count - self.next + len(self.again)

    @property
    def is_complete(self) -> bool:
        """Whether its stream holds every image."""
        return self.published == self.draw.count

    @property
    def is_fresh(self) -> bool:
        """Whether no image of it was drawn here yet."""
        return self.next == self.published and not self.in_flight

    @property
    def outcome(self) -> dict[str, Any]:
        """What RQ's tools show once it is finished."""
        return {"images": self.draw.count, "attempts": self.taken.attempts}

    def take(self, count: int) -> list[int]:
        """The next `count` images, for a batch."""
        images = []
        for _ in range(count):
            if self.again:
                images.append(heapq.heappop(self.again))
            else:
                images.append(self.next)
                self.next += 1
        self.in_flight += 1
        return images

    def give_back(self, indices: Iterable[int]) -> None:
        """The batch with these images failed; they are drawn again, in a batch of this job's own."""
        for index in indices:
            heapq.heappush(self.again, index)
        self.solo = True

    def advance(self, published: int) -> None:
        """The stream holds so many images, whoever published them: more than was known, or after a loss fewer."""
        self.seen_at = time.monotonic()
        if published < self.published:
            for index in range(published, self.published):
                heapq.heappush(self.again, index)
            self.published = published
            return
        if published == self.published:
            return
        self.published = published
        self.next = max(self.next, published)
        if self.again:
            self.again = [index for index in self.again if index >= published]
            heapq.heapify(self.again)
        self.ready = {index: entry for index, entry in self.ready.items() if index >= published}

    def due(self, most: int) -> list[bytes]:
        """At most `most` drawn images that can be published now, in order."""
        due: list[bytes] = []
        while len(due) < most and (entry := self.ready.get(self.published + len(due))) is not None:
            due.append(entry)
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
