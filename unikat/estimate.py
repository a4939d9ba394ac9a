"""How much work a call or a batch would be, before it is asked for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from typing import SupportsIndex, TypedDict, Unpack

from unikat.asking import ASK_AGAIN, Asker
from unikat.batch import BatchOptions, Grid, Plan, Wish, create_request
from unikat.recipes.sequence import Walk
from unikat.request import RecipeLike, Where, generate_request
from unikat.v1.studio_pb2 import WorkEstimate

HOUR_S = 3600.0


@dataclass(frozen=True)
class Estimate:
    """What a call or a batch would be, at the rates that live workers say of themselves.

    `work` is the seconds that `images` take the `workers` that serve `model` ("name@version") when they do nothing
    else, at `images_per_second` together: what the service's quotas count. `ahead` is the work that is in progress
    (s), `expected` until the last image if all of that comes first; callers take turns, so that a small call has its
    images sooner. None where no worker has drawn for a call yet, so that nothing is known.
    """

    model: str
    images: int
    workers: int
    images_per_second: float | None
    work: float | None
    ahead: float
    expected: float | None

    @classmethod
    def of(cls, message: WorkEstimate) -> Estimate:
        def seconds(name: str) -> float | None:
            if not message.HasField(name):
                return None
            return float(getattr(message, name).ToTimedelta().total_seconds())

        return cls(
            message.model, message.count, message.worker_count, message.images_per_second or None, seconds("work"),
            seconds("ahead") or 0.0, seconds("expected"),
        )  # fmt: skip

    def price(self, per_hour: float) -> float | None:
        """What the work costs where an hour of one worker costs `per_hour`; None where nothing is known."""
        return None if self.work is None else self.work * self.workers / HOUR_S * per_hour


class EstimateOptions(TypedDict, total=False):
    """Arguments of `generate` that are checked with an estimate."""

    first_index: SupportsIndex
    seed: SupportsIndex | None
    recipe: RecipeLike | None
    walk: Walk | None
    truncation: float | None
    format: str
    background: str
    credentials: str
    originality: str | None
    attempt: SupportsIndex


class Estimating(Asker):
    """The methods of a studio that ask for estimates."""

    async def estimate(
        self,
        model: str,
        where: Where | None = None,
        *,
        count: SupportsIndex | None = None,
        timeout: float = 10.0,
        **options: Unpack[EstimateOptions],
    ) -> Estimate:
        """What `generate` with these arguments would be; nothing is drawn.

        The arguments are checked as there: raises the same errors, `unikat.errors.InvalidRequest` among them.
        """
        request = generate_request(model, where, count=count, **options)
        return Estimate.of(await self._ask(self._link.studio.EstimateWork, request, timeout, ASK_AGAIN))

    async def estimate_batch(
        self,
        model: str,
        *,
        to: str | PathLike[str],
        plans: Iterable[Plan] | None = None,
        grid: Grid | None = None,
        where: Where | None = None,
        count: SupportsIndex | None = None,
        timeout: float = 60.0,
        **options: Unpack[BatchOptions],
    ) -> Estimate:
        """What `create_batch` with these arguments would be; nothing is queued. Raises the same errors."""
        request = create_request(model, Wish(plans, grid, where, count), to, **options)
        return Estimate.of(await self._ask(self._link.batches.EstimateBatch, request, timeout, ASK_AGAIN))
