"""Frames that come one after the other, as an image that Pillow's encoders of animations go through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from PIL import Image


@dataclass(frozen=True)
class Film:
    """What all frames have in common, and what the file says of itself.

    `mode` is "RGB" or "RGBA"; `packet` is XMP. With `loop` it is shown again and again, where the format can say so.
    """

    size: tuple[int, int]
    mode: str
    frames: int
    fps: int
    loop: bool
    packet: bytes


class Reel(Image.Image):
    """Frames of a film, each taken from an iterator when an encoder asks for it, and none kept.

    Pillow takes an animation to encode as a list, or as an image with `n_frames` and `seek`: only the latter needs no
    more memory for a longer film. It cannot go back; that encoders do so behind the last frame has no effect.
    """

    def __init__(self, film: Film, frames: Iterable[Image.Image]) -> None:
        """Raises ValueError where there are fewer frames than the film has, or they differ in size or mode."""
        super().__init__()
        self.n_frames = film.frames
        self.is_animated = film.frames > 1
        self._film = film
        self._frames = iter(frames)
        self._position = -1
        self.seek(0)

    def seek(self, frame: int) -> None:
        """Go to the next frame. Raises EOFError behind the last."""
        if frame <= self._position:
            return
        if frame >= self.n_frames:
            raise EOFError
        found = next(self._frames, None)
        if found is None:
            raise ValueError(f"the film ends at frame {frame} of {self.n_frames}")
        if (found.size, found.mode) != (self._film.size, self._film.mode):
            raise ValueError(f"frame {frame} is {found.mode} {found.size}, not {self._film.mode} {self._film.size}")
        self._position = frame
        self._mode, self._size, self.im = found.mode, found.size, found.im

    def tell(self) -> int:
        """Number of the frame, from 0."""
        return self._position
