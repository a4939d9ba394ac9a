"""What is shown on the two sides of a pair: pixels of one size, on white, that say nothing but what they show."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from unikat.pictures import on_white, read_pixels
from unikat_gallery.votes.vote import Kind, Side

Pixels = npt.NDArray[np.uint8]

SUFFIXES: Final = frozenset({".png", ".jpg", ".jpeg", ".webp"})
RANDOM: Final = secrets.SystemRandom()
MOST_PICTURES: Final = 20_000
PARTS: Final = 8  # a side, of a picture in pieces


@dataclass(frozen=True)
class Shown:
    """One side: what it is, and its pixels (H, W, 3)."""

    side: Side
    pixels: Pixels

    @property
    def in_pieces(self) -> Shown:
        """The same, with its parts shuffled."""
        return Shown(Side(Kind.PIECES, self.side.work, recipe=self.side.recipe), in_pieces(self.pixels))


def artist_pictures(folder: Path | None) -> Sequence[Path]:
    """The picture files in a folder and those below it, by name. Raises ValueError for a folder without any."""
    if folder is None:
        return ()
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not found:
        raise ValueError(f"--artist-pictures: {folder} has no picture ({', '.join(sorted(SUFFIXES))})")
    return found[:MOST_PICTURES]


def read_artist_picture(path: Path, size: tuple[int, int]) -> tuple[Pixels, str]:
    """Pixels (H, W, 3) at a model's size (width, height), the middle of it, and the digest of the file.

    Raises ValueError for a file that cannot be read.
    """
    try:
        data = path.read_bytes()
        image = Image.fromarray(on_white(read_pixels(data)))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    fitted = ImageOps.fit(image, size, Image.Resampling.BOX)
    return np.asarray(fitted), hashlib.sha256(data).hexdigest()


def in_pieces(pixels: Pixels) -> Pixels:
    """A picture (H, W, 3) whose PARTS × PARTS parts are shuffled."""
    height, width = (side - side % PARTS for side in pixels.shape[:2])
    tiles = pixels[:height, :width].reshape(PARTS, height // PARTS, PARTS, width // PARTS, 3).swapaxes(1, 2)
    flat = tiles.reshape(PARTS * PARTS, height // PARTS, width // PARTS, 3)
    order = list(range(len(flat)))
    RANDOM.shuffle(order)
    mixed = flat[order].reshape(PARTS, PARTS, height // PARTS, width // PARTS, 3).swapaxes(1, 2)
    found = pixels.copy()
    found[:height, :width] = mixed.reshape(height, width, 3)
    return found


def file_of(pixels: Pixels) -> bytes:
    """PNG of pixels (H, W, 3), without metadata."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
