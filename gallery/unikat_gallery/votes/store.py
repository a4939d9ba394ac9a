"""Votes in the gallery's database."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Final

import numpy as np
from google.rpc.code_pb2 import Code
from sqlalchemy import Connection, Row, and_, func, select
from sqlalchemy.dialects.sqlite import insert as insert_or_not

from unikat_gallery.problems import refuse
from unikat_gallery.tables import VOTES
from unikat_gallery.votes.taste import SIZE, Features, Taste
from unikat_gallery.votes.vote import Kind, Purpose, Question, Side, Vote

MOST_VOTES: Final = 5000  # of one visitor; each pair and each taste is found among all of them
_TELLS: Final = and_(VOTES.c.question == Question.LIKE, VOTES.c.purpose == Purpose.PAIR)  # of what a visitor likes


def enter(db: Connection, vote: Vote, chosen: Features, other: Features) -> None:
    """Keep an answer with the features (SIZE,) of both sides; sent twice, it is kept once. Raises WrongState."""
    check_room(db, vote.voter)
    row = {
        "visitor": vote.voter,
        "pair": vote.pair,
        "question": vote.question,
        "purpose": vote.purpose,
        "chosen": json.dumps(asdict(vote.chosen)),
        "other": json.dumps(asdict(vote.other)),
        "chose_left": vote.chose_left,
        "chosen_features": chosen.astype(np.uint8).tobytes(),
        "other_features": other.astype(np.uint8).tobytes(),
    }
    db.execute(insert_or_not(VOTES).values(row).on_conflict_do_nothing())


def check_room(db: Connection, visitor: str) -> None:
    """Raises WrongState for a visitor of whom no more answers are kept."""
    if counts_of(db, visitor)[0] >= MOST_VOTES:
        refuse(
            "votes", f"you answered {MOST_VOTES} pairs, and no more are asked of one visitor", Code.FAILED_PRECONDITION
        )


def all_votes(db: Connection) -> list[Vote]:
    """Everybody's, in the order in which they were given."""
    return [_vote(row) for row in db.execute(select(VOTES).order_by(VOTES.c.id))]


def votes_of(db: Connection, visitor: str) -> list[Vote]:
    """A visitor's, in the order in which they were given."""
    return [_vote(row) for row in db.execute(select(VOTES).where(VOTES.c.visitor == visitor).order_by(VOTES.c.id))]


def counts_of(db: Connection, visitor: str) -> tuple[int, int]:
    """How many answers a visitor gave, and how many of them a taste is learnt from."""
    both = select(func.count(), func.count().filter(_TELLS)).select_from(VOTES).where(VOTES.c.visitor == visitor)
    answered, telling = db.execute(both).one()
    return answered, telling


def taste_of(db: Connection, visitor: str) -> Taste:
    """What a visitor likes."""
    asked = select(VOTES.c.chosen_features, VOTES.c.other_features).where(VOTES.c.visitor == visitor, _TELLS)
    rows = db.execute(asked.order_by(VOTES.c.id)).all()
    liked, other = (
        np.array([np.frombuffer(row[side], np.uint8) for row in rows], dtype=np.int32).reshape(-1, SIZE)
        for side in (0, 1)
    )
    return Taste.learn(liked, other)


def _vote(row: Row[tuple[object, ...]]) -> Vote:
    return Vote(
        row.visitor,
        Question(row.question),
        Purpose(row.purpose),
        row.pair,
        _side(row.chosen),
        _side(row.other),
        row.chose_left,
    )


def _side(text: str) -> Side:
    fields = json.loads(text)
    return Side(**{**fields, "kind": Kind(fields["kind"])})
