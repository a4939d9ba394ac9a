"""Whether two checkpoints are of one log, or the log showed different entries to different people."""

from __future__ import annotations

from collections.abc import Sequence

from unikat.transparency.checkpoint import Checkpoint
from unikat.transparency.errors import ConsistencyError, NoteError, SplitView
from unikat.transparency.merkle import roots_from_consistency
from unikat.transparency.note import VerifierKey


def check_views(first: str, second: str, key: VerifierKey, proof: Sequence[bytes] | None = None) -> None:
    """Return where the larger of two signed checkpoints extends the smaller, as `proof` shows.

    Raises SplitView for two checkpoints of one size with different roots: with both in hand, anybody can show it.
    Raises ConsistencyError where the sizes differ and the proof is None or does not lead to both roots: a log that has
    no better proof has split its view. Raises NoteError and SignatureError for what the key did not sign.
    """
    small, large = sorted((Checkpoint.open(note, key) for note in (first, second)), key=lambda each: each.size)
    check_extends(small, large, proof)


def check_extends(small: Checkpoint, large: Checkpoint, proof: Sequence[bytes] | None = None) -> None:
    """As `check_views`, for checkpoints whose signatures were verified."""
    if small.origin != large.origin:
        raise NoteError(f"the checkpoints are of two logs, {small.origin} and {large.origin}")
    if small.size == large.size:
        if small.root != large.root:
            raise SplitView(
                f"{small.origin} signed two different logs of {small.size} entries, "
                f"with the roots {small.root.hex()} and {large.root.hex()}"
            )
        return
    if small.size > large.size:
        raise ConsistencyError(f"a log of {large.size} entries does not extend one of {small.size}")
    if small.size == 0:
        return
    step = f"that the log of {large.size} entries extends the one of {small.size}"
    if proof is None:
        raise ConsistencyError(f"no proof {step}")
    try:
        roots = roots_from_consistency(small.size, large.size, small.root, proof)
    except ValueError as error:
        raise ConsistencyError(f"no proof {step}: {error}") from error
    if roots != (small.root, large.root):
        raise ConsistencyError(f"no proof {step}: the hashes do not lead to both roots")
