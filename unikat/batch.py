"""A batch as the client shows it, and the request that creates one. No I/O happens here."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from os import PathLike, fspath
from typing import Final, SupportsIndex, TypedDict

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from unikat.artwork import where_of
from unikat.errors import InvalidRequest, bad_field
from unikat.recipes.messages import sequence_of_message, set_sequence
from unikat.recipes.sequence import Walk
from unikat.refusal import ORIGINALITY
from unikat.request import (
    CREDENTIALS,
    FORMAT_NAMES,
    RecipeLike,
    Where,
    conditions_of,
    credentials_of,
    format_of,
    given_or_picked,
    number,
    originality_of,
    sequence_of,
    text,
    whole,
)
from unikat.v1 import batches_pb2 as pb
from unikat.v1.studio_pb2 import IMAGE_FORMAT_PNG

LAYOUTS: Final[dict[str, pb.Layout]] = {"files": pb.LAYOUT_FILES, "webdataset": pb.LAYOUT_WEBDATASET}
LAYOUT_NAMES: Final[dict[int, str]] = {number: name for name, number in LAYOUTS.items()}
ALL: Final = "*"

# Attribute -> the categories to combine; "*" stands for all of the model's, another text for one category.
Grid = Mapping[str, str | Sequence[str]]


class BatchState(StrEnum):
    """State of a batch. It has ended, with all that follows, when `Batch.ended` is set."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class Plan:
    """`count` images with the same conditions, in the form in which `generate` takes them.

    With a `recipe` that has no mutation `count` is 1, with a `walk` at most the number of its frames.
    """

    where: Where
    count: int
    recipe: RecipeLike | None = None
    walk: Walk | None = None


@dataclass(frozen=True)
class Pause:
    """Why nothing is written at the moment, in the words of the destination, and since when."""

    reason: str
    since: datetime


@dataclass(frozen=True)
class ShardFailure:
    """A shard that failed for good: `count` images from `first_index` on, and why."""

    shard: int
    first_index: int
    count: int
    message: str


@dataclass(frozen=True)
class Batch:
    """A batch at one moment.

    `model` is "name@version"; `destination` and `manifest` are URLs, `manifest` is None until it is written; what is
    drawn is in `plans`, in the order of the indexes (empty in lists and while watching); `total`, `drawn`, `failed` and
    `refused` (drawn, and not delivered) count images; `remaining` is in seconds, None where it cannot be told; times
    are in UTC; `ended` is None while more is to come.
    """

    id: str
    state: BatchState
    model: str
    model_digest: str
    seed: int
    truncation: float
    format: str
    layout: str
    destination: str
    shard_size: int
    shard_count: int
    owner: str
    labels: Mapping[str, str]
    plans: tuple[Plan, ...]
    total: int
    drawn: int
    failed: int
    images_per_second: float
    remaining: float | None
    pause: Pause | None
    failures: tuple[ShardFailure, ...]
    created: datetime
    started: datetime | None
    ended: datetime | None
    manifest: str | None
    revision: int
    background: str = ""
    encryption_key: str = ""
    refused: int = 0
    originality: str = ""
    credentials: str = "none"

    @property
    def settled(self) -> int:
        """Images that are through: written or refused."""
        return self.drawn + self.refused

    @classmethod
    def of(cls, message: pb.Batch) -> Batch:
        pause = Pause(message.pause.reason, _moment(message.pause.since)) if message.HasField("pause") else None
        return cls(
            id=message.id, state=BatchState(pb.Batch.State.Name(message.state).removeprefix("STATE_")),
            model=message.model, model_digest=message.model_digest, seed=message.seed, truncation=message.truncation,
            format=FORMAT_NAMES[message.format or IMAGE_FORMAT_PNG],
            layout=LAYOUT_NAMES[message.layout or pb.LAYOUT_FILES],
            destination=message.destination, shard_size=message.shard_size, shard_count=message.shard_count,
            owner=message.owner, labels=dict(sorted(message.labels.items())),
            plans=tuple(map(_plan_of, message.plans)),
            total=message.total_count, drawn=message.drawn_count, failed=message.failed_count,
            images_per_second=message.images_per_second,
            remaining=message.remaining.ToTimedelta().total_seconds() if message.HasField("remaining") else None,
            pause=pause, failures=tuple(ShardFailure(f.shard, f.first_index, f.count, f.message)
                                        for f in message.failures),
            created=_moment(message.create_time), started=_moment_if(message, "start_time"),
            ended=_moment_if(message, "end_time"), manifest=message.manifest or None, revision=message.revision,
            background=message.background, encryption_key=message.encryption_key, refused=message.refused_count,
            originality=next((name for name, mode in ORIGINALITY.items() if mode == message.originality), ""),
            credentials=next((name for name, of in CREDENTIALS.items() if of == message.credentials), "none"),
        )  # fmt: skip


def _moment(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(UTC)


def _moment_if(message: Message, field: str) -> datetime | None:
    return _moment(getattr(message, field)) if message.HasField(field) else None


class BatchOptions(TypedDict, total=False):
    """How a batch is drawn; every one may be left out. `Studio.create_batch` explains them."""

    seed: SupportsIndex | None
    truncation: float | None
    format: str
    background: str
    encryption_key: str
    originality: str | None
    credentials: str
    layout: str
    owner: str
    labels: Mapping[str, str] | None
    shard_size: SupportsIndex
    request_id: str | None


@dataclass(frozen=True)
class Wish:
    """What a batch draws: plans, a grid, or neither. `where` is what all images have in common."""

    plans: Iterable[Plan] | None = None
    grid: Grid | None = None
    where: Where | None = None
    count: SupportsIndex | None = None

    def fill(self, request: pb.CreateBatchRequest) -> None:
        """Write it into a request. Raises InvalidRequest for what contradicts itself or does not fit a message."""
        if self.plans is not None:
            if self.count is not None and self.grid is None:
                raise InvalidRequest(bad_field("count", "leave it out: every plan has a count of its own"))
            request.plans.extend(self._given(self.plans))
        count = whole("count", 1 if self.count is None else self.count)
        if self.grid is not None:
            axes = [pb.Axis(attribute=name, categories=_categories(name, of)) for name, of in self.grid.items()]
            request.grid.CopyFrom(pb.Grid(axes=axes, count=count, conditions=conditions_of(self.where or {})))
        elif self.plans is None:
            request.plans.append(pb.Plan(conditions=conditions_of(self.where or {}), count=count))

    def _given(self, plans: Iterable[Plan]) -> Iterator[pb.Plan]:
        common = self.where or {}
        for position, plan in enumerate(plans):
            field = f"plans[{position}]"
            count = whole(f"{field}.count", plan.count)
            twice = sorted(set(common) & set(plan.where))
            if twice:
                raise InvalidRequest(bad_field(field, f'"{twice[0]}" is named here and in what all have in common'))
            message = pb.Plan(conditions=conditions_of({**common, **plan.where}, f"{field}.conditions"), count=count)
            set_sequence(message, sequence_of(plan.recipe, plan.walk, f"{field}."))
            yield message


def _plan_of(message: pb.Plan) -> Plan:
    sequence = sequence_of_message(message)
    where = where_of(message.conditions)
    if isinstance(sequence, Walk):
        return Plan(where, message.count, walk=sequence)
    return Plan(where, message.count, recipe=sequence)


def _categories(attribute: str, categories: str | Sequence[str]) -> list[str]:
    if isinstance(categories, str):
        return [] if categories == ALL else [categories]
    if not categories:  # an empty axis would be taken for all
        raise InvalidRequest(bad_field("grid", f'"{attribute}" has no categories; "{ALL}" takes all'))
    return list(categories)


def create_request(
    model: str,
    wish: Wish,
    to: str | PathLike[str],
    *,
    seed: SupportsIndex | None = None,
    truncation: float | None = None,
    format: str = "png",
    background: str = "",
    encryption_key: str = "",
    originality: str | None = None,
    credentials: str = "none",
    layout: str = "files",
    owner: str = "",
    labels: Mapping[str, str] | None = None,
    shard_size: SupportsIndex = 0,
    request_id: str | None = None,
) -> pb.CreateBatchRequest:
    """A request that can be sent twice and mean the same: it always has a seed and a request_id.

    Raises InvalidRequest for what a message cannot hold; the service checks the rest.
    """
    if layout not in LAYOUTS:
        raise InvalidRequest(bad_field("layout", f"must be one of {', '.join(LAYOUTS)}, not {layout!r}"))
    request = pb.CreateBatchRequest(
        model=model, seed=given_or_picked(seed), format=format_of(format), layout=LAYOUTS[layout],
        background=text("background", background), destination=fspath(to), owner=owner, labels=_labels(labels or {}),
        shard_size=whole("shard_size", shard_size), encryption_key=text("encryption_key", encryption_key),
        originality=originality_of(originality), credentials=credentials_of(credentials),
        request_id=request_id if request_id is not None else str(uuid.uuid4()),
    )  # fmt: skip
    if truncation is not None:
        request.truncation = number("truncation", truncation)
    wish.fill(request)
    return request


def _labels(labels: Mapping[str, str]) -> dict[str, str]:
    for key, value in labels.items():
        if not (isinstance(key, str) and isinstance(value, str)):
            raise InvalidRequest(bad_field("labels", f"keys and values must be text, not {key!r}: {value!r}"))
    return dict(labels)


def list_request(states: Iterable[BatchState | str], owner: str) -> pb.ListBatchesRequest:
    """The request of the first page. Raises ValueError for a state that there is not."""
    asked = list(states)
    for state in asked:
        if state not in BatchState.__members__:
            raise ValueError(f"states: must be of {', '.join(BatchState)}, not {state!r}")
    return pb.ListBatchesRequest(states=[f"STATE_{state}" for state in asked], owner=owner)
