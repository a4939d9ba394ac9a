"""`unikat credentials`: what Content Credentials say of a picture, and whether they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unikat.cli import options
from unikat.cli.output import print_facts, print_json
from unikat.cli.problems import BAD_INPUT, FAILURE, Problem

if TYPE_CHECKING:
    from unikat.content_credentials.about import About
    from unikat.content_credentials.reading import Report

credentials = typer.Typer(no_args_is_help=True, help="Content Credentials of pictures: who signed them, and what.")


@credentials.callback()
def _group() -> None:
    """Content Credentials of pictures: who signed them, and what."""


@credentials.command()
def show(
    file: Annotated[Path, typer.Argument(help="A picture: PNG, JPEG or WebP.", dir_okay=False)],
    sidecar: Annotated[
        Path | None,
        typer.Option(help="Its credentials, if they are apart.", show_default="<name>.c2pa, where FILE has none"),
    ] = None,
    trust: Annotated[
        list[Path] | None, typer.Option(help="Roots of signers and time stamps to trust (PEM). Repeat it.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Show the credentials of a picture, and whether they hold. Ends with 1 where they do not, or there are none."""
    from unikat.cli.where import describe

    report = _read(file, sidecar, trust or [])
    if as_json:
        print_json(_as_dict(report))
    else:
        about = report.about
        conditions = {name: describe(value) for name, value in (about.conditions if about else {}).items()}
        print_facts([*_facts(report), *(_recipe(about) if about else ()), *conditions.items()])
    if report.state != "valid":
        raise typer.Exit(FAILURE)


def _read(file: Path, sidecar: Path | None, trust: list[Path]) -> Report:
    """Raises Problem for what cannot be read at all."""
    try:
        from unikat.artwork import SIDECAR, SUFFIXES
        from unikat.content_credentials.apart import read_apart
        from unikat.content_credentials.reading import State
    except ImportError as error:
        raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[credentials]'") from error
    types = {suffix: media_type for media_type, suffixes in SUFFIXES.items() for suffix in suffixes}
    media_type = types.get(file.suffix.lower())
    if media_type is None:
        raise Problem(f"{file}: it must be one of {', '.join(types)}", code=BAD_INPUT)
    try:
        data, anchors = file.read_bytes(), read_anchors(trust)
        apart = sidecar.read_bytes() if sidecar else None
        report = read_apart(data, media_type, apart, anchors)
        beside = file.with_suffix(SIDECAR)
        if report.state == State.NONE and sidecar is None and beside.exists():
            report = read_apart(data, media_type, beside.read_bytes(), anchors)
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror}", code=BAD_INPUT) from error
    return report


def read_anchors(trust: Sequence[Path]) -> bytes:
    """The roots that are trusted, of all files (PEM). Raises Problem."""
    from unikat.content_credentials.reading import check_anchors

    try:
        anchors = b"\n".join(each.read_bytes() for each in trust)
        check_anchors(anchors)
    except OSError as error:
        raise Problem(f"--trust {error.filename}: {error.strerror}", code=BAD_INPUT) from error
    except ValueError as error:
        raise Problem(f"--trust: {error}", code=BAD_INPUT) from error
    return anchors


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "credentials", str(report.state)
    for failure in report.failures:
        yield "what is wrong" if report.state == "invalid" else "note", failure.text
    if report.signer:
        yield "signer", report.signer + ("" if report.is_trusted else " (of no authority that you trust: --trust)")
    if report.time:
        doubt = "" if report.is_time_trusted else " (by an authority that you do not trust: --trust)"
        yield "signed at", report.time.isoformat() + doubt
    yield "made with", report.generator


def _recipe(about: About) -> Iterator[tuple[str, str]]:
    yield from (("model", about.model), ("model digest", about.model_digest), ("artwork", about.artwork_id))
    yield from (("digest", about.digest.hex()), ("watermark", about.mark.hex()))
    if about.recipe:
        yield "recipe", about.recipe
    else:
        yield from (("seed", str(about.seed)), ("index", str(about.index)))
    yield "truncation", f"{about.truncation:g}"
    yield from (("background", about.background), ("training", str(about.training)))


def _as_dict(report: Report) -> dict[str, Any]:
    facts = asdict(report)
    facts["time"] = report.time.isoformat() if report.time else None
    if report.about is not None:
        facts["about"] |= {"digest": report.about.digest.hex(), "mark": report.about.mark.hex()}
    return facts
