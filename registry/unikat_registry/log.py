"""The log of claimed works: entries in one sequence, the hashes of their Merkle tree, and signed checkpoints of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, insert, update
from sqlalchemy.orm import Session

from unikat.transparency import merkle
from unikat.transparency.checkpoint import Checkpoint
from unikat.transparency.note import SigningKey
from unikat.transparency.proof import Proof
from unikat_registry import publication
from unikat_registry.database import reading
from unikat_registry.tables import ENTRIES, LOG_SIZE, NODES
from unikat_registry.tree import committed, completed, read_tree, root_of

LONGEST_LEAF: Final = 65_535  # bytes: the length of an entry has 16 bits in C2SP's bundles


class Log:
    """An append-only log in a database, whose checkpoints are signed by `signing_key`, and by those of `also`.

    A checkpoint says `origin`, which the keys are named after. Processes may share the database.
    """

    def __init__(self, engine: Engine, origin: str, signing_key: SigningKey, also: Sequence[SigningKey] = ()) -> None:
        """Raises ValueError where a key is not named as the log is."""
        self.origin = origin
        self._engine = engine
        self._keys = (signing_key, *also)
        for key in self._keys:
            if key.name != origin:
                raise ValueError(
                    f"the key is named {key.name}, and the log {origin}: readers take only keys of its name"
                )

    def append(self, session: Session, leaf: bytes) -> int:
        """Add an entry in the caller's transaction; its index, which counts from 0 without gaps.

        The lock of the log is held until the transaction ends: append late in it. Raises ValueError for a leaf that no
        bundle could hold.
        """
        if not 0 < len(leaf) <= LONGEST_LEAF:
            raise ValueError(f"leaf: 1 to {LONGEST_LEAF} bytes, not {len(leaf)}")
        # On PostgreSQL this waits for whoever appends, then counts on from what was committed.
        size: int = session.execute(
            update(LOG_SIZE).values(size=LOG_SIZE.c.size + 1).returning(LOG_SIZE.c.size)
        ).scalar_one()
        entry = size - 1
        session.execute(insert(ENTRIES).values(entry=entry, leaf=leaf))
        nodes = completed(session, entry, merkle.leaf_hash(leaf))
        session.execute(
            insert(NODES), [{"level": level, "place": place, "hash": hash} for (level, place), hash in nodes]
        )
        return entry

    def size(self) -> int:
        """How many entries are committed."""
        with reading(self._engine) as session:
            return committed(session)

    def checkpoint(self) -> str:
        """The signed checkpoint of what is committed."""
        with reading(self._engine) as session:
            return self._signed(session, committed(session))

    def prove(self, index: int, size: int | None = None) -> Proof:
        """That entry `index` is among the first `size`, by default among all that are committed. Raises ValueError.

        Publish before you prove: a checkpoint that somebody holds must be one that everybody can see.
        """
        with reading(self._engine) as session:
            size = _checked(size, committed(session))
            path = read_tree(session, lambda node: merkle.inclusion(index, size, node))
            return Proof(index, size, tuple(path), self._signed(session, size))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The hashes (32 bytes each) that prove that the first `new` entries begin with the first `old`.

        Raises ValueError for sizes that the log has not had.
        """
        with reading(self._engine) as session:
            _checked(new, committed(session))
            return read_tree(session, lambda node: merkle.consistency(old, new, node))

    def publish(self, folder: Path) -> str:
        """Bring the static files in a folder up to what is committed; the signed checkpoint that is there then.

        The checkpoint is written when all tiles that it needs are on the disk. A process that was killed leaves a
        folder that the next call goes on from. Raises RolledBack where the database does not extend what was
        published, NoteError where the folder's checkpoint is none, and OSError.
        """
        with publication.locked(folder), reading(self._engine) as session:
            before = publication.published(folder)
            old = publication.refuse_older(session, self.origin, before).size if before else 0
            new = committed(session)
            note = self._signed(session, new)
            if note != before:
                publication.write_tiles(session, folder, old, new)
                publication.write_checkpoint(folder, note)
            publication.drop_partial(folder, old, new)
        return note

    def check_published(self, folder: Path) -> None:
        """Raises RolledBack where the database does not extend what was published: a registry does not start then."""
        before = publication.published(folder)
        if before:
            with reading(self._engine) as session:
                publication.refuse_older(session, self.origin, before)

    def _signed(self, session: Session, size: int) -> str:
        return Checkpoint(self.origin, size, root_of(session, size)).sign(self._keys)


def _checked(size: int | None, most: int) -> int:
    if size is None:
        return most
    if not 0 <= size <= most:
        raise ValueError(f"size: the log has 0 to {most} entries, not {size}")
    return size
