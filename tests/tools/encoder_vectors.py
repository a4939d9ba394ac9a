"""Writes tests/vectors/encoders.json: `python -m tests.tools.encoder_vectors`. Vectors that stand there never change.

A vector is a picture of a few pixels and the file that an encoder makes of it, in base64; `fingerprint` is the SHA-256
by which a worker knows its encoders.
"""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path

import numpy as np
import numpy.typing as npt

from unikat.encoders import FORMAT_OF, WITH_ALPHA
from unikat_worker.encoding import encode, verify

PATH = Path(__file__).parents[1] / "vectors" / "encoders.json"


def picture(channels: int) -> npt.NDArray[np.uint8]:
    """uint8 (7, 9, channels)."""
    return (np.arange(7 * 9 * channels, dtype=np.uint32) * 37 % 251 // 8 * 8).astype(np.uint8).reshape(7, 9, channels)


def build() -> dict[str, object]:
    """The vectors as they are computed now."""
    pictures = {channels: picture(channels) for channels in (1, 3, 4)}
    return {
        "format": 1,
        "pictures": {str(n): {"shape": p.shape, "pixels": _text(p.tobytes())} for n, p in pictures.items()},
        "encoders": {
            name: {
                "fingerprint": verify(name),
                "files": {
                    str(channels): _text(encode(pixels[None], name)[0])
                    for channels, pixels in pictures.items()
                    if channels != 4 or number in WITH_ALPHA
                },
            }
            for name, number in FORMAT_OF.items()
        },
    }


def _text(data: bytes) -> str:
    return b64encode(data).decode()


if __name__ == "__main__":
    PATH.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
