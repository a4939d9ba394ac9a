"""Whose turn it is: owners in rotation, and of each the oldest batch."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.service.batch_hand import BatchHand
from tests.support.valkey import running_valkey
from tests.unikat.batches.test_progress import create, taken


@pytest.fixture
def hand(redis: Redis) -> BatchHand:
    return BatchHand(redis)


def test_owners_take_turns_and_an_owners_batches_follow_one_another(hand: BatchHand) -> None:
    create(hand, "large", 100, "anna")
    create(hand, "later", 8, "anna")
    create(hand, "small", 12, "bert")
    assert taken(hand, 6) == ["large", "small"] * 3
    assert taken(hand, 22) == ["large"] * 22
    assert taken(hand, 3) == ["later", "later"]


def test_a_batch_that_comes_late_gets_its_turn_at_once(hand: BatchHand) -> None:
    create(hand, "large", 100, "anna")
    assert taken(hand, 5) == ["large"] * 5
    create(hand, "small", 4, "bert")
    assert "small" in taken(hand, 2)


def test_turns_are_fair_over_any_owners_and_batches() -> None:
    with running_valkey() as valkey, valkey.client() as redis:
        hand = BatchHand(redis)

        @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        @given(st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(1, 30), min_size=1, max_size=3)))
        def fair(owners: dict[str, list[int]]) -> None:
            redis.flushall()
            left = Counter[str]()
            order: dict[str, list[str]] = {}
            for owner, batches in owners.items():
                for n, images in enumerate(batches):
                    create(hand, f"{owner}{n}", images, owner)
                    left[owner] += -(-images // 4)
                    order.setdefault(owner, []).extend([f"{owner}{n}"] * -(-images // 4))
            found: dict[str, list[str]] = {owner: [] for owner in owners}
            while (one := hand.take()) is not None:
                owner = one[0][0]
                found[owner].append(one[0])
                left[owner] -= 1
                # Whoever still has shards waiting is at most one turn behind whoever was served most.
                assert all(len(found[o]) >= len(found[owner]) - 1 for o in owners if left[o])
            assert found == order

        fair()


def test_owners_that_a_worker_leaves_out_keep_their_turn(hand: BatchHand) -> None:
    create(hand, "a", 40, "anna")
    create(hand, "b", 40, "bert")
    assert taken(hand, 3, "anna") == ["b"] * 3
    assert taken(hand, 3, "anna", "bert") == []
    assert sorted(taken(hand, 4)) == ["a", "a", "b", "b"]


def test_batches_can_be_left_out_of_the_turns(hand: BatchHand) -> None:
    create(hand, "first", 100, "anna")
    create(hand, "second", 8, "anna")
    create(hand, "third", 12, "first")  # an owner of the name of a batch
    left_out = ["first"]
    there = [hand.progress.take("hand", without=left_out) for _ in range(6)]
    assert Counter(one.batch for one in there if one is not None) == {"second": 2, "third": 3}
    found = hand.progress.take("hand", left_out, ["second"])
    assert found is not None
    assert found.job.id == "b-first-00000"
