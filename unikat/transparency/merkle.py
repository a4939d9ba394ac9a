"""Merkle trees as in RFC 9162, section 2.1: SHA-256, leaves and nodes told apart by a first byte.

A tree is read through a `Node`: the hash of the complete subtree of 2**level leaves that begins at leaf
index * 2**level. These hashes never change while the tree grows, so they can be stored, and every function here asks
for O(log n) of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

HASH_BYTES: Final = 32
EMPTY_ROOT: Final = sha256(b"").digest()  # RFC 9162, section 2.1.1: the hash of a tree without leaves

Node = Callable[[int, int], bytes]  # (level, index) -> hash


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's bytes."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node by those of its children."""
    return sha256(b"\x01" + left + right).digest()


def nodes_of(leaves: Sequence[bytes]) -> Node:
    """The `Node` of a tree whose leaves are in memory."""
    levels = [[leaf_hash(leaf) for leaf in leaves]]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([node_hash(*below[i : i + 2]) for i in range(0, len(below) - 1, 2)])
    return lambda level, index: levels[level][index]


def root(size: int, node: Node) -> bytes:
    """The root of the first `size` leaves."""
    return _subtree(0, size, node) if size else EMPTY_ROOT


def inclusion(index: int, size: int, node: Node) -> list[bytes]:
    """The proof that leaf `index` is in the tree of `size` leaves (section 2.1.3.1). Raises ValueError."""
    if not 0 <= index < size:
        raise ValueError(f"index: a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_subtree(middle, end, node))
            end = middle
        else:
            path.append(_subtree(start, middle, node))
            start = middle
    return path[::-1]


def consistency(old: int, new: int, node: Node) -> list[bytes]:
    """The proof that the tree of `new` leaves begins with that of `old` (section 2.1.4.1). Raises ValueError."""
    if not 0 <= old <= new:
        raise ValueError(f"old: must be 0 to {new}, not {old}")
    if old in (0, new):
        return []
    path: list[bytes] = []
    start, end = 0, new
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_subtree(middle, end, node))
            end = middle
        else:
            path.append(_subtree(start, middle, node))
            start = middle
    if start:  # where it is 0, the verifier has this hash: it is the old root
        path.append(_subtree(start, end, node))
    return path[::-1]


def root_from_inclusion(index: int, size: int, hash: bytes, path: Sequence[bytes]) -> bytes:
    """The root that a proof leads to from a leaf's hash (section 2.1.3.2).

    The leaf is in the tree if this is the tree's root. Raises ValueError for a wrong number of hashes.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    first, last = index, size - 1
    for sibling in path:
        if last == 0:
            raise ValueError("the proof has too many hashes")
        if first & 1 or first == last:
            hash = node_hash(sibling, hash)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            hash = node_hash(hash, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("the proof has too few hashes")
    return hash


def roots_from_consistency(old: int, new: int, old_root: bytes, path: Sequence[bytes]) -> tuple[bytes, bytes]:
    """The roots of old and new tree that a proof leads to (section 2.1.4.2), for 0 < old < new. Raises ValueError.

    The new tree begins with the old one if these are their roots.
    """
    if not 0 < old < new:
        raise ValueError(f"a proof leads from a smaller tree that has leaves to a larger one, not from {old} to {new}")
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    if not hashes:
        raise ValueError("the proof has too few hashes")
    before = after = hashes[0]
    for hash in hashes[1:]:
        if last == 0:
            raise ValueError("the proof has too many hashes")
        if first & 1 or first == last:
            before, after = node_hash(hash, before), node_hash(hash, after)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            after = node_hash(after, hash)
        first, last = first >> 1, last >> 1
    if last:
        raise ValueError("the proof has too few hashes")
    return before, after


def _split(count: int) -> int:
    """The largest power of two below `count`, which is at least 2."""
    return 1 << ((count - 1).bit_length() - 1)


def _subtree(start: int, end: int, node: Node) -> bytes:
    """The hash of leaves `start` to `end` - 1, a subtree of some tree."""
    count = end - start
    level = count.bit_length() - 1
    if count == 1 << level:
        return node(level, start >> level)
    middle = start + _split(count)
    return node_hash(_subtree(start, middle, node), _subtree(middle, end, node))
