"""What batches may take of Redis and of the workers' time: open batches, bytes, seconds of work.

`create_batch.lua` compares, so that services that create at the same moment do not exceed it together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from unikat.batches.spec import BatchSpec

# Measured (tests/queue/test_batch_budget.py): an id in a queue, and what a batch has besides its head and cells.
SHARD_BYTES: Final = 28
BATCH_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class Budget:
    """Open batches, bytes of all that are kept, seconds of work that are left of the open ones; 0: no limit."""

    open: int = 0
    bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a new batch is measured by: `own` is its owner's, `all` that of everybody together.

    `images_per_second`: at which its model is drawn; 0: not known, then it counts as no work.
    """

    own: Budget = Budget()
    all: Budget = Budget()
    images_per_second: float = 0.0

    def seconds(self, spec: BatchSpec) -> float:
        """Of work that a batch is expected to take."""
        return spec.total / self.images_per_second if self.images_per_second > 0 else 0.0


class BudgetSpent(Exception):
    """A batch was not created. `what`: "open", "bytes" or "seconds"; `whose`: "owner" or "all"."""

    def __init__(self, what: str, whose: str, used: int, limit: float) -> None:
        super().__init__(f"{what} of {whose}: {used} of {limit}")
        self.what, self.whose, self.used, self.limit = what, whose, used, limit


def bytes_of(head: str, cells: str, shards: int) -> int:
    """What a batch takes in Redis until it is forgotten, about."""
    return BATCH_BYTES + len(head.encode()) + len(cells.encode()) + SHARD_BYTES * shards
