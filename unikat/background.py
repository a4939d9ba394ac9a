"""What is behind the drawing of a model with alpha: a colour, or nothing."""

from __future__ import annotations

import re
from typing import Final

NONE: Final = "#00000000"
WHITE: Final = "#ffffffff"

_CANONICAL: Final = re.compile(r"#[0-9a-f]{8}")


def canonical(text: str) -> str:
    """A colour as "#rrggbbaa": of "none", "#rrggbb", "#rrggbbaa" and what else CSS and Pillow know ("tomato").

    Nothing is "#00000000" whatever colour is transparent. Raises ValueError for what is no colour.
    """
    from PIL import ImageColor  # here: a service whose models have no alpha never loads it

    if text in ("none", "transparent"):
        return NONE
    try:
        red, green, blue, alpha = ImageColor.getcolor(text, "RGBA")  # type: ignore[misc]  # four for this mode
    except ValueError as error:
        raise ValueError(f'{text!r} is no colour; "#rrggbb", "#rrggbbaa", a name of CSS, or "none"') from error
    return f"#{red:02x}{green:02x}{blue:02x}{alpha:02x}" if alpha else NONE


def shares(background: str) -> tuple[float, float, float, float]:
    """Red, green, blue and alpha in [0, 1] of a canonical colour. Raises ValueError for another text."""
    if not _CANONICAL.fullmatch(background):
        raise ValueError(f"background: must be #rrggbbaa, not {background!r}")
    red, green, blue, alpha = (level / 255 for level in bytes.fromhex(background[1:]))
    return red, green, blue, alpha


def is_opaque(background: str) -> bool:
    """Whether nothing shines through; so of an image without alpha ("")."""
    return background[7:] in ("", "ff")
