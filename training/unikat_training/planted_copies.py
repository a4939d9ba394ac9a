"""Damaged copies of pictures, by which it is measured how many copies a distance finds."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture: TypeAlias = npt.NDArray[np.uint8]  # (H, W, 3)
Damage: TypeAlias = Callable[[Picture, np.random.Generator], Picture]

JPEG_QUALITY: Final = 75
MOVED: Final = 1 / 32  # of the side, at most: two pixels of 64
CROPPED: Final = 0.05  # of each side
SEED: Final = 31


def exact(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture


def jpeg(picture: Picture, rng: np.random.Generator) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return np.asarray(Image.open(buffer).convert("RGB"))


def brightened(factor: float) -> Damage:
    return lambda picture, rng: np.clip(np.rint(picture * factor), 0, 255).astype(np.uint8)


def moved(picture: Picture, rng: np.random.Generator) -> Picture:
    """By one or two 64ths of the side in either direction; what comes free repeats the border."""
    reach = max(1, round(picture.shape[0] * MOVED))
    down, right = rng.integers(-reach, reach + 1, 2)
    rows, columns = (np.arange(side) for side in picture.shape[:2])
    out: Picture = picture[np.clip(rows + down, 0, len(rows) - 1)][:, np.clip(columns + right, 0, len(columns) - 1)]
    return out


def resized(factor: float) -> Damage:
    def resize(picture: Picture, rng: np.random.Generator) -> Picture:
        size = round(picture.shape[1] * factor), round(picture.shape[0] * factor)
        return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))

    return resize


def cropped(picture: Picture, rng: np.random.Generator) -> Picture:
    kept = [round(side * (1 - CROPPED)) for side in picture.shape[:2]]
    top, left = (int(rng.integers(0, side - keep + 1)) for side, keep in zip(picture.shape, kept, strict=False))
    return picture[top : top + kept[0], left : left + kept[1]]


def moved_jpeg(picture: Picture, rng: np.random.Generator) -> Picture:
    return jpeg(np.ascontiguousarray(moved(picture, rng)), rng)


DAMAGES: Final[dict[str, Damage]] = {
    "none": exact,
    "JPEG 75": jpeg,
    "brightness ×0.9": brightened(0.9),
    "brightness ×1.1": brightened(1.1),
    "moved by up to 1/32": moved,
    "moved, JPEG 75": moved_jpeg,
    "resized to 50%": resized(0.5),
    "resized to 200%": resized(2),
    "cropped by 5%": cropped,
    "mirrored": lambda picture, rng: picture[:, ::-1],
    "turned by 90°": lambda picture, rng: np.rot90(picture),
    "turned by 180°": lambda picture, rng: np.rot90(picture, 2),
}


def planted(pictures: npt.NDArray[np.uint8], damage: str) -> list[Picture]:
    """Copies of (N, H, W, 3), damaged as `DAMAGES` names it; the same every time."""
    rng = np.random.default_rng(SEED)
    return [np.ascontiguousarray(DAMAGES[damage](picture, rng)) for picture in pictures]
