"""What a worker has in hand of batches: shards, model batches cut from them, and jobs that end a batch."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from rq.executions import Execution
from rq.job import Job

from unikat.batches.layout import DrawnImage
from unikat.batches.spec import ShardJob
from unikat.conditions import Weights
from unikat_worker.active import Ending
from unikat_worker.settlement import Settlement


@dataclass(eq=False)
class Item:
    """A job of a batch, and what RQ is to be told of it. `attempts` counts how often it was begun, this included."""

    rq: Job
    execution: Execution
    settlement: Settlement
    batch: str
    attempts: int
    prepared: bool = False
    ending: Ending | None = None
    error: BaseException | None = None


@dataclass(eq=False)
class ActiveShard(Item):
    """A shard with its cursor: `todo` are the positions that no model batch has taken, `images` what is drawn."""

    job: ShardJob = field(kw_only=True)
    owner: str = field(kw_only=True)
    todo: deque[int] = field(init=False)
    weights: list[Weights] = field(init=False)
    images: list[DrawnImage] = field(default_factory=list)
    was_done: bool = False  # somebody had written it before

    def __post_init__(self) -> None:
        self.todo = deque(range(self.job.count))
        self.weights = self.job.weights

    @property
    def is_open(self) -> bool:
        """Whether a model batch can be cut from it."""
        return self.ending is None and bool(self.todo)

    @property
    def is_drawn(self) -> bool:
        """Whether all its images are there."""
        return len(self.images) == self.job.count

    @property
    def outcome(self) -> dict[str, Any]:
        """What RQ's tools show once it is finished."""
        return {"images": self.job.count, "attempts": self.attempts}

    def cut(self, size: int) -> ShardBatch:
        """The next model batch."""
        return ShardBatch(self, [self.todo.popleft() for _ in range(min(size, len(self.todo)))])

    def untake(self, positions: Iterable[int]) -> None:
        """They were not drawn after all."""
        self.todo.extendleft(reversed(list(positions)))


@dataclass(eq=False)
class ActiveClose(Item):
    """The job that writes the manifest and ends the batch, once no other job of it is running."""

    round: int = field(kw_only=True)
    look_at: float = field(default_factory=time.monotonic)  # when it is next seen whether the others are through
    manifest: str = ""

    @property
    def outcome(self) -> dict[str, Any]:
        """What RQ's tools show once it is finished."""
        return {"manifest": self.manifest, "attempts": self.attempts}


AnyItem: TypeAlias = ActiveShard | ActiveClose


@dataclass(frozen=True, eq=False)
class ShardBatch:
    """Images of one shard that are drawn together. The inference thread fills in `images`, in the order of `positions`."""

    shard: ActiveShard
    positions: list[int]
    images: list[DrawnImage] = field(default_factory=list)

    @property
    def digest(self) -> str:
        """The model's."""
        return self.shard.job.digest


class RoundRobin:
    """The order in which owners are served, however many shards each has here."""

    def __init__(self) -> None:
        self._served: dict[str, int] = {}
        self._turn = 0

    def choose(self, shards: Iterable[ActiveShard]) -> ActiveShard | None:
        """An owner's oldest open shard: of the owner who has waited longest. `shards` come oldest first."""
        open_shards = [shard for shard in shards if shard.is_open]
        if not open_shards:
            return None
        self._served = {shard.owner: self._served.get(shard.owner, -1) for shard in open_shards}
        chosen = min(open_shards, key=lambda shard: self._served[shard.owner])
        self._turn += 1
        self._served[chosen.owner] = self._turn
        return chosen
