"""Jobs in the hands of a worker: their cursors, and how they ended. Changed under the scheduler's lock."""

from __future__ import annotations

import heapq
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, ClassVar, Final

from unikat.batches.layout import DrawnImage
from unikat.batches.spec import Cell, ShardJob
from unikat.queue.batches.keys import shard_of
from unikat.queue.batches.progress import TakenOfBatch
from unikat.queue.draws import Taken
from unikat.queue.job import DrawJob
from unikat.queue.stream import is_refusal
from unikat.recipes.sequence import MixSequence, sequence_from_json
from unikat.trace_context import trace_id_of
from unikat_worker.rows import Row, Terms, terms_of

_DUE_BYTES: Final = 2**24  # of a job's images that are published at a time; one image always is


class Ending(Enum):
    """How a job ended for this worker."""

    FINISHED = auto()
    CANCELLED = auto()  # by the client, or its deadline passed
    STOPPED = auto()  # by RQ's stop command
    FAILED = auto()
    RETURNED = auto()  # to its queue
    LOST = auto()  # somebody else has it, or it was deleted


class Refused(ValueError):
    """A payload that must not or cannot be drawn: no retry makes it better."""


@dataclass(eq=False)
class Item:
    """A job that this worker has begun. `kind` is the name of its span."""

    kind: ClassVar[str] = "job"
    taken: Taken
    ending: Ending | None = field(default=None, kw_only=True)
    error: BaseException | None = field(default=None, kw_only=True)
    taken_at: float = field(default_factory=time.monotonic, kw_only=True)  # on the monotonic clock
    trace: str = field(default="", kw_only=True)  # W3C context of the call that wanted it

    @property
    def id(self) -> str:
        """RQ's id of the job."""
        return self.taken.id

    @property
    def outcome(self) -> dict[str, Any]:
        """What RQ's tools show once it is finished: JSON values."""
        return {"attempts": self.taken.attempts}

    @property
    def fields(self) -> dict[str, str]:
        """What lines of a JSON log that are about it have beside their text."""
        trace_id = trace_id_of(self.trace)
        return {"job": self.id} | ({"trace_id": trace_id} if trace_id else {})

    def refuse(self, message: str) -> None:
        """It fails without a try."""
        self.ending, self.error = Ending.FAILED, Refused(message)


@dataclass(eq=False)
class Drawable(Item, ABC):
    """A job that wants images of a model, with its cursor: positions in the job, from 0 to `count` - 1.

    `next` is the first image that no batch has taken, `again` those to be drawn once more.
    """

    next: int = field(default=0, kw_only=True)
    again: list[int] = field(default_factory=list, kw_only=True)  # a heap
    in_flight: int = field(default=0, kw_only=True)  # batches with images of it
    is_fresh: bool = field(default=True, kw_only=True)  # no batch has taken an image of it here
    solo: bool = field(default=False, kw_only=True)  # shares no batch: it was there when a batch or a worker died
    suspect: bool = field(default=False, kw_only=True)  # workers died with it; one such job is drawn at a time

    @property
    @abstractmethod
    def count(self) -> int:
        """Number of images."""

    @property
    @abstractmethod
    def digest(self) -> str:
        """The model's."""

    @abstractmethod
    def row(self, position: int) -> Row:
        """What is to be drawn."""

    @property
    def outcome(self) -> dict[str, Any]:
        """See `Item`."""
        return {"images": self.count, "attempts": self.taken.attempts}

    @property
    def remaining(self) -> int:
        """Images that no batch has taken."""
        return 0 if self.ending else self.count - self.next + len(self.again)

    @property
    def is_begun(self) -> bool:
        """Whether images of it are being drawn, or are drawn and nowhere yet."""
        return self.in_flight > 0

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
        self.is_fresh = False
        return images

    def give_back(self, positions: Iterable[int]) -> None:
        """The batch with these images failed; they are drawn again, in a batch of this job's own."""
        for position in positions:
            heapq.heappush(self.again, position)
        self.solo = True


@dataclass(eq=False)
class ActiveJob(Drawable):
    """A job whose images go into a stream.

    `published` is the first image that is not in the stream, `ready` are the drawn ones that are not. `publishing`: a
    thread has sent what is ready and not heard of it.
    """

    draw: DrawJob
    published: int = 0
    seen_at: float = field(default_factory=time.monotonic)  # when its stream was last known to be open
    drawn_at: float = 0.0  # when a batch with images of it was last drawn, as far as metrics are kept; monotonic
    ready: dict[int, bytes] = field(default_factory=dict)
    publishing: bool = False
    refused: set[int] = field(default_factory=set)  # positions of which the stream has, or will have, a refusal
    times: tuple[float, ...] = ()  # seconds that the image took that was drawn last, as `drawing.Times`
    terms: Terms | None = field(init=False)
    sequence: MixSequence | None = field(init=False)

    def __post_init__(self) -> None:
        self.next = max(self.next, self.published)
        self.trace = self.draw.trace
        self.terms = terms_of(self.draw)
        self.sequence = sequence_from_json(self.draw.recipe) if self.draw.recipe else None

    @property
    def count(self) -> int:
        """See `Drawable`."""
        return self.draw.count

    @property
    def digest(self) -> str:
        """See `Drawable`."""
        return self.draw.digest

    @property
    def fields(self) -> dict[str, str]:
        """See `Item`."""
        return super().fields | {"model": self.draw.model, "caller": self.draw.caller}

    def row(self, position: int) -> Row:
        """See `Drawable`."""
        draw = self.draw
        place = draw.seed, draw.first + position
        finish = draw.background, draw.encoder, draw.mark
        mix = None if self.sequence is None else self.sequence.at(draw.first + position)
        return Row(draw.weights, *place, draw.truncation, *finish, terms=self.terms, attempt=draw.attempt, mix=mix)

    @property
    def is_begun(self) -> bool:
        """See `Drawable`."""
        return bool(self.in_flight or self.ready)

    @property
    def is_complete(self) -> bool:
        """Whether its stream holds every image."""
        return self.published == self.draw.count

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
        self.suspect = False  # it got on
        self.next = max(self.next, published)
        if self.again:
            self.again = [index for index in self.again if index >= published]
            heapq.heapify(self.again)
        self.ready = {index: entry for index, entry in self.ready.items() if index >= published}

    @property
    def elapsed(self) -> float:
        """Seconds since it was enqueued."""
        return self.taken.begun_at - self.draw.enqueued_at + time.monotonic() - self.taken_at

    def keep(self, position: int, entry: bytes) -> None:
        """An image is drawn, or refused: this goes into the stream."""
        self.ready[position] = entry
        if is_refusal(entry):
            self.refused.add(position)

    @property
    def outcome(self) -> dict[str, Any]:
        """See `Item`."""
        refused = {"refused": len(self.refused)} if self.refused else {}
        return super().outcome | {"images": self.count - len(self.refused)} | refused

    def due(self, most: int) -> list[bytes]:
        """At most `most` drawn images that can be published now, in order, and no more than some megabytes of them."""
        due: list[bytes] = []
        size = 0
        while (
            len(due) < most and size < _DUE_BYTES and (entry := self.ready.get(self.published + len(due))) is not None
        ):
            due.append(entry)
            size += len(entry)
        return due


@dataclass(eq=False)
class OfBatch(Item):
    """A job of a batch. `found` is what was known of the batch when it was taken."""

    found: TakenOfBatch
    destination: str = field(default="", kw_only=True)  # the batch's; "" for one that was deleted
    encryption_key: str = field(default="", kw_only=True)  # id of the key of the batch's files, "" for none
    touched_at: float = field(default=0.0, kw_only=True)  # its writer's last step forward, on the monotonic clock

    @property
    def fields(self) -> dict[str, str]:
        """See `Item`."""
        return super().fields | {"batch": self.batch}

    def touch(self) -> None:
        """Its writer gets on."""
        self.touched_at = time.monotonic()

    @property
    def batch(self) -> str:
        """The batch's id."""
        return self.found.batch

    @property
    def shard(self) -> int | None:
        """Its number in the batch; None if it is no shard."""
        return shard_of(self.batch, self.id)


@dataclass(eq=False)
class ActiveShard(OfBatch, Drawable):
    """A shard, whose images go into files once all of them are there. `drawn` are those that are.

    `signed` are Content Credentials by the images' indexes, kept for a next try to write it.
    """

    kind = "shard"
    job: ShardJob
    owner: str
    places: list[tuple[Cell, int]] = field(init=False)
    terms: Terms | None = field(init=False)
    drawn: list[DrawnImage] = field(default_factory=list)
    signed: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.places = self.job.places  # not their mixes: those of a large shard take a second
        self.terms = terms_of(self.job)

    @property
    def count(self) -> int:
        """See `Drawable`."""
        return len(self.places)

    @property
    def digest(self) -> str:
        """See `Drawable`."""
        return self.job.digest

    @property
    def fields(self) -> dict[str, str]:
        """See `Item`."""
        return super().fields | {"model": self.job.model, "caller": self.owner}

    def row(self, position: int) -> Row:
        """See `Drawable`."""
        job = self.job
        place = job.seed, job.first + position
        finish = job.background, job.encoder, job.mark
        cell, place_in_cell = self.places[position]
        mix = cell.mix(place_in_cell) if job.recipes else None
        return Row(cell.weights, *place, job.truncation, *finish, terms=self.terms, mix=mix)

    @property
    def is_begun(self) -> bool:
        """See `Drawable`."""
        return bool(self.in_flight or self.drawn)

    @property
    def refused(self) -> int:
        """Images that were drawn and get no file."""
        return sum(bool(image.refused) for image in self.drawn)


@dataclass(eq=False)
class ActiveClose(OfBatch):
    """The job that writes a batch's manifest and ends it, once no other job of it is running."""

    kind = "close"
    round: int
    look_at: float = field(default_factory=time.monotonic)  # when it is next seen whether the others are through
    manifest: str = ""

    @property
    def outcome(self) -> dict[str, Any]:
        """See `Item`."""
        return {"manifest": self.manifest, "attempts": self.taken.attempts}


@dataclass(frozen=True, eq=False)
class Batch:
    """Images of one model that are drawn together. `alone`: nothing else is being drawn."""

    digest: str
    shares: Sequence[tuple[Drawable, list[int]]]
    alone: bool

    @property
    def size(self) -> int:
        """Number of images."""
        return sum(len(positions) for _, positions in self.shares)

    @property
    def is_wanted(self) -> bool:
        """Whether some job of it has not ended meanwhile."""
        return any(job.ending is None for job, _ in self.shares)
