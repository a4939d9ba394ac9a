"""Transparency logs as their readers see them: proofs and checkpoints, verified without a network.

Hashing as in RFC 9162, notes and checkpoints as in C2SP (c2sp.org/signed-note, tlog-checkpoint, tlog-tiles).
"""

from unikat.transparency.checkpoint import Checkpoint
from unikat.transparency.details import SALT_BYTES, salted_hash
from unikat.transparency.errors import (
    ConsistencyError,
    InclusionError,
    NoteError,
    SignatureError,
    SplitView,
    TileError,
    TransparencyError,
)
from unikat.transparency.note import Note, SigningKey, VerifierKey
from unikat.transparency.proof import Proof
from unikat.transparency.views import check_extends, check_views

__all__ = [
    "Proof", "Checkpoint", "Note", "SigningKey", "VerifierKey", "check_views", "check_extends",
    "salted_hash", "SALT_BYTES",
    "TransparencyError", "NoteError", "SignatureError", "InclusionError", "ConsistencyError", "SplitView", "TileError",
]  # fmt: skip
