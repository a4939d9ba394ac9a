"""The memory of a process that reads what others have written: what takes more ends only this process."""

from __future__ import annotations

import sys
from pathlib import Path


def limit_memory(most: int) -> None:
    """This process may take `most` bytes of addresses more than now, and leaves no core file. On Linux only."""
    if sys.platform != "linux":  # others have no /proc, or no such limit
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + most
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
