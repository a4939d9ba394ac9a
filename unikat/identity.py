"""The id of an artwork: the same image has the same id wherever it is drawn."""

from __future__ import annotations

import hashlib
import struct

from unikat.conditions import Weights


def identity_of(digest: str, weights: Weights, seed: int, index: int, truncation: float, background: str = "") -> str:
    """The first 16 hex digits of the SHA-256 of what an image is a pure function of.

    Hashed is UTF-8 text, one item a line: the model's digest, the seed, the index, the truncation, then for each
    attribute, by name, `attribute=category:weight,category:weight` with the categories by name and those of weight 0
    left out. Numbers are decimal; truncation and weights are the 8 hex digits of their float32, most significant
    first (1 is 3f800000), because text of a float differs between languages. For a model with alpha a last line
    `background=#rrggbbaa` follows. An `Artwork` message holds all of it.
    """
    return identity_from(digest, seed, index, canonical_text(weights, truncation, background))


def canonical_text(weights: Weights, truncation: float, background: str = "") -> str:
    """The part of an identity's text that the images of a job may share: all but digest, seed and index."""
    lines = [_hex(truncation)]
    for name in sorted(weights):
        shares = ",".join(f"{category}:{_hex(share)}" for category, share in sorted(weights[name].items()) if share)
        lines.append(f"{name}={shares}")
    if background:
        lines.append(f"background={background}")
    return "\n".join(lines)


def identity_from(digest: str, seed: int, index: int, text: str) -> str:
    """`identity_of` where the canonical text is known."""
    return hashlib.sha256(f"{digest}\n{seed}\n{index}\n{text}".encode()).hexdigest()[:16]


def _hex(number: float) -> str:
    return struct.pack(">f", number).hex()
