"""What waits in Redis, for those who watch: jobs and images by model, what is charged for calls, open batches."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, cast

from redis import Redis

from unikat.queue.draws import run_script

LOOKED_AT: Final = 64  # jobs of a queue whose images are counted; those behind them are taken to be like them


@dataclass(frozen=True)
class Amount:
    """Of one model's: `jobs` that wait for a worker, or batches that are open, and their `images`, about."""

    jobs: int = 0
    images: float = 0.0


@dataclass(frozen=True)
class Waiting:
    """`queued` and `batches` by "name@version"; `seconds` of work and `bytes` are charged for calls in progress.

    `paused` counts open batches that wait for their destination.
    """

    queued: Mapping[str, Amount]
    batches: Mapping[str, Amount]
    paused: Mapping[str, int]
    seconds: float
    bytes: int


def waiting(redis: Redis, fades_s: int) -> Waiting:
    """What waits now; a charge that nobody gives back fades in `fades_s`. Raises RedisError."""
    queues, (seconds, size), batches = cast(list[Any], run_script("waiting", redis, fades_s, LOOKED_AT))
    queued: dict[str, Amount] = {}
    for key, jobs, images in queues:
        _add(queued, key.decode().partition(".")[0], jobs, float(images))
    opened: dict[str, Amount] = {}
    paused: dict[str, int] = {}
    for head, left, is_paused in batches:
        model = _model_of(head)
        _add(opened, model, 1, float(left))
        paused[model] = paused.get(model, 0) + is_paused
    return Waiting(queued, opened, paused, float(seconds), int(size))


def _add(amounts: dict[str, Amount], model: str, jobs: int, images: float) -> None:
    before = amounts.get(model, Amount())
    amounts[model] = Amount(before.jobs + jobs, before.images + images)


def _model_of(head: bytes) -> str:
    """The model of a batch; "" where what Redis holds of it is damaged."""
    with suppress(ValueError, KeyError, TypeError):
        return str(json.loads(head)["model"])
    return ""
