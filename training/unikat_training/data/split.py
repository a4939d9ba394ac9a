"""Which pictures are held out of training, to measure a model on what it has not seen."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# An emoji's item: whose drawing it is, the code points, the name: "noto/1f44b-1f3fd waving hand medium skin tone".
_EMOJI = re.compile(r"([^/ ]+/[0-9a-f]{2,}(?:-[0-9a-f]{2,})*) ")
_SKIN_TONE = re.compile(r"-1f3f[b-f]")


def group_of(item: str) -> str:
    """What stays together: a picture of its own, but of a drawing in several skin tones all of them.

    Otherwise half of what is held out would be in the training set, in another colour.
    """
    emoji = _EMOJI.match(item)
    return _SKIN_TONE.sub("", emoji.group(1)) if emoji else item


def held_out(items: Sequence[str], share: float) -> npt.NDArray[np.bool_]:
    """Whether each item is held out, about `share` of them: decided by its name alone, so that it never changes."""
    return np.array([_uniform(group_of(item)) < share for item in items], dtype=np.bool_)


def _uniform(text: str) -> float:
    """A number in [0, 1) that follows from a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
