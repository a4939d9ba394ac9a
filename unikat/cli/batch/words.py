"""Batches in words: what commands say of them, and where a batch is meant by its id."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from unikat.cli import options
from unikat.cli.output import counted
from unikat.cli.problems import BAD_INPUT, Problem, connect, did_you_mean
from unikat.cli.where import describe

if TYPE_CHECKING:
    from unikat.batch import Batch, Pause, Plan
    from unikat.client import Studio

Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the batch; `unikat batch list` has them.")]

SHOWN: Final = 12  # categories of an attribute, before "and 20 more"
SUGGESTED: Final = 200  # batches, the newest, among which one that is spelled alike is looked for


def span(seconds: float) -> str:
    """A time that has passed or will: "8 s", "3 min 05 s", "2 h 07 min", "3 d 4 h"."""
    whole = max(0, round(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if whole < 60:
        return f"{whole} s"
    if hours == 0:
        return f"{minutes} min {whole % 60:02} s"
    return f"{hours} h {minutes % 60:02} min" if days == 0 else f"{days} d {hours % 24} h"


def seconds(amount: float) -> str:
    """ "0 ms", "4.2 ms", "380 ms", "3.1 s", "3 min 05 s"."""
    if amount < 1:
        return f"{amount * 1000:.3g} ms" if amount * 1000 < 100 else f"{amount * 1000:.0f} ms"
    return f"{amount:.1f} s" if amount < 60 else span(amount)


def age(moment: datetime) -> str:
    """How long ago something was."""
    return span((datetime.now(UTC) - moment).total_seconds())


def rate(images_per_second: float) -> str:
    """ "312 images/s"; nothing where it cannot be told."""
    if images_per_second <= 0:
        return ""
    return f"{images_per_second:,.0f} images/s" if images_per_second >= 10 else f"{images_per_second:.1f} images/s"


def not_written(batch: Batch) -> list[str]:
    """ "12 refused", "256 failed": what has no file."""
    counts = ((batch.refused, "refused"), (batch.failed, "failed"))
    return [f"{count:,} {what}" for count, what in counts if count]


def outlook(batch: Batch) -> str:
    """Rate and time left, as far as they can be told."""
    left = f"{span(batch.remaining)} left" if batch.remaining else ""
    return ", ".join(filter(None, [rate(batch.images_per_second), left]))


def indexes(first: int, count: int) -> str:
    """ "images 512 to 767"."""
    return f"image {first}" if count == 1 else f"images {first} to {first + count - 1}"


def place(url: str) -> str:
    """A destination as people write it: a path for a folder."""
    return url.removeprefix("file://") if url.startswith("file:///") else url


def near(url: str) -> str:
    """As `place`, and short where it is below the current folder."""
    path, here = place(url), Path.cwd()
    return str(Path(path).relative_to(here)) if path.startswith(f"{here}/") else path


def command(target: str, *words: str) -> str:
    """A command to copy; where the service is goes along if nothing else says it."""
    known = target == os.environ.get("UNIKAT_TARGET", options.DEFAULT_TARGET)
    return shlex.join(["unikat", "batch", *words, *([] if known else ["--target", target])])


def why_paused(pause: Pause) -> str:
    return f"paused for {age(pause.since)}: {pause.reason}; it goes on by itself when that works again"


def cells(plans: Sequence[Plan]) -> str:
    """ "14 combinations of 100 images = 1,400 images"."""
    total, counts = counted(sum(plan.count for plan in plans), "image"), {plan.count for plan in plans}
    if len(plans) <= 1:
        return total
    each = f" of {counted(counts.pop(), 'image')}" if len(counts) == 1 else ""
    return f"{counted(len(plans), 'combination')}{each} = {total}"


def asked(plans: Sequence[Plan]) -> list[tuple[str, str]]:
    """For every attribute that is asked for, what."""
    found: dict[str, dict[str, None]] = {}
    for plan in plans:
        for attribute, value in plan.where.items():
            found.setdefault(attribute, {})[describe(value)] = None
    return [(attribute, _listed(list(values))) for attribute, values in found.items()]


def _listed(values: list[str]) -> str:
    more = f" and {len(values) - SHOWN} more" if len(values) > SHOWN else ""
    number = f"{len(values)}: " if len(values) > 1 else ""
    return number + ", ".join(values[:SHOWN]) + more


def as_dict(batch: Batch) -> dict[str, Any]:
    """A batch for programs: times as ISO 8601, and what makes a plan's latents only where it is not its seed."""
    facts = asdict(replace(batch, plans=())) | {"plans": [_plan(plan) for plan in batch.plans]}
    if batch.pause is not None:
        facts["pause"]["since"] = batch.pause.since.isoformat()
    times = {name: value.isoformat() for name, value in vars(batch).items() if isinstance(value, datetime)}
    return facts | times


def _plan(plan: Plan) -> dict[str, Any]:
    from unikat.recipes.sequence import Mutations, Walk

    given = {"recipe": plan.recipe, "walk": plan.walk}
    latents = {name: of.to_json() for name, of in given.items() if isinstance(of, Mutations | Walk)}
    return {"where": plan.where, "count": plan.count, **latents}


@dataclass(frozen=True)
class OneBatch:
    """Parameters of a command about one batch."""

    id: Id
    as_json: options.AsJson = False
    at: options.Service = options.SERVICE

    @contextmanager
    def known(self) -> Iterator[Studio]:
        """A studio, as `known_batch` has it."""
        with connect(self.at) as studio, known_batch(studio, self.id):
            yield studio


@contextmanager
def known_batch(studio: Studio, id: str) -> Iterator[None]:
    """Inside it, a batch that is not there becomes a problem that says what is spelled alike."""
    from unikat.errors import NotFound

    try:
        yield
    except NotFound as error:
        ids = [batch.id for batch in islice(studio.batches(), SUGGESTED)]
        hint = "`unikat batch list` has the ids." if ids else "The service knows no batches."
        raise Problem(f'unknown batch "{id}"', did_you_mean(id, ids), hint, code=BAD_INPUT) from error
