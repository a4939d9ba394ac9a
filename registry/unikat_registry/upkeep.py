"""Commands for who looks after a registry: back up, restore, recover, erase."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from unikat.certificate import Certificate, CertificateError
from unikat.cli.output import stdout
from unikat.cli.problems import Problem
from unikat.transparency import NoteError, SignatureError, TransparencyError, VerifierKey
from unikat.transparency.mirror import Mirror
from unikat_registry import recovery, works
from unikat_registry.backups import NOT_IN_IT, back_up
from unikat_registry.backups import restore as restored
from unikat_registry.database import open_database, open_existing, reading
from unikat_registry.erasure import erase as erased
from unikat_registry.log import Log
from unikat_registry.publication import RolledBack
from unikat_registry.server import signing_keys, studio_of
from unikat_registry.settings import Drawn, Kept, Signed
from unikat_registry.studio import Drawing
from unikat_registry.works import StoredWork


def backup(
    folder: Annotated[Path, typer.Argument(help="Folder to write, which is not there yet, or empty.")], of: Kept
) -> None:
    """Back a registry up while it runs: its database as it is at one moment, and the log as it was published."""
    with _problems(), _disposed(open_existing(of.database)) as engine:
        found = back_up(engine, of.origin, of.log, folder)
    _say(f"{folder}: {found.entries} entries, {found.works} works; {found.published} entries were published.")
    _say("Not in it: " + "; ".join(NOT_IN_IT) + ". Keep copies of these elsewhere. It names people: who erases names")
    _say("on request deletes older backups too.")


def restore(
    folder: Annotated[Path, typer.Argument(help="Folder of a backup.", exists=True, file_okay=False)],
    into: Kept,
    log_is_lost: Annotated[
        bool, typer.Option(help="Go on although there is no published log: what came after the backup is lost.")
    ] = False,
) -> None:
    """Fill an empty database from a backup; the registry is stopped. Then recover what came after it."""
    with _problems(), _disposed(open_database(into.database)) as engine:
        found = restored(folder, engine, into.origin, into.log, is_log_lost=log_is_lost)
    _say(f"{into.database}: {found.entries} entries, {found.works} works.")
    if log_is_lost:
        _say("What was entered after the backup is lost. Erase again what was erased since.")
    else:
        _say("Next: `unikat registry recover` brings what was published after the backup, and repeats erasures.")


def recover(
    of: Signed,
    drawn: Drawn,
    certificate: Annotated[
        list[Path] | None, typer.Option(exists=True, help="Certificate (JSON) that has lost names; repeatable.")
    ] = None,
    verifier: Annotated[
        str, typer.Option(help="The log's key as it was published (name+id+base64), where --key has another by now.")
    ] = "",
) -> None:
    """Bring back what the published log has and the database lacks; the registry is stopped, the service runs.

    Works come back by the log, their pictures by drawing them again, names by certificates. What does not come back is
    listed; with exit code 1 where it is a picture, which the same command brings once it can be drawn again.
    """
    with _problems(), _disposed(open_database(of.database)) as engine:
        certificates = [Certificate.parse(path.read_bytes()) for path in certificate or ()]
        log = _log(engine, of)
        found = recovery.recover(engine, log, _mirror(of, verifier))
        log.publish(of.log)
        named = [each for one in certificates for each in recovery.name_again(engine, one)]
        back, lost = asyncio.run(_draw_again(engine, drawn))
        with reading(engine) as session:
            nameless = works.nameless(session)
    entries = found.entries
    which = f" ({entries[0]} to {entries[-1]})" if entries else ""
    _say(
        f"{len(entries)} entries came back{which}: {found.claims} claims, {found.transfers} transfers, "
        f"{found.erasures} erasures; {len(back)} works were drawn again, names of {len(named)} entries are known again."
    )
    if nameless:
        _say(f"Names of these entries are lost, as if erased, unless --certificate has them: {_listed(nameless)}")
    for entry, reason in lost.items():
        _say(f"The work of entry {entry} has no picture: {reason}")
    if lost:
        _say("Until it has one, near copies of it are not noticed; the artwork itself cannot be claimed again.")
        raise typer.Exit(1)


def erase(
    entries: Annotated[list[int], typer.Argument(help="Numbers of entries, as certificates have them.")], of: Signed
) -> None:
    """Erase what names people in entries of the log, while the registry runs; the log says that it was done."""
    with _problems(), _disposed(open_existing(of.database)) as engine:
        log = _log(engine, of)
        done = erased(engine, log, entries)
        log.publish(of.log)
    for entry in entries:
        said = f"erased; entry {done[entry]} says so" if entry in done else "has no names (any more)"
        _say(f"Entry {entry}: {said}.")
    _say("Certificates that were handed out have them still, and so have backups: delete the older ones.")


async def _draw_again(engine: Engine, drawn: Drawn) -> tuple[list[StoredWork], dict[int, str]]:
    async with studio_of(drawn) as studio:
        return await recovery.draw_again(engine, Drawing(studio))


def _mirror(of: Signed, verifier: str) -> Mirror:
    """The published files, by whichever of the keys signed them."""
    keys = [VerifierKey.parse(verifier)] if verifier else [key.verifier for key in signing_keys(of)]
    for key in keys[:-1]:
        try:
            return Mirror(of.log, key)
        except SignatureError:
            continue
    return Mirror(of.log, keys[-1])


def _log(engine: Engine, of: Signed) -> Log:
    key, *older = signing_keys(of)
    return Log(engine, of.origin, key, older)


@contextmanager
def _disposed(engine: Engine) -> Iterator[Engine]:
    try:
        yield engine
    finally:
        engine.dispose()


@contextmanager
def _problems() -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        raise Problem(f"--database: {error}") from error
    except sqlite3.Error as error:
        raise Problem(f"--database: {error}") from error
    except CertificateError as error:
        raise Problem(f"--certificate: {error}") from error
    except (NoteError, SignatureError) as error:
        raise Problem(f"the published log: {error}", "--verifier names the key that signed it.") from error
    except (TransparencyError, RolledBack, ValueError) as error:
        raise Problem(str(error)) from error
    except OSError as error:
        raise Problem(f"{error.filename or 'a file'}: {error.strerror or error}") from error


def _listed(entries: list[int]) -> str:
    shown = ", ".join(map(str, entries[:100]))
    return shown if len(entries) <= 100 else f"{shown} and {len(entries) - 100} more"


def _say(text: str) -> None:
    stdout().print(text, markup=False, highlight=False, soft_wrap=True)
