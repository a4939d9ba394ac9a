"""The log as static files that anybody can copy (c2sp.org/tlog-tiles): tiles first, then the checkpoint."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from unikat.files import write_whole
from unikat.transparency import tiles
from unikat.transparency.checkpoint import Checkpoint
from unikat_registry.tables import ENTRIES, NODES
from unikat_registry.tree import committed, root_of

_MODE: Final = 0o644  # anybody may read it
_LOCK: Final = ".lock"


class RolledBack(RuntimeError):
    """The database is older than what was published from it, or another one."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process publishes at a time; a process that is killed holds no lock. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def published(folder: Path) -> str | None:
    """The checkpoint that is there, as a signed note."""
    with suppress(FileNotFoundError):
        return (folder / tiles.CHECKPOINT).read_text(encoding="utf-8")
    return None


def refuse_older(session: Session, origin: str, note: str) -> Checkpoint:
    """The published checkpoint, which the database extends. Raises RolledBack where it does not, and NoteError.

    Only size and root count: whose signature it has says nothing about the database.
    """
    before = Checkpoint.parse(note)
    size = committed(session)
    if before.origin != origin:
        raise RolledBack(f"the published checkpoint is of the log {before.origin}, not of {origin}")
    if before.size > size:
        raise RolledBack(
            f"the published checkpoint has {before.size} entries, and the database {size}: it was restored from a "
            "backup that is too old, or is another one. See docs/provenance.md, The registry's log"
        )
    if root_of(session, before.size) != before.root:
        raise RolledBack(
            f"the first {before.size} entries of the database are others than those of the published checkpoint. "
            "See docs/provenance.md, The registry's log"
        )
    return before


def write_tiles(session: Session, folder: Path, old: int, new: int) -> None:
    """Write what `new` entries have and `old` had not; all of it is on the disk when this returns. Raises OSError.

    A file that a killed process wrote is written again, with the same bytes.
    """
    written = [_write_bundle(session, folder, tile, width) for tile, width in tiles.widths(new, old)]
    for level in range(tiles.levels(new)):
        before, now = (size >> level * tiles.HEIGHT for size in (old, new))
        written += [_write_tile(session, folder, (level, tile), width) for tile, width in tiles.widths(now, before)]
    for each in {parent for path in written for parent in path.parents if parent.is_relative_to(folder)}:
        sync_folder(each)


def write_checkpoint(folder: Path, note: str) -> None:
    """Write the checkpoint, behind its tiles; it is on the disk when this returns. Raises OSError."""
    _write(folder / tiles.CHECKPOINT, note.encode())
    sync_folder(folder)


def drop_partial(folder: Path, old: int, new: int) -> None:
    """Remove partial tiles whose full tile is there, which readers take instead."""
    for name in (tiles.ENTRIES, *range(tiles.levels(new))):
        bits = 0 if isinstance(name, str) else name * tiles.HEIGHT
        # From the tile before: a process may have been killed between its checkpoint and this.
        for tile in range(max(0, (old >> bits) // tiles.WIDTH - 1), (new >> bits) // tiles.WIDTH):
            shutil.rmtree(folder / f"{tiles.tile_path(name, tile)}.p", ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_bundle(session: Session, folder: Path, tile: int, width: int) -> Path:
    first = tile * tiles.WIDTH
    rows = select(ENTRIES.c.leaf).where(ENTRIES.c.entry.between(first, first + width - 1)).order_by(ENTRIES.c.entry)
    return _write(folder / tiles.tile_path(tiles.ENTRIES, tile, width), tiles.bundle(session.scalars(rows)))


def _write_tile(session: Session, folder: Path, place: tuple[int, int], width: int) -> Path:
    level, tile = place
    first = tile * tiles.WIDTH
    of_tile = NODES.c.level == level * tiles.HEIGHT, NODES.c.place.between(first, first + width - 1)
    rows = select(NODES.c.hash).where(*of_tile).order_by(NODES.c.place)
    return _write(folder / tiles.tile_path(level, tile, width), b"".join(session.scalars(rows)))


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(".*.tmp"):  # of a process that was killed: nobody else writes while we hold the lock
        left.unlink()
    write_whole(path, data, _MODE)
    return path
