"""Paths and contents of a log's static files (c2sp.org/tlog-tiles)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from unikat.transparency.errors import TileError
from unikat.transparency.merkle import HASH_BYTES

WIDTH: Final = 256  # hashes or entries of a full tile
HEIGHT: Final = 8  # levels of the tree that a level of tiles stands for
CHECKPOINT: Final = "checkpoint"
ENTRIES: Final = "entries"
_LENGTH_BYTES: Final = 2


def tile_path(level: int | str, index: int, width: int = WIDTH) -> str:
    """Where tile `index` of a level (a number, or ENTRIES) is, below the log's folder; partial where it is not full."""
    groups = [f"{index % 1000:03}"]
    while index := index // 1000:
        groups.insert(0, f"x{index % 1000:03}")
    partial = "" if width == WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def widths(count: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Index and width of the tiles of `count` hashes or entries, from the one that number `first` is in."""
    return ((tile, min(WIDTH, count - tile * WIDTH)) for tile in range(first // WIDTH, -(-count // WIDTH)))


def paths(size: int) -> Iterator[str]:
    """All tiles of a log of `size` entries, below its folder, for who copies them."""
    yield from (tile_path(ENTRIES, *each) for each in widths(size))
    for level in range(levels(size)):
        yield from (tile_path(level, *each) for each in widths(size >> level * HEIGHT))


def levels(size: int) -> int:
    """How many levels of tiles a log of `size` entries has."""
    return -(-size.bit_length() // HEIGHT)


def bundle(leaves: Iterable[bytes]) -> bytes:
    """Entries, each behind its length (16 bits, most significant byte first)."""
    return b"".join(len(leaf).to_bytes(_LENGTH_BYTES, "big") + leaf for leaf in leaves)


def unbundle(data: bytes) -> list[bytes]:
    """The entries of a bundle. Raises TileError."""
    leaves, place = [], 0
    while place < len(data):
        start = place + _LENGTH_BYTES
        place = start + int.from_bytes(data[place:start], "big")
        leaves.append(data[start:place])
    if place != len(data):
        raise TileError("the last entry is cut off")
    return leaves


def hashes_of(data: bytes) -> list[bytes]:
    """The hashes of a tile, which has 32 bytes each."""
    return [data[place : place + HASH_BYTES] for place in range(0, len(data), HASH_BYTES)]
