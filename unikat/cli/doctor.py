"""`unikat doctor`: what is there, what works, and what to do about the rest."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Final

import typer
from rich.text import Text

from unikat.cli import checks, options
from unikat.cli.checks import Finding, Level
from unikat.cli.problems import FAILURE, stdout

_MARKS: Final = {Level.OK: ("ok", "green"), Level.NOTE: ("note", "yellow"), Level.PROBLEM: ("PROBLEM", "bold red")}


def doctor(
    models: options.Models = options.DEFAULT_MODELS,
    data: options.Data = options.DEFAULT_DATA,
    redis_url: options.RedisUrl = None,
    target: options.Target = options.DEFAULT_TARGET,
    tls: options.Tls = False,
    ca: options.Ca = None,
) -> None:
    """Look at what is installed, what works and who answers; exit with 1 where something needs to be done."""
    found = chain(
        checks.installed(),
        checks.providers(),
        checks.service(target, tls, ca),
        checks.redis(redis_url, data),
        checks.bundles(models),
        checks.disk(data),
    )
    problems = _print(found)
    if problems:
        stdout().print(f"{problems} problem{'s' if problems > 1 else ''} to solve.", style="bold red")
        raise typer.Exit(FAILURE)
    stdout().print("Everything that matters works.", style="green")


def _print(found: Iterable[Finding]) -> int:
    """Print findings as they come, and return the number of problems."""
    console = stdout()
    problems = 0
    for finding in found:
        word, style = _MARKS[finding.level]
        console.print(Text.assemble((f"{word:<8}", style), f"{finding.what}: {finding.found}"))
        if finding.remedy:
            console.print(Text(f"        -> {finding.remedy}"))
        problems += finding.level is Level.PROBLEM
    return problems
