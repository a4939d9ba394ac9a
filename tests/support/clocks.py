"""Clocks of machines: a process started with one's environment takes it for the machine's, also while it is stepped.

libfaketime stands between the process and the C library. The monotonic clock is left alone, as it is when a real clock
is set.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

REREAD_S = 1.0  # seconds after which a process has noticed a step


class MachineClock:
    """A clock that is wrong by some seconds."""

    def __init__(self, file: Path, ahead: float = 0.0) -> None:
        """`file` tells processes how wrong it is."""
        self._file = file
        self.step(ahead)

    def step(self, ahead: float) -> None:
        """Ahead by so many seconds from now on, or behind where that is negative; processes see it in a second."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead:+.0f}s\n")
        new.replace(self._file)

    @property
    def env(self) -> dict[str, str]:
        """Environment of a process that has this clock."""
        return {
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": f"{REREAD_S:.0f}",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


def _library() -> Path:
    found = find_spec("libfaketime")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "vendor" / "libfaketime" / "src" / "libfaketime.so.1"
