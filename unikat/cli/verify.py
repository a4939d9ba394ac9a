"""`unikat verify`: where a picture comes from, by what it carries itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from unikat.cli.output import print_facts, print_json, stdout
from unikat.cli.problems import BAD_INPUT, FAILURE, Problem
from unikat.cli.verify_work import Works
from unikat.mark_keys import read_mark_keys

WORKS: Final = Works()


def verify(
    files: Annotated[list[Path], typer.Argument(help="Pictures: PNG, WebP or JPEG.", exists=True, dir_okay=False)],
    mark_keys: Annotated[
        Path | None,
        typer.Option("--mark-keys", envvar="UNIKAT_MARK_KEYS", exists=True, help="File of secret keys of watermarks."),
    ] = None,
    works: Works = WORKS,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Say where pictures come from: what they say of themselves, what their pixels do, and whether they are works.

    Exit code 1 where nothing says that Unikat drew one of them, where metadata and picture contradict one another,
    where a certificate does not hold, or is not of the picture.
    """
    from unikat.examination import Verdict, examine
    from unikat.watermark import Watermark

    try:
        marks = {id: Watermark(key) for id, key in read_mark_keys(mark_keys).items()}
    except ValueError as error:
        raise Problem(str(error), code=BAD_INPUT) from error
    is_fine = True
    for file in files:
        try:
            findings = examine(file.read_bytes(), marks)
        except (OSError, ValueError) as error:
            raise Problem(f"{file}: {error}", code=BAD_INPUT) from error
        further, as_claimed = works.compare(file)
        contradicts = findings.verdict is Verdict.CONTRADICTION
        is_fine &= not contradicts and (findings.verdict is not Verdict.NOTHING if as_claimed is None else as_claimed)
        facts = findings.facts() | further
        if as_json:
            print_json({"file": str(file)} | facts)
            continue
        stdout().print(Text(f"{file}: {facts.pop('verdict')}"))
        print_facts([(f"  {name.replace('_', ' ')}", _text(value)) for name, value in facts.items()])
    if not is_fine:
        raise typer.Exit(FAILURE)


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}={text}" for name, text in value.items())
    return f"{value:.2g}" if isinstance(value, float) else str(value)
