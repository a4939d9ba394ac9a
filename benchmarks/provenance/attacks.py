"""What happens to pictures on their way."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.provenance.pictures import Pixels, scaled

Attack: TypeAlias = Callable[[Pixels], Pixels]

_RANDOM: Final = np.random.default_rng(1)


def _file(kind: str, quality: int) -> Attack:
    def attack(picture: Pixels) -> Pixels:
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, kind, quality=quality)
        return np.asarray(Image.open(buffer).convert("RGB"))

    return attack


def _by(factor: float) -> Attack:
    return lambda picture: scaled(picture, (round(picture.shape[1] * factor), round(picture.shape[0] * factor)))


def _crop(share: float) -> Attack:
    def attack(picture: Pixels) -> Pixels:
        height, width = (round(side * (1 - share)) for side in picture.shape[:2])
        top, left = (int(_RANDOM.integers(0, a - b + 1)) for a, b in zip(picture.shape, (height, width), strict=False))
        return picture[top : top + height, left : left + width]

    return attack


def _tone(factor: float, pivot: float) -> Attack:
    return lambda picture: _whole((picture.astype(np.float64) - pivot) * factor + pivot)


def _whole(values: npt.NDArray[np.float64]) -> Pixels:
    pixels: Pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return pixels


def _noise(picture: Pixels) -> Pixels:
    return _whole(picture + _RANDOM.normal(0, 5, picture.shape))


def _palette(picture: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(picture).quantize(16).convert("RGB"))


ATTACKS: Final[dict[str, Attack]] = {
    "none": lambda picture: picture,
    "JPEG 90": _file("JPEG", 90),
    "JPEG 75": _file("JPEG", 75),
    "JPEG 50": _file("JPEG", 50),
    "WebP 80": _file("WEBP", 80),
    "noise σ 5": _noise,
    "screenshot ×3, JPEG 85": lambda picture: _file("JPEG", 85)(_by(3)(picture)),
    "resize 50%": _by(0.5),
    "resize 200%": _by(2),
    "crop 5%": _crop(0.05),
    "crop 10%": _crop(0.1),
    "brightness ×0.8": _tone(0.8, 0),
    "brightness ×1.2": _tone(1.2, 0),
    "contrast ×1.2": _tone(1.2, 128),
    "16 colours": _palette,
    "mirrored": lambda picture: np.ascontiguousarray(picture[:, ::-1]),
}
