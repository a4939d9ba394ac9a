"""A batch as Redis knows it. Facts are stored, state and counts follow from them, so that they cannot contradict."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from unikat.batches.spec import Cell
from unikat.conditions import to_messages
from unikat.recipes.messages import set_sequence
from unikat.refusal import ORIGINALITY
from unikat.v1.batches_pb2 import Batch, Pause, Plan, ShardFailure
from unikat.v1.studio_pb2 import CREDENTIALS_SIDECAR, CREDENTIALS_UNSPECIFIED, ORIGINALITY_MODE_UNSPECIFIED

# Fields of a batch's hash. Times are Unix times in seconds, on Redis' clock.
HEAD: Final = "head"  # the spec without its cells, as JSON
CONTENT: Final = "content"  # SHA-256 of the request
TOTAL: Final = "total"  # images
SHARDS: Final = "shards"
CREATED: Final = "created"
STARTED: Final = "started"
CANCELLED: Final = "cancelled"
ENDED: Final = "ended"
MANIFEST: Final = "manifest"
ROUND: Final = "round"  # 0, and one more with every retry
REVISION: Final = "revision"
BYTES: Final = "bytes"  # that it takes in Redis, about
PAUSED: Final = "paused"  # why
PAUSED_SINCE: Final = "paused_since"
PAUSED_UNTIL: Final = "paused_until"  # until then, no other worker tries

FAILURES_SHOWN: Final = 100
FAILURE_TEXT: Final = 1000  # characters of why, at most: a message stays far below what clients receive
_WINDOW: Final = 60.0  # seconds over which the rate is taken
_SHORT: Final = 1.0  # seconds between shards from which no rate can be told


@dataclass(frozen=True)
class BatchRecord:
    """What was read of a batch at one moment.

    `done` is the number of shards that are written, `last_done` whether the last one, which may be smaller, is among
    them; `failed` maps shards to why; `pace` holds (Unix time, images) of the shards written last, newest first;
    `refused` counts images of written shards that have no file.
    """

    id: str
    fields: Mapping[str, str]
    done: int
    last_done: bool
    failed: Mapping[int, str] = field(default_factory=dict)
    pace: Sequence[tuple[float, int]] = ()
    refused: int = 0

    @cached_property
    def head(self) -> dict[str, Any]:
        """The spec's fields, without cells."""
        head: dict[str, Any] = json.loads(self.fields[HEAD])
        return head

    @property
    def total(self) -> int:
        """Images in all."""
        return int(self.fields[TOTAL])

    @property
    def shards(self) -> int:
        return int(self.fields[SHARDS])

    @property
    def round(self) -> int:
        """How often it was retried."""
        return int(self.fields.get(ROUND, 0))

    @property
    def revision(self) -> int:
        """Grows with every change."""
        return int(self.fields.get(REVISION, 0))

    @property
    def is_cancelled(self) -> bool:
        return CANCELLED in self.fields

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to come, the manifest included."""
        return ENDED in self.fields

    @property
    def is_settled(self) -> bool:
        """Whether every shard is written or failed for good."""
        return self.done + len(self.failed) >= self.shards

    @property
    def settled(self) -> int:
        """Images of written shards: written or refused."""
        missing = self._shard_size - self._size(self.shards - 1) if self.last_done else 0
        return self.done * self._shard_size - missing

    @property
    def drawn(self) -> int:
        """Images written."""
        return self.settled - self.refused

    @property
    def failed_images(self) -> int:
        """Images of the shards that failed for good."""
        return sum(self._size(shard) for shard in self.failed)

    @property
    def _shard_size(self) -> int:
        return int(self.head["shard_size"])

    def _size(self, shard: int) -> int:
        return min(self._shard_size, self.total - shard * self._shard_size)

    @property
    def state(self) -> Batch.State:
        if self.is_cancelled:
            return Batch.STATE_CANCELLED
        if self.has_ended:
            return Batch.STATE_FAILED if self.failed else Batch.STATE_SUCCEEDED
        return Batch.STATE_RUNNING if STARTED in self.fields else Batch.STATE_QUEUED

    @property
    def rate(self) -> float:
        """Images written a second: lately, or over all once it has ended; 0 where it cannot be told."""
        if not self.pace or STARTED not in self.fields:
            return 0.0
        if self.has_ended:
            seconds = float(self.fields[ENDED]) - float(self.fields[STARTED])
            return self.settled / seconds if seconds > 0 else 0.0
        newest = self.pace[0][0]
        lately = [(at, images) for at, images in self.pace if newest - at <= _WINDOW]
        if newest - lately[-1][0] < _SHORT:  # a first shard, or several workers' at once: from the beginning
            lately.append((max(float(self.fields[STARTED]), newest - _WINDOW), 0))
        seconds = newest - lately[-1][0]
        return sum(images for _, images in lately[:-1]) / seconds if seconds > 0 else 0.0

    def to_message(self, cells: Sequence[Cell] = ()) -> Batch:
        """The message; with `cells`, its plans."""
        head, fields = self.head, self.fields
        batch = Batch(
            id=self.id,
            state=self.state,
            model=head["model"],
            model_digest=head["digest"],
            seed=head["seed"],
            truncation=head["truncation"],
            format=head["image_format"],
            layout=head["layout"],
            destination=head["destination"],
            shard_size=head["shard_size"],
            shard_count=self.shards,
            owner=head["owner"],
            labels=head["labels"],
            plans=[_plan(cell) for cell in cells],
            total_count=self.total,
            drawn_count=self.drawn,
            failed_count=self.failed_images,
            images_per_second=self.rate,
            failures=[self._failure(shard) for shard in sorted(self.failed)[:FAILURES_SHOWN]],
            create_time=_timestamp(fields[CREATED]),
            manifest=fields.get(MANIFEST, ""),
            revision=self.revision,
            background=head.get("background", ""),
            encryption_key=head.get("encryption_key", ""),
            refused_count=self.refused,
            originality=ORIGINALITY.get(head.get("originality", ""), ORIGINALITY_MODE_UNSPECIFIED),
            credentials=CREDENTIALS_SIDECAR if head.get("credentials") else CREDENTIALS_UNSPECIFIED,
        )
        for name, moment in (("start_time", STARTED), ("end_time", ENDED)):
            if moment in fields:
                getattr(batch, name).CopyFrom(_timestamp(fields[moment]))
        self._add_outlook(batch)
        return batch

    def _add_outlook(self, batch: Batch) -> None:
        """What is to be expected while it runs."""
        if batch.state != Batch.STATE_RUNNING:
            return
        if PAUSED in self.fields:
            since = _timestamp(self.fields[PAUSED_SINCE])
            batch.pause.CopyFrom(Pause(reason=self.fields[PAUSED], since=since))
        elif self.rate > 0:
            left = Duration()
            left.FromMilliseconds(round((self.total - self.settled - self.failed_images) / self.rate * 1000))
            batch.remaining.CopyFrom(left)

    def _failure(self, shard: int) -> ShardFailure:
        first = shard * self._shard_size
        why = self.failed[shard][:FAILURE_TEXT]
        return ShardFailure(shard=shard, first_index=first, count=self._size(shard), message=why)


def _plan(cell: Cell) -> Plan:
    plan = Plan(conditions=to_messages(cell.weights), count=cell.count)
    set_sequence(plan, cell.sequence)
    return plan


def _timestamp(text: str) -> Timestamp:
    stamp = Timestamp()
    stamp.FromMicroseconds(round(float(text) * 1e6))
    return stamp
