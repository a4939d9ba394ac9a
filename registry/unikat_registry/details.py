"""Details that name people: beside the log, whose entry has their salted hash, and erased on request."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from unikat.transparency.details import SALT_BYTES, canonical, salted_hash
from unikat_registry.tables import DETAILS


@dataclass(frozen=True)
class Details:
    """What names people, by name, and the salt (32 bytes) that it is hashed with."""

    salt: bytes
    values: dict[str, str]

    @classmethod
    def fresh(cls, values: Mapping[str, str]) -> Details:
        """With a salt of its own."""
        return cls(secrets.token_bytes(SALT_BYTES), dict(values))

    @property
    def hash(self) -> bytes:
        """What stands in the entry (32 bytes)."""
        return salted_hash(self.salt, self.values)


def keep(session: Session, entry: int, details: Details) -> None:
    """Store the details of an entry, in the transaction that appends it."""
    session.execute(insert(DETAILS).values(entry=entry, salt=details.salt, text=canonical(details.values)))


def find(session: Session, entry: int) -> Details | None:
    """The details of an entry; None where they were erased, or it never had any."""
    row = session.execute(select(DETAILS.c.salt, DETAILS.c.text).where(DETAILS.c.entry == entry)).one_or_none()
    return None if row is None or row.salt is None else Details(row.salt, json.loads(row.text))


def is_there(session: Session, entry: int) -> bool:
    """Whether the details of an entry are known, or known to be erased."""
    return session.scalar(select(DETAILS.c.entry).where(DETAILS.c.entry == entry)) is not None


def erase(session: Session, entry: int) -> bool:
    """Remove salt and details of an entry; the log stays as it is. False where there are none (any more).

    Without its salt the hash in the entry says nothing. What stays in backups, in the database's files
    until `erasure.overwrite`, and with whoever holds a certificate is written down in docs/provenance.md.
    """
    there = DETAILS.c.entry == entry, DETAILS.c.salt.is_not(None)
    return session.execute(update(DETAILS).where(*there).values(salt=None, text=None)).rowcount > 0  # type: ignore[attr-defined, no-any-return]  # an UPDATE's result has it


def erase_again(session: Session, entry: int) -> None:
    """Erase the details of an entry whose erasure is in the log, so that nobody brings them back either."""
    if not is_there(session, entry):
        session.execute(insert(DETAILS).values(entry=entry, salt=None, text=None))
    erase(session, entry)
