"""The log's Merkle tree in the database: one row a complete subtree."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from sqlalchemy import select, tuple_
from sqlalchemy.orm import Session

from unikat.transparency import merkle
from unikat_registry.tables import LOG_SIZE, NODES

T = TypeVar("T")
Place = tuple[int, int]  # level and index of a node


def committed(session: Session) -> int:
    """How many entries the log has, as the session sees it."""
    size: int = session.execute(select(LOG_SIZE.c.size)).scalar_one()
    return size


def root_of(session: Session, size: int) -> bytes:
    """The root of the first `size` entries."""
    return read_tree(session, lambda node: merkle.root(size, node))


def read_tree(session: Session, work: Callable[[merkle.Node], T]) -> T:
    """What `work` makes of the tree, whose nodes are read in one query.

    `work` runs twice: once to learn which nodes it asks for (which does not depend on their hashes), once with them.
    """
    wanted: set[Place] = set()

    def note(level: int, index: int) -> bytes:
        wanted.add((level, index))
        return bytes(merkle.HASH_BYTES)

    work(note)
    hashes = _hashes(session, wanted)
    return work(lambda level, index: hashes[level, index])


def completed(session: Session, entry: int, hash: bytes) -> list[tuple[Place, bytes]]:
    """The leaf's node, and all whose last leaf it is."""
    ends = [level for level in range(entry.bit_length()) if (entry + 1) % (1 << level + 1) == 0]
    left = _hashes(session, [(level, (entry >> level) - 1) for level in ends])
    nodes = [((0, entry), hash)]
    for level in ends:
        hash = merkle.node_hash(left[level, (entry >> level) - 1], hash)
        nodes.append(((level + 1, entry >> level + 1), hash))
    return nodes


def grown(leaves: Iterable[bytes]) -> Iterator[tuple[bytes, list[tuple[Place, bytes]]]]:
    """Each leaf of a whole log from its first on, with the nodes that `completed` finds for it, without a database."""
    left: list[tuple[Place, bytes]] = []  # complete subtrees, the largest first
    for entry, leaf in enumerate(leaves):
        nodes = [((0, entry), merkle.leaf_hash(leaf))]
        while left and left[-1][0][0] == nodes[-1][0][0]:
            (level, place), hash = nodes[-1]
            nodes.append(((level + 1, place >> 1), merkle.node_hash(left.pop()[1], hash)))
        left.append(nodes[-1])
        yield leaf, nodes


def _hashes(session: Session, places: Iterable[Place]) -> dict[Place, bytes]:
    """Raises ValueError where the database lacks one that it must have."""
    wanted = sorted(places)
    if not wanted:
        return {}
    columns = NODES.c.level, NODES.c.place, NODES.c.hash
    rows = session.execute(select(*columns).where(tuple_(NODES.c.level, NODES.c.place).in_(wanted)))
    found = {(level, place): bytes(hash) for level, place, hash in rows}
    if lost := [place for place in wanted if place not in found]:
        raise ValueError(f"the database is damaged: it lacks the log's node {lost[0]}; restore it from a backup")
    return found
