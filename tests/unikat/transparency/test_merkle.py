"""Tree hashing: the vectors of the first Certificate Transparency logs, and RFC 9162's recursive definitions."""

from __future__ import annotations

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unikat.transparency import merkle

# Of certificate-transparency's tests; every implementation of RFC 6962 knows them.
LEAVES = [
    bytes.fromhex(each)
    for each in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
SIX_TO_EIGHT = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]
FIRST_OF_EIGHT = [
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
]

sizes = st.integers(1, 600)


def leaves_of(size: int) -> list[bytes]:
    return [str(each).encode() for each in range(size)]


NODE = merkle.nodes_of(leaves_of(600))


def mth(leaves: list[bytes]) -> bytes:
    """Section 2.1.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """Section 2.1.3.1."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """Section 2.1.4.1."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], False), mth(leaves[:k])]


def split(count: int) -> int:
    k = 1
    while k * 2 < count:
        k *= 2
    return k


def test_the_known_roots() -> None:
    node = merkle.nodes_of(LEAVES)
    assert [merkle.root(size, node).hex() for size in range(9)] == ROOTS


def test_the_known_proofs() -> None:
    node = merkle.nodes_of(LEAVES)
    assert [each.hex() for each in merkle.inclusion(0, 8, node)] == FIRST_OF_EIGHT
    assert [each.hex() for each in merkle.consistency(6, 8, node)] == SIX_TO_EIGHT


@settings(deadline=None, max_examples=50)
@given(sizes)
def test_a_root_is_that_of_the_definition(size: int) -> None:
    assert merkle.root(size, NODE) == mth(leaves_of(size))


@settings(deadline=None, max_examples=50)
@given(sizes, st.data())
def test_every_leaf_is_proven(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion(index, size, NODE)
    assert proof == path(index, leaves_of(size))
    leaf = merkle.leaf_hash(str(index).encode())
    assert merkle.root_from_inclusion(index, size, leaf, proof) == merkle.root(size, NODE)


@settings(deadline=None, max_examples=50)
@given(sizes, st.data())
def test_every_smaller_log_is_proven_to_be_a_prefix(new: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency(old, new, NODE)
    assert proof == subproof(old, leaves_of(new), True)
    roots = merkle.root(old, NODE), merkle.root(new, NODE)
    if old < new:
        assert merkle.roots_from_consistency(old, new, roots[0], proof) == roots


@settings(deadline=None, max_examples=50)
@given(sizes, st.data())
def test_a_proof_with_another_number_of_hashes_proves_nothing(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof, leaf = merkle.inclusion(index, size, NODE), merkle.leaf_hash(str(index).encode())
    with pytest.raises(ValueError, match="too many"):
        merkle.root_from_inclusion(index, size, leaf, [*proof, bytes(32)])
    if proof:
        with pytest.raises(ValueError, match="too few"):
            merkle.root_from_inclusion(index, size, leaf, proof[:-1])


@settings(deadline=None, max_examples=50)
@given(st.integers(2, 600), st.data())
def test_another_index_leads_to_another_root(size: int, data: st.DataObject) -> None:
    index, other = data.draw(st.lists(st.integers(0, size - 1), min_size=2, max_size=2, unique=True))
    proof, leaf = merkle.inclusion(index, size, NODE), merkle.leaf_hash(str(index).encode())
    try:
        assert merkle.root_from_inclusion(other, size, leaf, proof) != merkle.root(size, NODE)
    except ValueError as error:
        assert "hashes" in str(error)  # noqa: PT017  # the other leaf lies deeper, or less deep


@settings(deadline=None, max_examples=50)
@given(sizes, st.data())
def test_few_nodes_are_read(size: int, data: st.DataObject) -> None:
    read: set[tuple[int, int]] = set()

    def node(level: int, index: int) -> bytes:
        read.add((level, index))
        return NODE(level, index)

    merkle.inclusion(data.draw(st.integers(0, size - 1)), size, node)
    assert len(read) <= 2 * size.bit_length()
    read.clear()
    merkle.consistency(data.draw(st.integers(0, size)), size, node)
    assert len(read) <= 2 * size.bit_length()


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 3)])
def test_what_is_no_leaf_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(ValueError, match=f"has no leaf {index}"):
        merkle.inclusion(index, size, NODE)
    with pytest.raises(ValueError, match=f"has no leaf {index}"):
        merkle.root_from_inclusion(index, size, bytes(32), [])


def test_a_larger_log_is_no_prefix() -> None:
    with pytest.raises(ValueError, match="old: must be 0 to 3, not 4"):
        merkle.consistency(4, 3, NODE)
    for old, new in ((0, 3), (3, 3), (4, 3)):
        with pytest.raises(ValueError, match="from a smaller tree that has leaves"):
            merkle.roots_from_consistency(old, new, bytes(32), [])
