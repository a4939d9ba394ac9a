"""`unikat models load`, `unload`, `pin`, `unpin`, `drain`, `history`: what operators say of models and workers."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from unikat.cli import options
from unikat.cli.output import print_json, stderr, stdout
from unikat.cli.problems import connect

if TYPE_CHECKING:
    from unikat.operations import Change, Control

Version = Annotated[str, typer.Argument(metavar="MODEL@VERSION", help='One version of a model: "emoji@2".')]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why, for the record.")]


def load(model: Version, reason: Reason = "", at: options.Service = options.SERVICE) -> None:
    """Have a version served again, and loaded by every worker that has it before it is asked for."""
    with connect(at) as studio:
        studio.operations.load(model, reason)
    stdout().print(Text(f"{model} is served again within seconds; workers load it now."))


def unload(model: Version, reason: Reason = "", at: options.Service = options.SERVICE) -> None:
    """Take a version out of service: new calls are refused, those under way are finished, then its memory is freed."""
    with connect(at) as studio:
        studio.operations.unload(model, reason)
    stdout().print(Text(f"{model} takes no new calls. Those under way are finished. Back: unikat models load {model}"))


def pin(model: Version, reason: Reason = "", at: options.Service = options.SERVICE) -> None:
    """Have a model's name mean this version, whatever newer ones come."""
    with connect(at) as studio:
        studio.operations.pin(model, reason)
    name = model.partition("@")[0]
    stdout().print(Text(f'"{name}" means {model} from now on. Back: unikat models unpin {name}'))


def unpin(
    name: Annotated[str, typer.Argument(metavar="MODEL", help='Name of a model: "emoji".')],
    reason: Reason = "",
    at: options.Service = options.SERVICE,
) -> None:
    """Have a model's name mean its newest version again."""
    with connect(at) as studio:
        studio.operations.unpin(name, reason)
    stdout().print(Text(f'"{name}" means its newest version again.'))


def drain(
    worker: Annotated[str, typer.Argument(metavar="WORKER", help="Name of a worker; `unikat top` has them.")],
    reason: Reason = "",
    at: options.Service = options.SERVICE,
) -> None:
    """Have a worker take nothing more, finish what it has in hand, and exit with code 0."""
    with connect(at) as studio:
        studio.operations.drain(worker, reason)
    stdout().print(Text(f"{worker} takes nothing more, and exits when it has finished what it has in hand."))


def history(
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="Changes to list.")] = 50,
    as_json: options.AsJson = False,
    at: options.Service = options.SERVICE,
) -> None:
    """Show what holds now, and who changed what, when and why, newest first."""
    with connect(at) as studio:
        held, changes = studio.operations.control(), list(islice(studio.operations.history(), limit))
    if as_json:
        for change in changes:
            print_json(_as_dict(change))
        return
    for line in _holding(held):
        stdout().print(Text(line))
    if not changes:
        stderr().print("Nothing was changed yet.")
        return
    table = Table("when", "who", "what", "why", box=None, pad_edge=False)
    for change in changes:
        when = change.at.astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(*map(Text, (when, change.caller, f"{change.action} {change.subject}", change.reason)))
    stdout().print(table, soft_wrap=False)


_HOLDING: Final = (
    ("pinned", "{subject} is what its name means"),
    ("unloaded", "{subject} is unloaded"),
    ("loaded", "{subject} is loaded by every worker that has it"),
    ("draining", "{subject} is leaving"),
)


def _holding(held: Control) -> list[str]:
    return [text.format(subject=change.subject) + "." for name, text in _HOLDING for change in getattr(held, name)]


def _as_dict(change: Change) -> dict[str, object]:
    return {**vars(change), "at": change.at.isoformat()}
