"""`unikat batch list` and `unikat batch show`."""

from __future__ import annotations

import json
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from unikat.cli import options
from unikat.cli.batch.words import (
    AsJson,
    Id,
    age,
    as_dict,
    asked,
    cells,
    command,
    counted,
    known_batch,
    near,
    place,
    rate,
    span,
    why_paused,
)
from unikat.cli.connect import connect
from unikat.cli.problems import stderr, stdout

if TYPE_CHECKING:
    from unikat.batch import Batch


class State(StrEnum):
    """`--state`."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


_STYLES: Final = {"RUNNING": "cyan", "SUCCEEDED": "green", "FAILED": "bold red", "CANCELLED": "dim"}


def list_batches(
    state: Annotated[list[State] | None, typer.Option(help="Only batches in this state. Repeat it for more.")] = None,
    owner: Annotated[str, typer.Option(help="Only batches of this owner. All.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 50,
    as_json: AsJson = False,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """List batches, newest first."""
    with connect(target, tls, ca) as studio:
        found = list(islice(studio.batches(states=[each.name for each in state or []], owner=owner), limit + 1))
    batches, more = found[:limit], len(found) > limit
    if as_json:
        for batch in batches:
            print(json.dumps(as_dict(batch)), flush=True)
    elif not batches:
        which = " that match" if state or owner else ""
        stderr().print(f"There are no batches{which}. `unikat batch create --help` says how to make one.")
    else:
        stdout().print(_table(batches), soft_wrap=False)
        if more:
            stderr().print(f"There are more: --limit {2 * limit}", style="dim")


def _table(batches: list[Batch]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("id", "state", "model"):
        table.add_column(name, no_wrap=True)
    table.add_column("images", no_wrap=True, justify="right")
    table.add_column("rate", no_wrap=True, justify="right")
    table.add_column("age", no_wrap=True, justify="right")
    table.add_column("owner", overflow="ellipsis", no_wrap=True)
    table.add_column("destination", overflow="fold")
    for batch in batches:
        state = Text("PAUSED", "yellow") if batch.pause is not None else Text(batch.state, _STYLES.get(batch.state, ""))
        images = f"{batch.drawn:,}/{batch.total:,}" if batch.drawn < batch.total else f"{batch.total:,}"
        table.add_row(
            batch.id, state, Text(batch.model), images, rate(batch.images_per_second).removesuffix(" images/s"),
            _short(age(batch.created)), Text(batch.owner), Text(near(batch.destination)),
        )  # fmt: skip
    return table


def _short(text: str) -> str:
    return " ".join(text.split()[:2])


def show(
    id: Id,
    as_json: AsJson = False,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """Show all that is known of a batch: what it draws, how far it is, what failed and why."""
    with connect(target, tls, ca) as studio, known_batch(studio, id):
        batch = studio.batch(id)
    if as_json:
        print(json.dumps(as_dict(batch)), flush=True)
        return
    console = stdout()
    heading = Text.assemble((f"Batch {batch.id}", "bold"), "  ", (batch.state, _STYLES.get(batch.state, "")))
    console.print(heading)
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    for name, value in _facts(batch, target):
        facts.add_row(name, Text(value))
    console.print(facts, soft_wrap=False)


def _facts(batch: Batch, target: str) -> list[tuple[str, str]]:
    shards = f"{counted(batch.shard_count, 'shard')} of up to {counted(batch.shard_size, 'image')}"
    done = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
    failed = f", {batch.failed:,} failed" if batch.failed else ""
    left = f"{span(batch.remaining)} left" if batch.remaining else ""
    facts = [
        ("written", f"{done}{failed} in {shards}"),
        ("speed", ", ".join(filter(None, [rate(batch.images_per_second), left]))),
        ("waiting", why_paused(batch.pause) if batch.pause is not None else ""),
        ("destination", place(batch.destination)),
        ("layout", f"{batch.layout}, {batch.format}"),
        ("manifest", place(batch.manifest or "")),
        ("model", f"{batch.model} ({batch.model_digest})"),
        ("draws", cells(batch.plans)),
        *((f"  {name}", value) for name, value in asked(batch.plans)),
        ("seed", str(batch.seed)),
        ("truncation", f"{batch.truncation:g}"),
        ("owner", batch.owner),
        ("labels", ", ".join(f"{key}={value}" for key, value in batch.labels.items())),
        ("created", _when(batch.created)),
        ("started", _when(batch.started)),
        ("ended", _when(batch.ended)),
    ]
    facts += [
        (f"shard {f.shard}", f"images {f.first_index} to {f.first_index + f.count - 1} failed: {f.message}")
        for f in batch.failures
    ]
    if batch.state == "FAILED":
        facts.append(("next", f"draw what failed again: {command(target, 'retry', batch.id)}"))
    return [(name, value) for name, value in facts if value]


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({age(moment)} ago)"
