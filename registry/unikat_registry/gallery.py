"""What all works look like, in memory, to find those that a picture is like."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from typing import Final

import numpy as np
import numpy.typing as npt
from sqlalchemy import select
from sqlalchemy.orm import Session

from unikat.likeness import COLOUR_BYTES, HASH_BYTES, Distance, Looks, nearest
from unikat_registry.works import WORKS

Bytes = npt.NDArray[np.uint8]

_DIGEST_BYTES: Final = 32
_WIDTHS: Final = (_DIGEST_BYTES, HASH_BYTES, COLOUR_BYTES)
_ROOM: Final = 256  # works, at first


@dataclass(frozen=True)
class View:
    """The works that there were at some time: digests (N, 32), hashes (N, 32) and colours (N, 192)."""

    digests: Bytes
    hashes: Bytes
    colours: Bytes

    def nearest(self, looks: Looks, count: int, since: View | None = None) -> list[tuple[bytes, Distance]]:
        """Digests of the works that look most like a picture, and how far they are, nearest first.

        With `since` only of works that an earlier view has not.
        """
        first = len(since.digests) if since else 0
        found = nearest(looks, self.hashes[first:], self.colours[first:], count)
        return [(self.digests[first + index].tobytes(), distance) for index, distance in found]


class Gallery:
    """The look of all works that have a picture: 256 bytes a work. May be used by several threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last = -1  # entry
        self._size = 0
        self._arrays = [np.empty((_ROOM, width), np.uint8) for width in _WIDTHS]

    def view(self, session: Session) -> View:
        """All works that the session sees, and perhaps later ones. What is added after does not change it."""
        with self._lock:
            self._catch_up(session)
            return View(*(array[: self._size] for array in self._arrays))

    def _catch_up(self, session: Session) -> None:
        """Take in the works that were committed since: they are committed in the order of their entries."""
        columns = WORKS.c.entry, WORKS.c.artwork, WORKS.c.hash, WORKS.c.colours
        later = select(*columns).where(WORKS.c.entry > self._last, WORKS.c.image != b"").order_by(WORKS.c.entry)
        rows = session.execute(later).all()
        if not rows:
            return
        size = self._size + len(rows)
        if size > len(self._arrays[0]):  # views keep the arrays that they were made of
            room = max(size, 2 * len(self._arrays[0]))
            self._arrays = [_with_room(array, self._size, room) for array in self._arrays]
        columns_of_rows = ((row.artwork for row in rows), (row.hash for row in rows), (row.colours for row in rows))
        for array, values, width in zip(self._arrays, columns_of_rows, _WIDTHS, strict=True):
            array[self._size : size] = _array(values, width)
        self._size, self._last = size, rows[-1].entry


def _with_room(array: Bytes, size: int, room: int) -> Bytes:
    larger = np.empty((room, array.shape[1]), np.uint8)
    larger[:size] = array[:size]
    return larger


def _array(rows: Iterator[bytes], width: int) -> Bytes:
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, width)
