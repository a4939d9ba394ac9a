"""Names of the modes of originality, and of the reasons for which an image is not delivered."""

from __future__ import annotations

from typing import Final

from unikat.v1 import studio_pb2 as pb

MODES: Final = ("", "warn", "enforce")  # of originality, as jobs say it: the later, the stricter
ENFORCE: Final = MODES[-1]
ORIGINALITY: Final[dict[str, pb.OriginalityMode]] = {
    "off": pb.ORIGINALITY_MODE_OFF,
    "warn": pb.ORIGINALITY_MODE_WARN,
    "enforce": pb.ORIGINALITY_MODE_ENFORCE,
}


def reason_name(reason: pb.Refusal) -> str:
    """ "NEAR_COPY" of REFUSAL_NEAR_COPY; of one that a later release has, its number."""
    known = reason in pb.Refusal.values()
    return pb.Refusal.Name(reason).removeprefix("REFUSAL_") if known else str(int(reason))
