"""SVG drawings as pixels. Nothing that they refer to is read."""

from __future__ import annotations

import io
import re
from typing import Final

import resvg_py
from PIL import Image

SIDE: Final = 1024  # pixels; what a drawing is rendered to fit into, whatever size it claims
_HEAD: Final = 4096  # bytes, in which the first element is
_REFERENCE: Final = re.compile(r"href\s*=\s*[\"']\s*([^\"']*)", re.IGNORECASE)
_WITHIN: Final = re.compile(r"#|data:image/(png|jpe?g|gif|webp)\b", re.IGNORECASE)


def is_svg(content: bytes) -> bool:
    """True for what begins as an SVG drawing does."""
    head = content[:_HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return b"<svg" in head and head.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg"))


def render(content: bytes) -> Image.Image:
    """The drawing as RGBA, its longer side SIDE; without fonts of the system, which differ, so without text.

    Raises ValueError for one that is broken, or refers to other files.
    """
    text = content.decode("utf-8-sig")
    if "<!ATTLIST" in text or not all(_WITHIN.match(reference) for reference in _REFERENCE.findall(text)):
        raise ValueError("it refers to other files, which are not read")
    return rasterised(text, SIDE, SIDE)


def rasterised(text: str, width: int, height: int | None = None) -> Image.Image:
    """A drawing as RGBA that fits into a rectangle, or is so wide. Raises ValueError for a broken one."""
    # Without fonts of the system: a text would look different on every machine.
    png = resvg_py.svg_to_bytes(svg_string=text, width=width, height=height, skip_system_fonts=True)
    with Image.open(io.BytesIO(bytes(png)), formats=("PNG",)) as image:
        return image.convert("RGBA")
