"""The digest and the id of an artwork: the same image has the same ones wherever it is drawn."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

from unikat.conditions import Weights
from unikat.recipes.mix import Latent, Mix
from unikat.recipes.text import vector_numbers


def artwork_digest(
    digest: str,
    weights: Weights,
    seed: int,
    index: int,
    truncation: float,
    background: str = "",
    *,
    attempt: int = 0,
    mix: Mix | None = None,
) -> bytes:
    """The SHA-256 of what an image is a pure function of (32 bytes); docs/provenance.md has test vectors.

    Where there is a `mix`, that is drawn, and neither seed nor index count. Hashed is UTF-8 text, one item a line: the
    model's digest, the seed, the index, the truncation, then for each attribute, by name,
    `attribute=category:weight,category:weight` with the categories by name and those of weight 0 left out. Numbers are
    decimal; truncation and weights are the 8 hex digits of their float32, most significant first (1 is 3f800000),
    because text of a float differs between languages. For a model with alpha a last line `background=#rrggbbaa`
    follows. An `Artwork` message holds all of it. That is form 1, which has no line for its number, so that digests of
    earlier releases stay. Later attempts have form 2: the lines `form=2` and `attempt=N`, then those of form 1.

    A mix that is not the latent of a seed and an index has form 3: `form=3`, `attempt=N`, the model's digest, a line
    for each base point, `point=seed:index:weight` or `vector=numbers:weight`, one for each shift,
    `shift=direction:strength`, and then the lines of form 1 from the truncation on.
    """
    latent = (seed, index) if mix is None else mix.latent
    return digest_from(digest, latent, attempt, canonical_text(weights, truncation, background))


def short_id(digest: bytes) -> str:
    """The id of an artwork: the first 16 hex digits of its digest. A name; what proves something is the digest."""
    return digest[:8].hex()


def canonical_text(weights: Weights, truncation: float, background: str = "") -> str:
    """The part of a digest's text that the images of a job may share: all but the model's digest, seed and index."""
    lines = [_hex(truncation)]
    for name in sorted(weights):
        shares = ",".join(f"{category}:{_hex(share)}" for category, share in sorted(weights[name].items()) if share)
        lines.append(f"{name}={shares}")
    if background:
        lines.append(f"background={background}")
    return "\n".join(lines)


def digest_from(digest: str, latent: Latent, attempt: int, text: str) -> bytes:
    """`artwork_digest` where the canonical text is known."""
    if isinstance(latent, Mix):
        lines = ["form=3", f"attempt={attempt}", digest, *_mix_lines(latent)]
    else:
        lines = ["form=2", f"attempt={attempt}"] if attempt else []
        lines += [digest, str(latent[0]), str(latent[1])]
    return hashlib.sha256("\n".join([*lines, text]).encode()).digest()


def _mix_lines(mix: Mix) -> Iterator[str]:
    for base, weight in mix.points:
        if isinstance(base, bytes):
            yield f"vector={''.join(map(_hex, vector_numbers(base)))}:{_hex(weight)}"
        else:
            yield f"point={base[0]}:{base[1]}:{_hex(weight)}"
    for name, strength in mix.shifts:
        yield f"shift={name}:{_hex(strength)}"


def _hex(number: float) -> str:
    return struct.pack(">f", number).hex()
