"""Claimed works in the database: a row a work beside its entry in the log, and what all of them look like."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Integer,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    desc,
    insert,
    select,
    union_all,
    update,
)
from sqlalchemy.orm import Session

from unikat.likeness import Look
from unikat.v1 import provenance_pb2 as pb
from unikat_registry import details
from unikat_registry.details import Details
from unikat_registry.tables import DETAILS, ENTRIES, LOG_SIZE, METADATA

WORKS: Final = Table(
    "works",
    METADATA,
    Column("artwork", LargeBinary, primary_key=True),  # the artwork's digest
    Column("entry", BigInteger, nullable=False, unique=True),
    Column("id", String(16), nullable=False),
    Column("owner_key", LargeBinary, nullable=False),  # the present owner's
    Column("hash", LargeBinary, nullable=False),
    Column("colours", LargeBinary, nullable=False),
    Column("image", LargeBinary, nullable=False),  # the file
    Column("model", Text, nullable=False),  # JSON of licence and credits, as they were when it was claimed
)
TRANSFERS: Final = Table(
    "transfers",
    METADATA,
    Column("entry", BigInteger, primary_key=True, autoincrement=False),
    Column("artwork", LargeBinary, nullable=False),
    Column("number", Integer, nullable=False),
)


@dataclass(frozen=True)
class LoggedEntry:
    """An entry of the log: its index, what it says, and what it says of people, if that was not erased."""

    index: int
    said: Mapping[str, Any]
    details: Details | None


@dataclass(frozen=True)
class StoredWork:
    """A work with all that the registry has of it; `transfers` in their order."""

    artwork: bytes
    owner_key: bytes
    image: bytes
    model: Mapping[str, Any]
    claim: LoggedEntry
    transfers: tuple[LoggedEntry, ...]

    @property
    def owner(self) -> str:
        """Name of the present owner; "" where it was erased."""
        last = self.transfers[-1] if self.transfers else self.claim
        return last.details.values["owner"] if last.details else ""

    def message(self) -> pb.Work:
        """As it is sent."""
        said, names = self.claim.said, self.claim.details.values if self.claim.details else {}
        work = pb.Work(
            id=said["artwork"][:16], digest=self.artwork, entry=self.claim.index, title=names.get("title", ""),
            creator=names.get("creator", ""), owner=self.owner, owner_key=self.owner_key,
            model=said["recipe"]["model"], transfers=len(self.transfers),
        )  # fmt: skip
        work.claim_time.FromDatetime(datetime.fromisoformat(said["time"]))
        return work


def hold_the_log(session: Session) -> None:
    """Wait for whoever appends, and keep others waiting until the transaction ends. SQLite does so from its begin."""
    session.execute(select(LOG_SIZE.c.size).with_for_update())


def enter(session: Session, work: StoredWork, look: Look) -> None:
    """Store a claimed work, whose entry was appended in the same transaction."""
    row = {
        "artwork": work.artwork, "entry": work.claim.index, "id": work.claim.said["artwork"][:16],
        "owner_key": work.owner_key, "hash": look.hash, "colours": look.colours, "image": work.image,
        "model": json.dumps(dict(work.model)),
    }  # fmt: skip
    session.execute(insert(WORKS).values(row))


def enter_unseen(session: Session, said: Mapping[str, Any], entry: int, terms: Mapping[str, Any]) -> None:
    """Store the work of a claim that was read back from the log, without its picture: `show` brings it."""
    row = {
        "artwork": bytes.fromhex(said["artwork"]), "entry": entry, "id": said["artwork"][:16],
        "owner_key": bytes.fromhex(said["owner_key"]), "hash": bytes.fromhex(said["phash"]), "colours": b"",
        "image": b"", "model": json.dumps(dict(terms)),
    }  # fmt: skip
    session.execute(insert(WORKS).values(row))


def show(session: Session, artwork: bytes, image: bytes, look: Look, terms: Mapping[str, Any]) -> None:
    """Store the picture of a work that has none."""
    seen = {"image": image, "colours": look.colours, "model": json.dumps(dict(terms))}
    session.execute(update(WORKS).where(WORKS.c.artwork == artwork).values(seen))


def unseen(session: Session) -> list[StoredWork]:
    """The works without a picture, by entry."""
    wanted = select(WORKS).where(WORKS.c.image == b"").order_by(WORKS.c.entry)
    return [_stored(session, row) for row in session.execute(wanted).all()]


def nameless(session: Session) -> list[int]:
    """Entries of claims and transfers whose names are not known, nor known to be erased, in their order."""
    told = union_all(select(WORKS.c.entry), select(TRANSFERS.c.entry)).subquery()
    known = select(DETAILS.c.entry).where(DETAILS.c.entry == told.c.entry).exists()
    return list(session.scalars(select(told.c.entry).where(~known).order_by(told.c.entry)))


def hand_on(session: Session, artwork: bytes, entry: int, number: int, owner_key: bytes) -> None:
    """Store a transfer, whose entry was appended in the same transaction."""
    session.execute(insert(TRANSFERS).values(entry=entry, artwork=artwork, number=number))
    session.execute(update(WORKS).where(WORKS.c.artwork == artwork).values(owner_key=owner_key))


def find(session: Session, artwork: bytes) -> StoredWork | None:
    """A work by its artwork's digest."""
    row = session.execute(select(WORKS).where(WORKS.c.artwork == artwork)).one_or_none()
    return None if row is None else _stored(session, row)


def find_all(session: Session, id: str) -> list[StoredWork]:
    """The works of an id (16 hex digits), which somebody may have made equal on purpose, or of a digest (64)."""
    which = WORKS.c.artwork == bytes.fromhex(id) if len(id) == 64 else WORKS.c.id == id
    return [_stored(session, row) for row in session.execute(select(WORKS).where(which))]


def beginning_with(session: Session, payload: bytes) -> list[bytes]:
    """The digests of works that begin with what a watermark carries (4 or 8 bytes), in the order of their entries."""
    begins = WORKS.c.artwork.between(payload, payload.ljust(32, b"\xff"))
    return list(session.scalars(select(WORKS.c.artwork).where(begins).order_by(WORKS.c.entry)))


def newest(session: Session, count: int, before: int | None, owner_key: bytes) -> list[StoredWork]:
    """Works by entry, newest first, below entry `before`, of one owner or (b"") of all."""
    wanted = select(WORKS).order_by(desc(WORKS.c.entry)).limit(count)
    if before is not None:
        wanted = wanted.where(WORKS.c.entry < before)
    if owner_key:
        wanted = wanted.where(WORKS.c.owner_key == owner_key)
    return [_stored(session, row) for row in session.execute(wanted)]


def leaf(session: Session, index: int) -> bytes | None:
    """The bytes of an entry of the log; None where there is none."""
    return session.scalar(select(ENTRIES.c.leaf).where(ENTRIES.c.entry == index))


def _stored(session: Session, row: Row[Any]) -> StoredWork:
    transfers = select(TRANSFERS.c.entry).where(TRANSFERS.c.artwork == row.artwork).order_by(TRANSFERS.c.number)
    entries = [_entry(session, index) for index in (row.entry, *session.scalars(transfers))]
    return StoredWork(
        bytes(row.artwork), bytes(row.owner_key), bytes(row.image), json.loads(row.model), entries[0],
        tuple(entries[1:]),
    )  # fmt: skip


def _entry(session: Session, index: int) -> LoggedEntry:
    return LoggedEntry(index, json.loads(leaf(session, index) or b""), details.find(session, index))
