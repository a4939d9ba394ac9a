"""A picture beside one that was drawn again: equal, or how they differ and why."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from unikat.artwork import Artwork, Renderer
from unikat.certificate import marked_digest
from unikat.pictures import read_pixels
from unikat.v1 import provenance_pb2 as pb
from unikat.v1 import studio_pb2

Pixels = npt.NDArray[np.uint8]

_PARTS = {
    "provider": "execution provider", "runtime": "runtime", "processor": "kind of processor", "encoder": "encoder",
    "mark": "key of the watermark",
}  # fmt: skip


def compare(picture: bytes, again: Artwork, drawn_by: Renderer | None, unmarked: bytes = b"") -> pb.Redraw:
    """A picture file beside its redraw. `unmarked`: SHA-256 of the first drawing's pixels before the mark, if known.

    Raises ValueError for what is no picture.
    """
    found = pb.Redraw(same_file=picture == again.data, drawn_again_by=_message(again.renderer))
    if unmarked and again.pixels_digest:
        found.same_drawing = unmarked == again.pixels_digest
    if drawn_by is not None:
        found.drawn_by.CopyFrom(_message(drawn_by))
    then, now = read_pixels(picture), again.array()
    found.same_pixels = marked_digest(then) == marked_digest(now)
    if then.shape[:2] != now.shape[:2]:
        found.changed, found.max_difference = 1.0, 255
        sizes = [f"{each.shape[1]} x {each.shape[0]} pixels" for each in (then, now)]
        found.reason = f"the picture has {sizes[0]}, the redraw {sizes[1]}"
        return found
    if not found.same_pixels:
        apart = np.abs(_four(then).astype(np.int16) - _four(now)).max(axis=2)
        found.max_difference, found.changed = int(apart.max()), float((apart > 0).mean())
    if not (found.same_file and found.same_pixels):
        found.reason = _reason(found, drawn_by, again.renderer)
    return found


def _reason(found: pb.Redraw, then: Renderer | None, now: Renderer) -> str:
    others = [] if then is None else [f"another {_PARTS[name]}" for name in _PARTS if _differs(name, then, now)]
    if others:
        return f"{' and '.join(others)} drew it; the same bytes are promised only where all of that is the same"
    if found.same_pixels:
        return "the file was written anew: its pixels are the same"
    if then is None:
        return "the picture was changed, or something else drew it: what drew it is not known"
    return "the same programs drew both: the picture was changed"


def _differs(name: str, then: Renderer, now: Renderer) -> bool:
    return bool(getattr(then, name) != getattr(now, name))


def _four(pixels: Pixels) -> Pixels:
    if pixels.shape[2] == 4:
        return pixels
    return np.concatenate([pixels, np.full((*pixels.shape[:2], 1), 255, np.uint8)], axis=2)


def _message(renderer: Renderer) -> studio_pb2.Renderer:
    return studio_pb2.Renderer(**asdict(renderer))
