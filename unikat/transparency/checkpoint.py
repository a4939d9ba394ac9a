"""Checkpoints (c2sp.org/tlog-checkpoint): what a log signs, its origin, size and root."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from unikat.transparency.errors import NoteError
from unikat.transparency.merkle import EMPTY_ROOT, HASH_BYTES
from unikat.transparency.note import Note, SigningKey, VerifierKey, check_name

_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_ROOT: Final = re.compile(r"[A-Za-z0-9+/]{43}=")


@dataclass(frozen=True)
class Checkpoint:
    """The root (32 bytes) of the first `size` entries of the log that is called `origin`."""

    origin: str
    size: int
    root: bytes

    @classmethod
    def parse(cls, signed: str) -> Checkpoint:
        """The checkpoint of a signed note, whose signatures are not looked at. Raises NoteError."""
        return cls._of_text(Note.parse(signed).text)

    @classmethod
    def open(cls, signed: str, key: VerifierKey) -> Checkpoint:
        """The checkpoint of a note that the key signed. Raises NoteError and SignatureError."""
        note = Note.parse(signed)
        note.verify(key)
        found = cls._of_text(note.text)
        if found.origin != key.name:
            raise NoteError(f"the checkpoint is of the log {found.origin}, and the key of {key.name}")
        return found

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"

    def sign(self, keys: Sequence[SigningKey]) -> str:
        """The signed note."""
        return f"{self.text}\n{''.join(key.sign(self.text) for key in keys)}"

    @classmethod
    def _of_text(cls, text: str) -> Checkpoint:
        lines = text.split("\n")  # extension lines behind the root are allowed, and say nothing here
        if len(lines) < 4:
            raise NoteError("a checkpoint has three lines: origin, size and root")
        origin, size, root = lines[:3]
        if not _SIZE.fullmatch(size):
            raise NoteError(f"the checkpoint's size is a decimal number, not {size[:40]!r}")
        if not _ROOT.fullmatch(root) or b64encode(b64decode(root)).decode() != root:
            raise NoteError(f"the checkpoint's root is the base64 of {HASH_BYTES} bytes, not {root[:50]!r}")
        found = cls(check_name(origin), int(size), b64decode(root))
        if found.size == 0 and found.root != EMPTY_ROOT:
            raise NoteError("the checkpoint's root is not that of a log without entries")
        return found
