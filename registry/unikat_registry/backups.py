"""Backups of a registry: a folder with its database, as SQLite, and the log's files as they were published then."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, Table, func, insert, select, update
from sqlalchemy.orm import Session

from unikat.transparency import Checkpoint
from unikat_registry import publication
from unikat_registry.database import open_database, reading, writing
from unikat_registry.tables import DETAILS, ENTRIES, LOG_SIZE, NODES
from unikat_registry.tree import committed, grown, root_of
from unikat_registry.works import TRANSFERS, WORKS, hold_the_log

DATABASE: Final = "registry.db"
FILES: Final = "log"
NOT_IN_IT: Final = (
    "the keys of the log (--key)", "the keys of watermarks (--mark-keys)", "certificates and keys of TLS",
    "the bundles of the models that drew the works", "the keys of owners, which the registry never has",
)  # fmt: skip
_BESIDE_THE_LOG: Final = (DETAILS, WORKS, TRANSFERS)
_ROWS: Final = 500  # at a time


@dataclass(frozen=True)
class Contents:
    """What is in a backup: entries of the log, works, and entries that were published when it was made."""

    entries: int
    works: int
    published: int


def back_up(engine: Engine, origin: str, published: Path, into: Path) -> Contents:
    """Write a backup into a folder that is not there or empty, while the registry runs; whole, or not there at all.

    The database is what is committed at one moment. Raises ValueError for a folder with something in it, RolledBack
    where the database does not extend what was published, OSError, sqlite3.Error and SQLAlchemyError.
    """
    into = into.absolute()
    if into.exists() and any(into.iterdir()):
        raise ValueError(f"{into} is not empty: a backup has a folder of its own")
    beside = into.with_name(f".{into.name}.part")
    shutil.rmtree(beside, ignore_errors=True)  # of a process that was killed
    beside.mkdir(parents=True, mode=0o700)  # it names people
    note = publication.published(published)  # before the database, which has all of its entries then
    _copy_database(engine, beside / DATABASE)
    copy = open_database(f"sqlite:///{beside / DATABASE}")
    try:
        with reading(copy) as session:
            size = _write_published(session, origin, beside / FILES, note) if note else 0
            contents = Contents(committed(session), _count(session, WORKS), size)
    finally:
        copy.dispose()
    beside.replace(into)
    publication.sync_folder(into.parent)
    return contents


def restore(backup: Path, engine: Engine, origin: str, published: Path, *, is_log_lost: bool) -> Contents:
    """Fill an empty database from a backup, in one transaction; every entry leads to the backup's root.

    The published folder is not written. Raises ValueError for a folder without a backup, a database with entries, a
    damaged backup, and for a published folder without a checkpoint, unless that `is_log_lost`; RolledBack where what
    was published does not begin with the backup, or the other way round; OSError and SQLAlchemyError.
    """
    if not (backup / DATABASE).is_file():
        raise ValueError(f"{backup} is no backup: it has no {DATABASE}")
    note = publication.published(published)
    if note is None and not is_log_lost:
        raise ValueError(
            f"{published} has no checkpoint. Only the published files have what was entered since: put them, "
            "or anybody's copy of them, there. If there is none (--log-is-lost), whoever holds a later certificate can "
            "show that this registry lost its entry"
        )
    # A copy of it is opened: the backup stays as it was made, and may be on a disk that is only read.
    with _opened_copy(backup / DATABASE) as source, writing(engine) as target:
        hold_the_log(target)
        if there := committed(target):
            raise ValueError(f"the database has {there} entries already: restore into an empty one")
        _copy_log(source, target)
        for table in _BESIDE_THE_LOG:
            for rows in _rows(source, table):
                target.execute(insert(table), rows)
        size = committed(target)
        if not _lead_to_the_root(source, target, size):
            raise ValueError(f"{backup / DATABASE} is damaged: its entries do not lead to its root")
        kept = publication.published(backup / FILES)
        before = publication.refuse_older(target, origin, kept).size if kept else 0
        if note and Checkpoint.parse(note).size <= size:
            publication.refuse_older(target, origin, note)
        return Contents(size, _count(target, WORKS), before)


def _copy_database(engine: Engine, file: Path) -> None:
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(str(engine.url.database))) as source, closing(sqlite3.connect(file)) as target:
            source.backup(target)  # all pages in one step: what is committed now, whoever writes meanwhile
        return
    copy = open_database(f"sqlite:///{file}")
    try:
        with reading(engine) as source_session, writing(copy) as target_session:
            for table in (ENTRIES, NODES, *_BESIDE_THE_LOG):
                for rows in _rows(source_session, table):
                    target_session.execute(insert(table), rows)
            target_session.execute(update(LOG_SIZE).values(size=committed(source_session)))
    finally:
        copy.dispose()


def _write_published(session: Session, origin: str, folder: Path, note: str) -> int:
    """Write what was published, from the database; how many entries that are."""
    size = publication.refuse_older(session, origin, note).size
    publication.write_tiles(session, folder, 0, size)
    folder.mkdir(exist_ok=True)
    publication.write_checkpoint(folder, note)
    return size


def _copy_log(source: Session, target: Session) -> None:
    """Copy the entries; their hashes are computed anew."""
    entries: list[dict[str, Any]] = []
    nodes: list[dict[str, Any]] = []

    def flush() -> None:
        for table, rows in ((ENTRIES, entries), (NODES, nodes)):
            if rows:
                target.execute(insert(table), rows)
                rows.clear()

    leaves = select(ENTRIES.c.leaf).order_by(ENTRIES.c.entry).execution_options(yield_per=_ROWS)
    entry = -1
    for entry, (leaf, completed) in enumerate(grown(source.scalars(leaves))):
        entries.append({"entry": entry, "leaf": leaf})
        nodes += [{"level": level, "place": place, "hash": hash} for (level, place), hash in completed]
        if len(entries) == _ROWS:
            flush()
    flush()
    target.execute(update(LOG_SIZE).values(size=entry + 1))


def _rows(session: Session, table: Table) -> Iterator[list[dict[str, Any]]]:
    found = session.execute(select(table).execution_options(yield_per=_ROWS)).mappings()
    return ([dict(row) for row in part] for part in found.partitions(_ROWS))


def _count(session: Session, table: Table) -> int:
    return session.execute(select(func.count()).select_from(table)).scalar_one()


def _lead_to_the_root(source: Session, target: Session, size: int) -> bool:
    try:
        return committed(source) == size and root_of(source, size) == root_of(target, size)
    except ValueError:  # a hash is lost
        return False


def _refuse_damaged(copy: Path, file: Path) -> None:
    """Raises ValueError that names `file` where a copy of it is no whole SQLite database."""
    try:
        with closing(sqlite3.connect(copy)) as connection:
            (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise ValueError(f"{file} is damaged: {found}")


@contextmanager
def _opened_copy(file: Path) -> Iterator[Session]:
    """Of a database in a file, migrated to the newest tables. Raises ValueError for a damaged one."""
    with tempfile.TemporaryDirectory(prefix="unikat-") as folder:
        shutil.copy(file, Path(folder, DATABASE))
        _refuse_damaged(Path(folder, DATABASE), file)
        engine = open_database(f"sqlite:///{folder}/{DATABASE}")
        try:
            with reading(engine) as session:
                yield session
        finally:
            engine.dispose()
