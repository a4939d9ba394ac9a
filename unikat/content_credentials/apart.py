"""Reading credentials that others may have written, with a bound on memory and time.

c2pa 0.38 believes the lengths that CBOR claims: a file of 4 kB makes it take 1.7 GB, and up to 4 GB are possible.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Final

from unikat.content_credentials import reading_process
from unikat.content_credentials.reading import Report, check_anchors, report_of, unreadable

_MOST: Final = 2**28  # bytes, some of which are addresses that threads reserve
_MOST_A_BYTE: Final = 16  # of what is read
_SECONDS: Final = 60.0


def read_apart(data: bytes, media_type: str, sidecar: bytes | None = None, anchors: bytes | None = None) -> Report:
    """`reading.read` by a process of its own, which takes 256 MB and 16 times the bytes at most (on Linux), and 60 s.

    Starting it takes some 0.2 s.
    """
    check_anchors(anchors or b"")
    parts = (data, sidecar, anchors)
    head = json.dumps([media_type, *(None if part is None else len(part) for part in parts)]).encode()
    most = _MOST + _MOST_A_BYTE * sum(len(part or b"") for part in parts)
    command = [sys.executable, "-P", reading_process.__file__, str(most)]
    # One arena of malloc: each of its threads would reserve 64 MB of addresses.
    environment = os.environ | {"MALLOC_ARENA_MAX": "1"}
    content = b"\n".join([head, b"".join(part or b"" for part in parts)])
    try:
        done = subprocess.run(
            command, input=content, env=environment, capture_output=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return unreadable(f"they take more than {_SECONDS:.0f} s to read")
    if done.returncode:
        return unreadable(f"they cannot be read within {most >> 20} MB")
    return report_of(done.stdout)
