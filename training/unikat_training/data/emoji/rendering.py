"""One drawing to pixels: rendered large, on white or on nothing, reduced once."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from unikat_training.data.pictures import cleared
from unikat_training.data.svg import rasterised

SUPERSAMPLING = 4  # the canvas is drawn this many times larger and reduced by Lanczos
MARGIN = 0.015  # of the canvas' side; nothing is drawn nearer to the edge
VISIBLE = 8  # alpha above this is part of the drawing; soft shadows fade below it


@dataclass(frozen=True)
class Drawing:
    """An SVG text or a raster file, and what its designer's canvas is scaled by."""

    content: bytes
    scale: float
    resolution: int
    channels: int = 3  # 4: with alpha


def render(drawing: Drawing) -> npt.NDArray[np.uint8] | None:
    """The drawing as (H, W, 3) on white, or (H, W, 4) with alpha; None when nothing of it can be seen.

    Raises ValueError or OSError when it cannot be drawn.
    """
    side = drawing.resolution * SUPERSAMPLING
    raster = _rasterise(drawing.content, side)
    box = raster.getchannel("A").point(lambda alpha: 255 * (alpha > VISIBLE)).getbbox()
    if box is None:
        return None
    span = max(box[2] - box[0], box[3] - box[1]) / side
    factor = min(drawing.scale, (1 - 2 * MARGIN) / span)  # shrink what would leave the canvas
    size = max(1, round(side * factor))
    if size != side:
        raster = raster.resize((size, size), Image.Resampling.LANCZOS)
    margin = round(side * MARGIN)
    left, top = (_offset(side, size, box[axis] / side, box[axis + 2] / side, margin) for axis in (0, 1))
    canvas = Image.new("RGBA", (side, side), "#ffffff00" if drawing.channels == 4 else "white")
    layer = Image.new("RGBA", (side, side))
    layer.paste(raster, (left, top))
    canvas.alpha_composite(layer)
    canvas = canvas if drawing.channels == 4 else canvas.convert("RGB")
    return cleared(np.asarray(canvas.resize((drawing.resolution,) * 2, Image.Resampling.LANCZOS), dtype=np.uint8))


def _offset(side: int, size: int, low: float, high: float, margin: int) -> int:
    # Keep the designer's centring unless it clips; `low` and `high` are the drawing's extent within its own canvas.
    centred = (side - size) / 2
    return round(min(max(centred, margin - low * size), side - margin - high * size))


def _rasterise(content: bytes, side: int) -> Image.Image:
    if content.startswith(b"<svg"):
        return rasterised(content.decode(), side).resize((side, side), Image.Resampling.LANCZOS)
    with Image.open(io.BytesIO(content)) as image:
        return image.convert("RGBA").resize((side, side), Image.Resampling.LANCZOS)
