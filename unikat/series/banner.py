"""A drawing on a banner: scaled crisply, in the colours of a palette, on a ground."""

from __future__ import annotations

from typing import Final

import numpy as np
from PIL import Image

from unikat.background import is_opaque
from unikat.palette import Palette, Pixels
from unikat.series.spec import Size

_SOLID: Final = 128  # alpha from which on a pixel is part of the drawing's outline


class Banners:
    """Makes the banners of a series. `palette`: None for a drawing's own colours."""

    def __init__(self, scaling: str, palette: Palette | None) -> None:
        """`scaling` is "pixels", by whole pixels, or "smooth"; the palette comes last, so that edges are sharp."""
        self._scaling = scaling
        self._palette = palette

    def factor(self, drawing: tuple[int, int], size: Size) -> float:
        """By how much a drawing of (width, height) is enlarged. Raises ValueError where whole pixels have no room."""
        room = min(size.fill * size.width / drawing[0], size.fill * size.height / drawing[1])
        if self._scaling == "smooth":
            return room
        if min(size.width / drawing[0], size.height / drawing[1]) < 1:
            side = f"{drawing[0]} x {drawing[1]}"
            raise ValueError(f'the drawing has {side} pixels and does not fit; scaling = "smooth" shrinks it')
        return max(1, int(room))

    def make(self, drawing: Image.Image, size: Size, ground: str) -> Image.Image:
        """The banner, RGBA where the ground lets something through, else RGB. Raises ValueError as `factor` does."""
        factor = self.factor(drawing.size, size)
        scaled = self._scaled(drawing.convert("RGBA"), factor)
        banner = Image.new("RGBA", (size.width, size.height), ground)
        banner.alpha_composite(scaled, _corner(scaled, size))
        return banner.convert("RGB") if is_opaque(ground) else banner

    def _scaled(self, drawing: Image.Image, factor: float) -> Image.Image:
        to = max(1, round(drawing.width * factor)), max(1, round(drawing.height * factor))
        if self._scaling != "smooth":  # enlarging brings no new colour
            return self._mapped(drawing).resize(to, Image.Resampling.NEAREST)
        scaled = drawing.resize(to, Image.Resampling.LANCZOS)
        if self._palette is None:
            return scaled
        pixels = self._palette.map(np.asarray(scaled))
        if factor > 1:
            pixels[..., 3] = _sharpened(pixels[..., 3], factor)
        return Image.fromarray(pixels)

    def _mapped(self, drawing: Image.Image) -> Image.Image:
        return drawing if self._palette is None else Image.fromarray(self._palette.map(np.asarray(drawing)))


def _sharpened(alpha: Pixels, factor: float) -> Pixels:
    """Outlines a pixel wide: enlarging made them `factor` pixels wide, beside colours whose edges have no width."""
    steep = (alpha.astype(np.float64) - _SOLID) * factor + _SOLID
    sharp: Pixels = np.rint(np.clip(steep, 0, 255)).astype(np.uint8)
    return sharp


def _corner(drawing: Image.Image, size: Size) -> tuple[int, int]:
    """Where on the banner the drawing's left upper corner is.

    At the bottom the drawing's lowest outline stands on the edge, whatever is transparent below it.
    """
    across, down = size.width - drawing.width, size.height - drawing.height
    gap = min(down // 2, across)  # as far from the side as from above
    left = {"left": gap, "right": across - gap}.get(size.align.removeprefix("bottom-"), across // 2)
    if size.align.startswith("bottom"):
        return left, down + _empty_rows(np.asarray(drawing.getchannel("A")))
    return left, down // 2


def _empty_rows(alpha: Pixels) -> int:
    """Rows below the lowest in which something is solid."""
    solid = np.flatnonzero((alpha >= _SOLID).any(axis=1))
    return int(len(alpha) - 1 - solid[-1]) if len(solid) else 0
