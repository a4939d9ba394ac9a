"""`unikat batch verify`: whether every image is there, byte for byte, and comes out the same once more."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.text import Text

from unikat.cli import options
from unikat.cli.batch.create import absolute
from unikat.cli.batch.words import indexes, known_batch, place, span
from unikat.cli.output import counted, print_json, progress, stderr, stdout
from unikat.cli.problems import BAD_INPUT, FAILURE, Problem, connect
from unikat.queue.batches.keys import BATCH_ID

if TYPE_CHECKING:
    from unikat.batches.storage_keys import StorageKeys
    from unikat.batches.verify import Report

SHOWN: Final = 20  # problems and gaps


def verify(
    where: Annotated[
        str, typer.Argument(metavar="DESTINATION|ID", help="Folder or URL with the files, or the id of a batch.")
    ],
    redraw: Annotated[
        int, typer.Option(min=0, help="Also draw so many images again, picked at random, and compare the bytes.")
    ] = 0,
    credentials: Annotated[
        int, typer.Option(min=0, help="Also read so many images' Content Credentials, picked at random.")
    ] = 0,
    trust: Annotated[
        list[Path] | None, typer.Option(help="Roots of signers to trust (PEM), with --credentials. Repeat it.")
    ] = None,
    storage_keys: options.StorageKeysFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as one JSON object instead.")] = False,
    at: options.Service = options.SERVICE,
) -> None:
    """Read every file again and compare it with the manifest.

    Exit code 0 only if every image of the batch is there, byte for byte, with its Content Credentials where the batch
    has such, what was drawn again came out the same, and the credentials that were read hold.
    """
    if trust and not credentials:
        raise Problem("--trust says whose Content Credentials count: add --credentials N", code=BAD_INPUT)
    destination = _destination(where, at)
    anchors = b""
    if credentials:  # what is wrong with it is told before everything is read
        from unikat.cli.batch.signed import read_signed, roots

        anchors = roots(trust or [])
    began = time.monotonic()
    with readable(), progress("Reading", quiet=as_json) as show:
        from unikat.batches.verify import verify as check

        keys = read_keys(storage_keys)
        report = check(destination, show, keys)
    seconds = time.monotonic() - began
    redrawn = None
    if redraw and report.rows:
        from unikat.batches.verify import pick
        from unikat.cli.batch.redraw import draw_again

        with readable(), connect(at) as studio, progress("Drawing again", redraw, as_json) as show:
            redrawn = draw_again(studio, partial(pick, destination, keys=keys), redraw, show)
    signed = None
    if credentials and report.rows:
        with readable(), progress("Reading credentials", credentials, as_json) as show:
            signed = read_signed(destination, credentials, anchors, keys, show)
    good = report.is_complete and not (redrawn and redrawn.different) and not (signed and signed.wrong)
    if as_json:
        found = {"redrawn": redrawn and asdict(redrawn), "credentials": signed and asdict(signed), "ok": good}
        print_json(_as_dict(report) | found)
    else:
        _print(report, seconds)
        for each in (redrawn, signed):
            if each is not None:
                each.print()
    if not good:
        raise typer.Exit(FAILURE)


def _destination(where: str, at: options.Service) -> str:
    """A path or URL; for the id of a batch, its destination."""
    if not BATCH_ID.fullmatch(where) or Path(where).exists():
        return absolute(where)
    with connect(at) as studio, known_batch(studio, where):
        return place(studio.batch(where).destination)


@contextmanager
def readable(arguments: str = "DESTINATION") -> Iterator[None]:
    """What is in the way of reading becomes a problem; packages that are missing too. `arguments` say what is read."""
    try:
        from unikat.batches.storage import DestinationError, DestinationRefused
        from unikat.batches.verify import NotABatch
    except ImportError as error:
        raise _not_installed(error) from error
    try:
        yield
    except ValueError as error:
        raise Problem(f"{arguments}: {error}", code=BAD_INPUT) from error
    except (NotABatch, DestinationError, DestinationRefused) as error:
        raise Problem(str(error)) from error
    except FileNotFoundError as error:
        raise Problem(f"{error}: the file is missing; without --redraw, all that is missing is listed") from error
    except ImportError as error:  # the package for a kind of URL
        raise _not_installed(error) from error


def read_keys(file: Path | None) -> StorageKeys:
    """Raises Problem."""
    from unikat.batches.storage_keys import StorageKeys

    try:
        return StorageKeys(file)
    except (OSError, ValueError) as error:
        raise Problem(f"--storage-keys: {error}", code=BAD_INPUT) from error


def _not_installed(error: ImportError) -> Problem:
    extra = "s3" if error.name == "s3fs" or "s3fs" in str(error) else "batches"
    return Problem(f"a package is missing: {error.name or error}", f"Install it: pip install 'unikat[{extra}]'")


def _print(report: Report, seconds: float) -> None:
    console, where = stdout(), place(report.url)
    total = f" of {report.total:,}" if report.total is not None else ""
    key = f", encrypted with {report.encryption_key}" if report.encryption_key else ""
    size = f"{report.bytes_read / 1e6:,.1f} MB in {span(seconds) if seconds >= 1 else f'{seconds:.2f} s'}"
    images = f"{report.rows:,}{total} {'image' if report.rows == 1 else 'images'}"
    if report.is_intact:
        refused = f", {report.refused_count:,} of them refused" if report.refused_count else ""
        console.print(Text(f"{where}: {images}{refused}, every byte as the manifest says ({size}{key})."))
    else:
        damage = [f"  {p.file}{'' if p.index is None else f' (image {p.index})'}: {p.message}" for p in report.problems]
        found = counted(report.problem_count, "problem")
        Problem(f"{where}: {found} in {images}", *first(damage, report.problem_count)).show()
    if report.missing:
        gaps = [f"  {indexes(gap.start, len(gap))}" for gap in report.missing]
        missing = counted(report.missing_count, "image")
        verb = "is" if report.missing_count == 1 else "are"
        what = f"{missing} {verb} not in the manifest; the batch failed or was called off"
        Problem(f"{where} is incomplete: {what}", *first(gaps, len(gaps))).show()
    if report.extra_count:
        stderr().print(f"Not of this batch: {counted(report.extra_count, 'file')}", style="yellow")
        for line in first([f"  {name}" for name in report.extra], report.extra_count):
            stderr().print(line, markup=False)


def first(lines: Sequence[str], number: int) -> list[str]:
    return [*lines[:SHOWN], *([f"  and {number - SHOWN:,} more"] if number > SHOWN else [])]


def _as_dict(report: Report) -> dict[str, object]:
    facts = asdict(report) | {"missing": [[gap.start, gap.stop - 1] for gap in report.missing]}
    facts |= {"missing_count": report.missing_count, "intact": report.is_intact, "complete": report.is_complete}
    return facts
