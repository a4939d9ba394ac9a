"""Writes tests/vectors/latents.json: `python -m tests.tools.vectors`. The file is frozen: a change of it is a break.

Numbers are hexadecimal floats, so that a reader in any language gets every bit.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np

from unikat.sampling import Purpose, latents, philox

PATH = Path(__file__).parents[1] / "vectors" / "latents.json"
ATTEMPTS = [(7, 0, 8, 1), (7, 0, 8, 2), (2**64 - 1, 2**32 + 3, 5, 8)]
CASES = [(0, 0, 4), (7, 0, 8), (7, 1, 8), (7, 2, 6), (2**32, 5, 4), (2**64 - 1, 2**32 + 3, 5), (123456789, 4095, 3)]


def build() -> dict[str, object]:
    """The vectors as they are computed now."""
    digest_of = latents(2026, range(4096), 128)
    return {
        "format": 1,
        "latents": [
            {"seed": str(seed), "index": index, "values": [float(v).hex() for v in latents(seed, [index], size)[0]]}
            for seed, index, size in CASES
        ],
        "words": [
            {"seed": str(s), "index": i, "purpose": p.name.lower(), "words": [int(w) for w in philox(s, [i], p, 1)[0]]}
            for s, i, _ in CASES
            for p in Purpose
        ],
        "attempts": [
            {
                "seed": str(seed),
                "index": index,
                "attempt": attempt,
                "values": [float(v).hex() for v in latents(seed, [index], size, attempt)[0]],
            }
            for seed, index, size, attempt in ATTEMPTS
        ],
        # 524,288 numbers in one: tails and every branch of the normal formula
        "crc": {"seed": "2026", "indices": 4096, "size": 128, "crc32": _crc(digest_of)},
    }


def _crc(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> int:
    return zlib.crc32(values.astype("<f4").tobytes())


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
