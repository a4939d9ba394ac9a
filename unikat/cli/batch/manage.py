"""`unikat batch list`, `show`, `cancel`, `retry` and `delete`."""

from __future__ import annotations

import sys
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from unikat.cli import options
from unikat.cli.batch import words
from unikat.cli.batch.words import Id, OneBatch, known_batch
from unikat.cli.output import counted, print_facts, print_json, stderr, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect

if TYPE_CHECKING:
    from unikat.batch import Batch

State = StrEnum("State", ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"])  # typed in lower case

_STYLES: Final = {"RUNNING": "cyan", "SUCCEEDED": "green", "FAILED": "bold red", "CANCELLED": "dim"}


def list_batches(
    state: Annotated[list[State] | None, typer.Option(help="Only batches in this state. Repeat it for more.")] = None,
    owner: Annotated[str, typer.Option(help="Only batches of this owner. All.")] = "",
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="At most so many, the newest.")] = 50,
    as_json: options.AsJson = False,
    at: options.Service = options.SERVICE,
) -> None:
    """List batches, newest first."""
    with connect(at) as studio:
        found = list(islice(studio.batches(states=[each.name for each in state or []], owner=owner), limit + 1))
    batches, more = found[:limit], len(found) > limit
    if as_json:
        for batch in batches:
            print_json(words.as_dict(batch))
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
            batch.id, state, Text(batch.model), images, words.rate(batch.images_per_second).removesuffix(" images/s"),
            " ".join(words.age(batch.created).split()[:2]), Text(batch.owner), Text(words.near(batch.destination)),
        )  # fmt: skip
    return table


def show(one: OneBatch) -> None:
    """Show all that is known of a batch: what it draws, how far it is, what failed and why."""
    with one.known() as studio:
        batch = studio.batch(one.id)
    if one.as_json:
        print_json(words.as_dict(batch))
        return
    state = (batch.state, _STYLES.get(batch.state, ""))
    stdout().print(Text.assemble((f"Batch {batch.id}", "bold"), "  ", state))
    print_facts(_facts(batch, one.at.target))


def _facts(batch: Batch, target: str) -> list[tuple[str, str]]:
    shards = f"{counted(batch.shard_count, 'shard')} of up to {counted(batch.shard_size, 'image')}"
    done = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
    others = "".join(f", {each}" for each in words.not_written(batch))
    facts = [
        ("written", f"{done}{others} in {shards}"),
        ("speed", words.outlook(batch)),
        ("waiting", words.why_paused(batch.pause) if batch.pause is not None else ""),
        ("destination", words.place(batch.destination)),
        ("layout", f"{batch.layout}, {batch.format}"),
        ("encrypted", f"with the key {batch.encryption_key}" if batch.encryption_key else ""),
        ("near copies", {"warn": "measured", "enforce": "refused"}.get(batch.originality, "")),
        ("manifest", words.place(batch.manifest or "")),
        ("model", f"{batch.model} ({batch.model_digest})"),
        ("draws", words.cells(batch.plans)),
        *((f"  {name}", value) for name, value in words.asked(batch.plans)),
        ("seed", str(batch.seed)),
        ("truncation", f"{batch.truncation:g}"),
        *([("background", batch.background)] if batch.background else []),
        ("owner", batch.owner),
        ("labels", ", ".join(f"{key}={value}" for key, value in batch.labels.items())),
        ("created", _when(batch.created)),
        ("started", _when(batch.started)),
        ("ended", _when(batch.ended)),
    ]
    for f in batch.failures:
        facts.append((f"shard {f.shard}", f"{words.indexes(f.first_index, f.count)} failed: {f.message}"))
    if batch.state == "FAILED":
        facts.append(("next", f"draw what failed again: {words.command(target, 'retry', batch.id)}"))
    return facts


def _when(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S} ({words.age(moment)} ago)"


def cancel(one: OneBatch) -> None:
    """Call a batch off. What was written stays, with a manifest of what is there."""
    with one.known() as studio:
        batch = studio.cancel_batch(one.id)
    if one.as_json:
        print_json(words.as_dict(batch))
        return
    there = f"{batch.drawn:,} of {counted(batch.total, 'image')}"
    stdout().print(Text(f"Batch {one.id} is cancelled; {there} are in {words.place(batch.destination)}."))


def retry(one: OneBatch) -> None:
    """Draw again what failed, and only that."""
    with one.known() as studio:
        before = studio.batch(one.id)
        batch = studio.retry_batch(one.id)
    if one.as_json:
        print_json(words.as_dict(batch))
        return
    console = stdout()
    again = counted(before.failed, "image")
    console.print(Text(f"Drawn again: {again} of {before.total:,}, in {words.place(batch.destination)}."))
    for failure in before.failures:
        console.print(Text(f"  {words.indexes(failure.first_index, failure.count)}, which failed: {failure.message}"))
    console.print(Text(f"Watch it: {words.command(one.at.target, 'watch', one.id)}"))


def delete(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    at: options.Service = options.SERVICE,
) -> None:
    """Forget a batch that has ended. Its files stay where they are."""
    with connect(at) as studio, known_batch(studio, id):
        if not yes:
            _ask(id, words.place(studio.batch(id).destination))
        studio.delete_batch(id)
    stdout().print(Text(f"Batch {id} is forgotten; its files stay."))


def _ask(id: str, where: str) -> None:
    if not sys.stdin.isatty():
        raise Problem("--yes is missing: nobody is there to be asked", code=BAD_INPUT)
    if not typer.confirm(f"Forget batch {id}? Its files in {where} stay, but it cannot be retried any more."):
        raise typer.Exit
