"""A program that draws SVGs with little memory: one that takes more, or breaks the renderer, ends only this process.

Run as a file, so that it imports the renderer and nothing else. On stdin: the length (4 bytes, big-endian) and UTF-8
of each drawing; on stdout: 0 (a PNG) or 1 (why not), a length, and as many bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import resvg_py

MEMORY: Final = 128 * 2**20  # bytes beyond what the process has when it begins


def main() -> None:
    """Draws until stdin ends."""
    _limit_memory()
    side, source, sink = int(sys.argv[1]), sys.stdin.buffer, sys.stdout.buffer
    while len(head := source.read(4)) == 4:
        text = source.read(int.from_bytes(head)).decode()
        try:
            # Without fonts of the system: a text would look different on every machine.
            answer = bytes(resvg_py.svg_to_bytes(svg_string=text, width=side, height=side, skip_system_fonts=True))
            sink.write(b"\0")
        except ValueError as error:
            answer = str(error).encode()
            sink.write(b"\1")
        sink.write(len(answer).to_bytes(4) + answer)
        sink.flush()


def _limit_memory() -> None:
    if sys.platform != "linux":  # others have no /proc, or no such limit
        return
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
