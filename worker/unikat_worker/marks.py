"""The watermarks that this worker can put into images, by the id of their key."""

from __future__ import annotations

from pathlib import Path

from unikat.mark_keys import read_mark_keys
from unikat.watermark import Watermark


class UnknownMarkKey(RuntimeError):
    """A job asks for a key that this worker does not have."""


class Marks:
    """May be used by several threads."""

    def __init__(self, path: Path | None) -> None:
        """Reads the file. Raises ValueError and OSError."""
        self._path = path
        self._marks: dict[str, Watermark] = {}
        self._marks = self._read()

    def watermark(self, id: str) -> Watermark:
        """The watermark of a key, which may have been added since. Raises UnknownMarkKey."""
        if id not in self._marks:
            try:
                self._marks = self._read()
            except (OSError, ValueError) as error:
                raise UnknownMarkKey(
                    f"no key {id!r} of watermarks here, and its file cannot be read: {error}"
                ) from error
        if id not in self._marks:
            known = ", ".join(self._marks)
            raise UnknownMarkKey(f"no key {id!r} of watermarks here (there is {known}): all workers need the same keys")
        return self._marks[id]

    def _read(self) -> dict[str, Watermark]:
        # Those that are there stay, with the tables that they have made.
        return {id: self._marks.get(id) or Watermark(key) for id, key in read_mark_keys(self._path).items()}
