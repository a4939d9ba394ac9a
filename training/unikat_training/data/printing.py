"""Shows what a preparation did: the report and where the contact sheet is, also when it stops."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from unikat_training.data.build import LeftOutError, Output, Picture, Recipe, build
from unikat_training.data.report import Problem, Report


def build_and_print(recipe: Recipe, pictures: Iterable[Picture | Problem], output: Output, console: Console) -> Report:
    """Builds the data set and prints the report of it.

    Raises what `build` raises; where too much was left out, after printing the report and the sheet's path.
    """
    try:
        report = build(recipe, pictures, output)
    except LeftOutError as error:
        _print(error.report, error.sheet, console)
        raise
    _print(report, output.sheet, console)
    return report


def _print(report: Report, sheet: Path, console: Console) -> None:
    report.print(console)
    console.print(f"contact sheet: {escape(str(sheet))}", soft_wrap=True)
