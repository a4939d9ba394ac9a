"""How an input is taken apart, and where it lies if it is to be a file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

SEPARATOR: Final = b"\n--\n"  # between the parts of an input
SCRATCH: Final = "/dev/shm" if Path("/dev/shm").is_dir() else None  # in memory: a file for every input
