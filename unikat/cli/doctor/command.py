"""The command: all checks, what they found, and the exit code."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Annotated

import typer
from rich.text import Text

from unikat.cli import options
from unikat.cli.doctor.finding import Finding, Level
from unikat.cli.doctor.machine import bundles, disk, installed, providers
from unikat.cli.doctor.system import redis, service
from unikat.cli.output import counted, print_json, stdout
from unikat.cli.problems import FAILURE


def doctor(
    models: options.Models = options.DEFAULT_MODELS,
    data: options.Data = options.DEFAULT_DATA,
    redis_url: options.RedisUrl = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also every package, execution provider, bundle and worker that is in order.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, of everything.")] = False,
    at: options.Service = options.SERVICE,
) -> None:
    """Look for what is wrong, and say what to do about it; exit with 1 where something needs to be done."""
    checks = (service(at), redis(redis_url, data), installed(), providers(), bundles(models), disk(data))
    problems = _tell(chain.from_iterable(checks), everything, as_json)
    if as_json:
        raise typer.Exit(FAILURE if problems else 0)
    if problems:
        stdout().print(f"{counted(problems, 'problem')} to solve.", style="bold red")
        raise typer.Exit(FAILURE)
    stdout().print("Everything that matters works.", style="green")


def _tell(found: Iterable[Finding], everything: bool, as_json: bool) -> int:
    """Print findings as they come, and return the number of problems."""
    problems = 0
    for finding in found:
        problems += finding.level is Level.PROBLEM
        if as_json:
            word = finding.level.name.lower()
            print_json({"level": word, "what": finding.what, "found": finding.found, "remedy": finding.remedy})
        elif everything or not finding.detail:
            _print(finding)
    return problems


def _print(finding: Finding) -> None:
    console = stdout()
    word, style = finding.level.value
    console.print(Text.assemble((f"{word:<8}", style), f"{finding.what}: {finding.found}"))
    if finding.remedy:
        console.print(Text(f"        -> {finding.remedy}"))
