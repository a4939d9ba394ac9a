"""A copy of a log's static files, verified as a whole, and proofs made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from unikat.transparency import merkle, tiles
from unikat.transparency.checkpoint import Checkpoint
from unikat.transparency.errors import NoteError, TileError
from unikat.transparency.note import VerifierKey
from unikat.transparency.proof import Proof

_LONGEST_CHECKPOINT: Final = 1_000_000  # bytes


class Mirror:
    """A folder with a log's checkpoint and tiles (c2sp.org/tlog-tiles)."""

    def __init__(self, folder: Path, key: VerifierKey) -> None:
        """Raises NoteError and SignatureError for the checkpoint, and OSError."""
        self.folder = folder
        with (folder / tiles.CHECKPOINT).open("rb") as file:
            data = file.read(_LONGEST_CHECKPOINT)
        try:
            self.note = data.decode()
        except UnicodeDecodeError as error:
            raise NoteError("the checkpoint is no UTF-8") from error
        self.checkpoint = Checkpoint.open(self.note, key)

    def verify(self) -> None:
        """Read all files; every entry and every hash leads to the checkpoint's root.

        Raises TileError that names the first file which is missing or does not fit those below it.
        """
        size = self.checkpoint.size
        for tile, width in tiles.widths(size):
            leaves = self.entries(tile, width)
            hashes = [merkle.leaf_hash(leaf) for leaf in leaves]
            if hashes != self._hashes(0, tile, width):
                raise TileError(self._unlike(0, tile, width, tiles.tile_path(tiles.ENTRIES, tile, width)))
        for level in range(1, tiles.levels(size)):
            for tile, width in tiles.widths(size >> level * tiles.HEIGHT):
                first = tile * tiles.WIDTH
                below = [self._subtree(level - 1, each) for each in range(first, first + width)]
                if below != self._hashes(level, tile, width):
                    raise TileError(self._unlike(level, tile, width, "those below it"))
        if merkle.root(size, self.node) != self.checkpoint.root:
            raise TileError("the tiles fit one another, and not the checkpoint's root: they are of another log")

    def entries(self, tile: int, width: int) -> list[bytes]:
        """The entries of a bundle, which are not compared with the log's hashes. Raises TileError."""
        path = tiles.tile_path(tiles.ENTRIES, tile, width)
        try:
            leaves = tiles.unbundle(self._read(path))
        except TileError as error:
            raise TileError(f"{path}: {error}") from error
        if len(leaves) != width:
            raise TileError(f"{path} has {len(leaves)} entries, not {width}")
        return leaves

    def leaf(self, index: int) -> bytes:
        """An entry's bytes. Raises TileError, and ValueError where there is none."""
        if not 0 <= index < self.checkpoint.size:
            raise ValueError(f"index: the log has no entry {index}")
        tile = index // tiles.WIDTH
        return self.entries(tile, self._width(0, tile))[index % tiles.WIDTH]

    def prove(self, index: int) -> Proof:
        """That an entry is in the checkpoint. Raises TileError, and ValueError where there is none."""
        size = self.checkpoint.size
        return Proof(index, size, tuple(merkle.inclusion(index, size, self.node)), self.note)

    def consistency(self, old: int) -> list[bytes]:
        """The proof that the checkpoint extends one of `old` entries. Raises TileError and ValueError."""
        return merkle.consistency(old, self.checkpoint.size, self.node)

    def node(self, level: int, index: int) -> bytes:
        """A `merkle.Node` from the tiles. Raises TileError."""
        height = level % tiles.HEIGHT
        tile, first = divmod(index << height, tiles.WIDTH)
        level //= tiles.HEIGHT
        hashes = self._hashes(level, tile, self._width(level, tile))[first : first + (1 << height)]
        return _folded(hashes)

    def _subtree(self, level: int, tile: int) -> bytes:
        return _folded(self._hashes(level, tile, tiles.WIDTH))

    def _width(self, level: int, tile: int) -> int:
        return min(tiles.WIDTH, (self.checkpoint.size >> level * tiles.HEIGHT) - tile * tiles.WIDTH)

    def _hashes(self, level: int, tile: int, width: int) -> list[bytes]:
        path = tiles.tile_path(level, tile, width)
        data = self._read(path)
        if len(data) != width * merkle.HASH_BYTES:
            raise TileError(f"{path} has {len(data)} bytes, not {width * merkle.HASH_BYTES}")
        return tiles.hashes_of(data)

    def _read(self, path: str) -> bytes:
        try:
            return (self.folder / path).read_bytes()
        except OSError as error:
            raise TileError(f"{path}: {error.strerror or error}") from error

    def _unlike(self, level: int, tile: int, width: int, other: str) -> str:
        return f"{tiles.tile_path(level, tile, width)} does not fit {other}: one of them was changed"


def _folded(hashes: list[bytes]) -> bytes:
    """The root of a complete subtree, of its 1, 2, 4, … hashes."""
    while len(hashes) > 1:
        hashes = [merkle.node_hash(*hashes[place : place + 2]) for place in range(0, len(hashes), 2)]
    return hashes[0]
