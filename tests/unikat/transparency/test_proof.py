"""Proofs of inclusion, and checkpoints that contradict each other."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unikat.transparency import (
    Checkpoint,
    ConsistencyError,
    InclusionError,
    NoteError,
    Proof,
    SignatureError,
    SigningKey,
    SplitView,
    TransparencyError,
    check_extends,
    check_views,
    merkle,
)

ORIGIN = "registry.example/unikat"
KEY = SigningKey(ORIGIN, bytes(range(32)))
LEAVES = [f"entry {each}".encode() for each in range(70)]
NODE = merkle.nodes_of(LEAVES)
FORKED = merkle.nodes_of([*LEAVES[:20], b"another", *LEAVES[21:]])


def note(size: int, node: merkle.Node = NODE) -> str:
    return Checkpoint(ORIGIN, size, merkle.root(size, node)).sign([KEY])


def proof(index: int, size: int) -> Proof:
    return Proof(index, size, tuple(merkle.inclusion(index, size, NODE)), note(size))


@settings(deadline=None)
@given(st.integers(1, 70), st.data())
def test_an_entry_is_proven_from_what_a_certificate_has(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    found = Proof.loads(proof(index, size).dumps())
    assert found == proof(index, size)
    assert found.verify(LEAVES[index], KEY.verifier).size == size


@settings(deadline=None)
@given(st.integers(1, 70), st.data())
def test_a_changed_byte_of_the_entry_is_found(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaf = bytearray(LEAVES[index])
    leaf[data.draw(st.integers(0, len(leaf) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(InclusionError, match="the entry is another"):
        proof(index, size).verify(bytes(leaf), KEY.verifier)


@settings(deadline=None)
@given(st.integers(2, 70), st.data())
def test_a_changed_byte_of_the_proof_is_found(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    text = bytearray(proof(index, size).dumps().encode())
    text[data.draw(st.integers(0, len(text) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        changed = json.loads(text)
    except ValueError:
        changed = None
    if changed != proof(index, size).to_json():  # a space may have become another
        with pytest.raises(TransparencyError):
            Proof.loads(bytes(text)).verify(LEAVES[index], KEY.verifier)


def test_a_proof_says_what_is_wrong_with_it() -> None:
    good = proof(3, 70)
    with pytest.raises(InclusionError, match="for 69 entries, and its checkpoint has 70"):
        Proof(3, 69, good.hashes, good.checkpoint).verify(LEAVES[3], KEY.verifier)
    with pytest.raises(InclusionError, match="too few hashes"):
        Proof(3, 70, good.hashes[:-1], good.checkpoint).verify(LEAVES[3], KEY.verifier)
    with pytest.raises(SignatureError, match="no signature is of"):
        good.verify(LEAVES[3], SigningKey(ORIGIN, bytes(32)).verifier)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"leaf_index": True}, "leaf_index: must be a JSON int"),
        ({"leaf_index": -1}, "leaf_index: must be at least 0"),
        ({"tree_size": 3}, "leaf_index: must be at least 0 and less than tree_size"),
        ({"hashes": "AAAA"}, "hashes: must be a JSON list"),
        ({"hashes": [1]}, r"hashes\[0\]: must be the base64"),
        ({"hashes": ["ü"]}, r"hashes\[0\]: must be the base64"),
        ({"hashes": ["AAAA"] * 65}, "hashes: at most 64"),
        ({"checkpoint": None}, "checkpoint: must be text"),
        ({"more": 1}, "and no others"),
    ],
)
def test_a_field_that_is_wrong_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(NoteError, match=said):
        Proof.from_json({**proof(3, 70).to_json(), **changes})


@pytest.mark.parametrize("text", ["", "[]", "7", "{", b"\xff"])
def test_what_is_no_proof_is_refused(text: str | bytes) -> None:
    with pytest.raises(NoteError, match="a proof"):
        Proof.loads(text)


@settings(deadline=None)
@given(st.integers(0, 70), st.integers(0, 70))
def test_two_checkpoints_of_one_log_agree(one: int, other: int) -> None:
    path = merkle.consistency(min(one, other), max(one, other), NODE)
    check_views(note(one), note(other), KEY.verifier, path)


@settings(deadline=None)
@given(st.integers(21, 70))
def test_two_logs_of_one_size_are_a_split_view(size: int) -> None:
    with pytest.raises(SplitView, match=f"two different logs of {size} entries"):
        check_views(note(size), note(size, FORKED), KEY.verifier)


@settings(deadline=None, max_examples=30)
@given(st.integers(21, 69), st.data())
def test_no_proof_joins_two_logs(size: int, data: st.DataObject) -> None:
    larger = data.draw(st.integers(size + 1, 70))
    for path in (merkle.consistency(size, larger, NODE), merkle.consistency(size, larger, FORKED)):
        with pytest.raises(ConsistencyError, match="do not lead to both roots"):
            check_views(note(larger, FORKED), note(size), KEY.verifier, path)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 69), st.data())
def test_a_changed_proof_of_consistency_is_found(size: int, data: st.DataObject) -> None:
    larger = data.draw(st.integers(size + 1, 70))
    path = merkle.consistency(size, larger, NODE)
    place, byte = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 31))
    changed = bytearray(path[place])
    changed[byte] ^= data.draw(st.integers(1, 255))
    for wrong in ([*path[:place], bytes(changed), *path[place + 1 :]], path[:-1], [*path, bytes(32)], None):
        with pytest.raises(
            ConsistencyError, match=f"no proof that the log of {larger} entries extends the one of {size}"
        ):
            check_views(note(size), note(larger), KEY.verifier, wrong)


def test_only_checkpoints_of_one_log_are_compared_and_the_smaller_comes_first() -> None:
    small, large = Checkpoint(ORIGIN, 3, bytes(32)), Checkpoint(ORIGIN, 4, bytes(32))
    with pytest.raises(ConsistencyError, match="a log of 3 entries does not extend one of 4"):
        check_extends(large, small, [])
    with pytest.raises(NoteError, match="of two logs"):
        check_extends(small, Checkpoint("elsewhere.example", 4, bytes(32)), [])
