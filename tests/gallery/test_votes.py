"""What a report says of simulated voters, whose taste is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.voters import People, repeated
from unikat_gallery.votes.intervals import share_of, wilson
from unikat_gallery.votes.page import page_of
from unikat_gallery.votes.ranking import Choice, connected, rank
from unikat_gallery.votes.report import report_of
from unikat_gallery.votes.screening import screen
from unikat_gallery.votes.vote import Kind, Purpose, Question, Side, Vote

PEOPLE = People(strengths=np.array([-0.6, -0.1, 0.2, 0.5]), taken=np.array([-1.0, -0.8, -0.5, -0.2]))


def test_ten_voters_of_a_known_taste_are_found_with_the_promised_interval() -> None:
    """The coverage over many simulations is measured by `python -m benchmarks votes`; these are its first twenty."""
    names = [side.entry for side in PEOPLE.entries()]
    inside, taken = [], []
    for seed in range(20):
        found = report_of(PEOPLE.votes(seed))
        (group,) = found["like"]["groups"]
        assert {each["entry"] for each in group["entries"]} == set(names)
        for each in group["entries"]:
            low, high = each["interval"]
            inside.append(low <= PEOPLE.strengths[names.index(each["entry"])] <= high)
        low, high = found["artist"]["taken"]["interval"]
        taken.append(low <= (1 / (1 + np.exp(-PEOPLE.taken))).mean() <= high)
    assert 72 <= sum(inside) <= 79  # of 80: 95% are 76
    assert 17 <= sum(taken) <= 20


def test_a_clear_order_is_found_and_told_apart() -> None:
    people = replace(PEOPLE, strengths=np.array([-1.5, -0.5, 0.5, 1.5]))
    (group,) = report_of(people.votes(3))["like"]["groups"]
    assert [each["entry"] for each in group["entries"]] == [side.entry for side in reversed(people.entries())]
    assert all(pair["told_apart"] for pair in group["pairs"])


def test_voters_who_press_any_key_do_not_count() -> None:
    people = replace(PEOPLE, strengths=np.array([-1.0, -0.5, 0.5, 1.0]), voters=20, at_random=0.5)
    votes = people.votes(5)
    screened = screen(votes)
    assert screened.failed >= 9
    assert screened.voters == 20 - screened.failed
    assert {vote.voter for vote in screened.votes} >= {f"voter {number}" for number in range(10, 20)}
    alone = report_of([vote for vote in votes if vote.voter in {each.voter for each in screened.votes}])
    assert report_of(votes)["like"] == alone["like"]


def test_a_voter_with_too_few_controls_does_not_count_yet() -> None:
    votes = replace(PEOPLE, pairs=12).votes(0)  # two controls each
    assert screen(votes).too_few == 10
    with pytest.raises(ValueError, match="of 10 voters 10 answered fewer than 3 controls"):
        report_of(votes)


def test_agreement_is_that_of_repeated_pairs_and_repetitions_do_not_rank() -> None:
    votes = PEOPLE.votes(1)
    plain, found = report_of(votes), report_of(votes + repeated(votes, agreement=0.8, seed=2))
    assert plain["like"]["agreement"] is None
    assert found["like"]["groups"] == plain["like"]["groups"]
    assert found["artist"]["taken"] == plain["artist"]["taken"]
    for question in ("like", "artist"):
        low, high = found[question]["agreement"]["interval"]
        assert low < 0.8 < high
        assert high - low < 0.2


def test_people_are_counted_not_answers() -> None:
    """Ten people of whom each always answers alike know less than a thousand independent answers."""
    alike = share_of(np.array([100, 0, 100, 0, 100, 0, 0, 0, 100, 0]), np.full(10, 100))
    apart = share_of(np.full(10, 40), np.full(10, 100))
    assert alike is not None
    assert apart is not None
    assert alike.interval is not None
    assert apart.interval is not None
    assert alike.value == apart.value == 0.4
    assert alike.interval[1] - alike.interval[0] > 0.5
    assert apart.interval[1] - apart.interval[0] < 0.1


def test_no_interval_is_told_of_two_voters() -> None:
    found = report_of(replace(PEOPLE, voters=2).votes(1))
    assert found["artist"]["taken"]["interval"] is None
    assert {each["interval"] for each in found["like"]["groups"][0]["entries"]} == {None}
    assert "too few voters" in page_of(found)


def test_wilson_agrees_with_the_published_example() -> None:
    """Newcombe, "Two-sided confidence intervals for the single proportion" (1998), table I: 81 of 263, 15 of 148."""
    z = 1.959963984540054
    assert wilson(81 / 263, 263, z) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15 / 148, 148, z) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0.0, 20, z) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_leaving_a_voter_out_is_fitting_without() -> None:
    names = [side.entry for side in PEOPLE.entries()]
    votes = [v for v in PEOPLE.votes(4) if v.question is Question.LIKE]
    voters = sorted({vote.voter for vote in votes})
    choices = [Choice(voters.index(v.voter), names.index(v.chosen.entry), names.index(v.other.entry)) for v in votes]
    without = rank(4, [each for each in choices if each.voter != 3]).strengths
    assert rank(4, choices).left_out[3] == pytest.approx(without, abs=0.01)


def test_an_entry_that_won_every_vote_has_a_finite_strength() -> None:
    ranking = rank(2, [Choice(voter, 0, 1) for voter in range(10)])
    assert 0 < ranking.strengths[0] < 4
    assert ranking.strengths.sum() == pytest.approx(0, abs=1e-9)


def test_what_was_never_compared_is_ranked_apart() -> None:
    assert connected(5, [Choice(0, 0, 1), Choice(0, 3, 2), Choice(1, 1, 4)]) == [[0, 1, 4], [2, 3]]
    sides = {name: Side(Kind.DRAWING, name, name, 1.0) for name in ("a@1", "a@2", "b@1", "b@2")}
    votes = [
        Vote(f"{voter}", Question.LIKE, Purpose.PAIR, pair, sides[f"{pair}@2"], sides[f"{pair}@1"], True)
        for voter in range(5)
        for pair in ("a", "b")
    ]
    controls = [
        Vote(f"{voter}", Question.LIKE, Purpose.CONTROL, f"c{i}", sides["a@1"], Side(Kind.PIECES, "a@1"), True)
        for voter in range(5)
        for i in range(3)
    ]
    found = report_of(votes + controls)
    groups = [[each["entry"] for each in group["entries"]] for group in found["like"]["groups"]]
    assert groups == [["a@2, truncation 1", "a@1, truncation 1"], ["b@2, truncation 1", "b@1, truncation 1"]]
    assert "never compared" in page_of(found)


def test_the_page_needs_nothing_beside_it_and_shows_every_figure() -> None:
    votes = PEOPLE.votes(1)
    found = report_of(votes + repeated(votes, 0.8, 2))
    page = page_of(found)
    assert not any(word in page for word in ("http://", "https://", "<script", "src=", "@import"))
    assert page.count("<circle") == 4 + 1 + 4
    assert f"{found['artist']['taken']['value']:.0%}" in page
