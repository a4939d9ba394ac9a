"""The next pair for a voter: which question, why, and what its sides show."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from unikat.errors import InvalidRequest
from unikat_gallery.context import Context
from unikat_gallery.votes.ballot import Pair
from unikat_gallery.votes.entries import Entry, drawn, drawn_again, picture
from unikat_gallery.votes.pictures import RANDOM, Shown, file_of
from unikat_gallery.votes.store import votes_of
from unikat_gallery.votes.vote import Purpose, Question, Vote

APART: Final = 3  # answers between a pair and its repetition, at least
PICTURE_SHARE: Final = 1 / 6  # of "which do you like?", with a picture of the artist on one side


async def next_pair(context: Context, visitor: str, among: Sequence[Entry], asked: Sequence[Question]) -> Pair:
    """The next pair for a voter who answers one of the questions `asked`."""
    votes = await context.read(lambda db: votes_of(db, visitor))
    shown = context.ballot.shown_to(visitor)
    purpose = context.ballot.purpose(visitor, len(votes) + len(shown))
    question, size = RANDOM.choice(asked), (among[0].model.width, among[0].model.height)
    if purpose is Purpose.REPEAT:
        taken = {each.pair for each in shown if each.purpose is Purpose.REPEAT}
        again = [vote for vote in repeatable(votes) if vote.question in asked and vote.pair not in taken]
        if again:
            vote = RANDOM.choice(again)
            with suppress(InvalidRequest):  # a model or a picture that was shown is gone: an ordinary pair instead
                sides = [await drawn_again(context, side, size) for side in (vote.chosen, vote.other)]
                return by_lot(visitor, vote.question, purpose, vote.pair, sides)
        purpose = Purpose.PAIR
    if purpose is Purpose.CONTROL:
        whole = await _control(context, among, question)
        sides = [whole, whole.in_pieces]
    else:
        sides = await _sides(context, among, question)
    return by_lot(visitor, question, purpose, secrets.token_hex(8), sides)


def repeatable(votes: Sequence[Vote]) -> list[Vote]:
    """Ordinary answers that are far enough back and were not repeated yet."""
    repeated = {vote.pair for vote in votes if vote.purpose is Purpose.REPEAT}
    return [vote for vote in votes[:-APART] if vote.purpose is Purpose.PAIR and vote.pair not in repeated]


def by_lot(visitor: str, question: Question, purpose: Purpose, pair: str, sides: list[Shown]) -> Pair:
    """Which of two sides is on the left is drawn, for a repetition anew."""
    left, right = RANDOM.sample(sides, 2)
    return Pair(visitor, question, purpose, pair, (left, right), (file_of(left.pixels), file_of(right.pixels)))


async def _control(context: Context, among: Sequence[Entry], question: Question) -> Shown:
    """A picture of the artist where the question is on the artist, else a drawing."""
    entry = RANDOM.choice(among)
    if question is Question.ARTIST:
        return await picture(context, (entry.model.width, entry.model.height))
    return (await drawn(context, entry))[0]


async def _sides(context: Context, among: Sequence[Entry], question: Question) -> list[Shown]:
    first, *others = RANDOM.sample(list(among), min(2, len(among)))
    one, conditions = await drawn(context, first)
    size = (first.model.width, first.model.height)
    with_picture = bool(context.pictures) and RANDOM.random() < PICTURE_SHARE
    if question is Question.ARTIST or with_picture:
        return [one, await picture(context, size)]
    other, _ = await drawn(context, others[0] if others else first, conditions)
    return [one, other]
