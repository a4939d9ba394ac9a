"""A program that reads credentials with little memory: `apart.py` starts it, and writes to its stdin.

The argument is the number of bytes that reading may take. Prints what `reading.stored` gives.
"""

from __future__ import annotations

import json
import sys

from unikat.content_credentials.reading import stored
from unikat.memory_limit import limit_memory


def main() -> None:
    """A line of JSON, the media type and the lengths of the parts (null: none), then the parts."""
    source = sys.stdin.buffer
    media_type, *sizes = json.loads(source.readline())
    data, sidecar, anchors = (None if size is None else source.read(size) for size in sizes)
    limit_memory(int(sys.argv[1]))
    print(stored(data or b"", media_type, sidecar, anchors or b""))


if __name__ == "__main__":
    main()
