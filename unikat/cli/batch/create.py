"""`unikat batch create`: queue images by the thousand."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer
from rich.text import Text

from unikat.cli import options
from unikat.cli.batch.plan import Line, at, parse_grid, read_plan
from unikat.cli.batch.watch import follow
from unikat.cli.batch.words import as_dict, asked, cells, command, place
from unikat.cli.estimate import EstimateOnly, PricePerHour, tell
from unikat.cli.output import print_json, stdout
from unikat.cli.problems import BAD_INPUT, Problem, connect
from unikat.cli.where import parse_where, typed_flag

if TYPE_CHECKING:
    from unikat.batch import Batch, BatchOptions, Plan
    from unikat.client import Studio
    from unikat.estimate import Estimate
    from unikat.request import Where

_AXIS: Final = re.compile(r"grid\.axes\[(\d+)\]")
_LINE: Final = re.compile(r"plans\[(\d+)\](?:\.conditions\[(\d+)\])?")
_OUTSIDE_OF_OWNERS: Final = re.compile(r"[^A-Za-z0-9._@-]")


@dataclass(frozen=True)
class Wish:
    """What to draw, as it was typed: a grid, the lines of a plan, or neither; `where` is for all."""

    grid: dict[str, str | list[str]]
    plan: Path | None
    lines: Sequence[Line]
    where: Where
    count: int | None

    @classmethod
    def parse(cls, grid: Iterable[str], plan: Path | None, where: Iterable[str], count: int | None) -> Wish:
        """Raises Problem for what is malformed or contradicts itself."""
        axes = parse_grid(grid)
        if count is None and plan is None:
            each = " for each combination" if axes else ""
            raise Problem(f"--count is missing: how many images{each}", "For example: -n 100", code=BAD_INPUT)
        lines = [] if plan is None else read_plan(plan, count)
        return cls(axes, plan, lines, parse_where(where), count)

    def create(self, studio: Studio, model: str, to: str, drawing: BatchOptions) -> Batch:
        """Have the batch created. Raises the errors of `unikat.errors`."""
        plans, grid, count = self._asked
        return studio.create_batch(model, to=to, plans=plans, grid=grid, where=self.where, count=count, **drawing)

    def estimate(self, studio: Studio, model: str, to: str, drawing: BatchOptions) -> Estimate:
        """What it would be. Raises the same."""
        plans, grid, count = self._asked
        return studio.estimate_batch(model, to=to, plans=plans, grid=grid, where=self.where, count=count, **drawing)

    @property
    def _asked(self) -> tuple[list[Plan] | None, dict[str, str | list[str]] | None, int | None]:
        """Plans, grid and count, as `Studio` takes them."""
        if self.plan is not None:
            return [line.plan for line in self.lines], self.grid or None, None
        return None, self.grid or None, self.count

    def flag(self, field: str) -> str:
        """What of the command line became this field of the request: a flag, or a line of the plan."""
        axis, line = _AXIS.match(field), _LINE.match(field)
        if axis is not None and int(axis[1]) < len(self.grid):
            name = list(self.grid)[int(axis[1])]
            return f"--grid {name}={','.join(self.grid[name])}"
        condition = line is not None and line[2] is not None and int(line[2]) < len(self.where)  # where comes first
        if line is None or self.plan is None or condition or int(line[1]) >= len(self.lines):
            return typed_flag(self.where, field)
        return at(self.plan, self.lines[int(line[1])].number) + (", count" if field.endswith(".count") else "")


def default_owner() -> str:
    """The user's name, as far as an owner may have its characters."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return "default"
    return _OUTSIDE_OF_OWNERS.sub("-", name)[:128] or "default"


def create(
    model: options.Reference,
    to: Annotated[
        str, typer.Option(help="Folder for the files: a path on the workers' machine, or a URL like s3://bucket/dir.")
    ],
    grid: Annotated[
        list[str] | None,
        typer.Option(
            help="Combine: attribute=one,other, or 'attribute=*' for all. Repeat it; the last varies fastest."
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-n", help="Number of images; with --grid, of each combination.")
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="What all have in common: attribute=category, or attribute=one:0.7,other:0.3. Repeat it."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option(help="CSV (a column an attribute, and count) or JSONL, for what is no grid: docs/cli.md."),
    ] = None,
    layout: Annotated[
        Literal["files", "webdataset"], typer.Option(help="One file an image, or tar files as webdataset reads them.")
    ] = "files",
    seed: options.Seed = None,
    truncation: options.Truncation = None,
    format: options.Format = "png",
    background: options.Background = "",
    encrypt: Annotated[
        str, typer.Option(metavar="KEY", help="Encrypt the files, with the workers' storage key of this id.")
    ] = "",
    originality: options.Originality = None,
    credentials: Annotated[
        Literal["none", "sidecar"],
        typer.Option(help="Content Credentials: a tar file of them for each shard, signed by workers with a key."),
    ] = "none",
    owner: Annotated[
        str | None, typer.Option(envvar="UNIKAT_OWNER", help="On whose account; owners take turns. You.")
    ] = None,
    label: Annotated[list[str] | None, typer.Option(help="For your own use: key=value. Repeat it.")] = None,
    shard_size: Annotated[
        int, typer.Option(help="Images in a unit of work, and in a tar file. 0: the service's default.")
    ] = 0,
    request_id: Annotated[
        str | None, typer.Option(help="Makes the call idempotent: the same id returns the same batch.")
    ] = None,
    estimate: EstimateOnly = False,
    price_per_hour: PricePerHour = None,
    watch: Annotated[bool, typer.Option(help="Stay and show the progress; Ctrl-C leaves the batch running.")] = False,
    as_json: options.AsJson = False,
    at: options.Service = options.SERVICE,
) -> None:
    """Queue a batch: every combination of a --grid, the lines of a --plan, or just -n images.

    The service goes on by itself, whatever happens to this terminal.
    """
    wish = Wish.parse(grid or [], plan, where or [], count)
    if owner is None:  # a service that is told who calls knows it
        owner = "" if at.is_identified else default_owner()
    drawing: BatchOptions = {
        "seed": seed, "truncation": truncation, "format": format, "background": background, "layout": layout,
        "encryption_key": encrypt, "originality": originality, "credentials": credentials, "shard_size": shard_size,
        "owner": owner, "labels": parse_labels(label or []), "request_id": request_id,
    }  # fmt: skip
    with connect(at, flag=wish.flag) as studio:
        studio.model(model)  # whoever mistyped the target is told at once
        if estimate:
            tell(wish.estimate(studio, model, absolute(to), drawing), price_per_hour, as_json)
            return
        batch = wish.create(studio, model, absolute(to), drawing)
        _report(batch, at.target, watch, as_json)
        if watch:
            follow(studio, batch.id, at.target, as_json)


def absolute(to: str) -> str:
    """URLs as they are; paths absolute, without "..", and with "~" filled in."""
    return to if "://" in to else os.path.abspath(os.path.expanduser(to))


def parse_labels(labels: Iterable[str]) -> dict[str, str]:
    """`key=value`, each key once. Raises Problem."""
    found: dict[str, str] = {}
    for label in labels:
        key, equals, value = label.partition("=")
        if not (key and equals):
            raise Problem(f"--label {label}: write key=value", code=BAD_INPUT)
        if key in found:
            raise Problem(f'--label {label}: "{key}" is named twice', code=BAD_INPUT)
        found[key] = value
    return found


def _report(batch: Batch, target: str, watching: bool, as_json: bool) -> None:
    if as_json:
        print_json(as_dict(batch))
        return
    console = stdout()
    console.print(Text.assemble("Batch ", (batch.id, "bold"), f": {cells(batch.plans)} of {batch.model}"))
    how = f"{batch.layout}, encrypted with {batch.encryption_key}" if batch.encryption_key else batch.layout
    how += ", with Content Credentials" if batch.credentials != "none" else ""
    facts = [*asked(batch.plans), ("seed", str(batch.seed)), ("to", f"{place(batch.destination)} ({how})")]
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        console.print(Text(f"  {name:<{width}}  {value}"))
    if not watching:
        console.print(Text(f"Watch it: {command(target, 'watch', batch.id)}"))
