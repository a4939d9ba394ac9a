"""Voting: the next pair, its two sides, an answer; and walls by what a visitor likes."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import Any, Final

import numpy as np
from google.rpc.code_pb2 import Code
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from unikat.artwork import Artwork
from unikat.pictures import read_pixels
from unikat_gallery.context import Context, context_of, visitor_of
from unikat_gallery.favourites import body
from unikat_gallery.links import Link
from unikat_gallery.problems import refuse
from unikat_gallery.votes.ballot import Pair
from unikat_gallery.votes.entries import entries
from unikat_gallery.votes.pairs import next_pair
from unikat_gallery.votes.store import check_room, counts_of, enter, taste_of
from unikat_gallery.votes.taste import UNIT, Features, Taste, choose, features
from unikat_gallery.votes.vote import Question
from unikat_gallery.walls import facts

PLACES: Final = ("left", "right")
WALL: Final = 24  # works of a proposed wall
CANDIDATES: Final = 8  # drawings for each of its places
LEAST_PAIRS: Final = 10  # answers that a taste is learnt from


async def state(request: Request) -> JSONResponse:
    """What can be asked here, and how much a visitor answered."""
    context, visitor = context_of(request), request.state.visitor
    return JSONResponse({"asked": _possible(context), **await _progress(context, visitor)})


async def ask(request: Request) -> JSONResponse:
    """The next pair. `ask` in the body is the question that a visitor wants, or is left out."""
    context, visitor = context_of(request), visitor_of(request)
    possible = _possible(context)
    wanted = (await body(request)).get("ask", "")
    if wanted not in ("", *possible):
        refuse("ask", f"one of {', '.join(possible)}, or nothing for any of them, not {str(wanted)[:40]!r}")
    context.ballot.limits.take(visitor)
    await context.read(lambda db: check_room(db, visitor))
    pair = await next_pair(context, visitor, await entries(context), [Question(wanted)] if wanted else possible)
    token = context.ballot.open(pair)
    return JSONResponse({"question": pair.question, "pair": token} | {p: f"/api/vote/{token}/{p}.png" for p in PLACES})


async def side(request: Request) -> Response:
    """One side of a pair: pixels alone."""
    place = request.path_params["place"]
    if place not in PLACES:
        refuse("place", f"one of {', '.join(PLACES)}, not {place[:40]!r}", Code.NOT_FOUND)
    return Response(_open(request).files[PLACES.index(place)], media_type="image/png")


async def answer(request: Request) -> JSONResponse:
    """A visitor's answer; `chosen` in the body is left or right."""
    context, pair = context_of(request), _open(request)
    chosen = (await body(request)).get("chosen")
    if chosen not in PLACES:
        refuse("chosen", f"one of {', '.join(PLACES)}, not {str(chosen)[:40]!r}")
    vote, one, other = pair.vote(PLACES.index(chosen))
    found = await asyncio.to_thread(features, np.stack([one.pixels, other.pixels]))
    await context.write(lambda db: enter(db, vote, found[0], found[1]))
    context.ballot.close(request.path_params["pair"])
    return JSONResponse(await _progress(context, vote.voter))


def _possible(context: Context) -> list[Question]:
    return [Question.LIKE, Question.ARTIST] if context.pictures else [Question.LIKE]


async def _progress(context: Context, visitor: str) -> dict[str, Any]:
    """How much a visitor answered, and whether that is enough for a taste; not which answers were to controls."""
    answered, pairs = await context.read(lambda db: counts_of(db, visitor))
    return {"answered": answered, "ready": pairs >= LEAST_PAIRS}


async def proposed(request: Request) -> JSONResponse:
    """A wall by what a visitor likes: for each place the best of several drawings, with the record of the choice."""
    context, visitor = context_of(request), visitor_of(request)
    with context.streaming(visitor):
        return JSONResponse(await _proposal(request, context, visitor))


async def _proposal(request: Request, context: Context, visitor: str) -> dict[str, Any]:
    given = [pair for pair in request.query_params.multi_items() if pair[0] not in ("recipe", "index", "attempt")]
    asked = Link.parse([*given, ("seed", str(secrets.randbits(63)))])
    _, pairs = await context.read(lambda db: counts_of(db, visitor))
    if pairs < LEAST_PAIRS:
        refuse("taste", f"answer {LEAST_PAIRS} pairs first: {pairs} so far", Code.FAILED_PRECONDITION)
    taste, pairs = await context.read(lambda db: (taste_of(db, visitor), counts_of(db, visitor)[1]))
    model, works = await _drawn(context, asked)
    if not works:
        refuse("taste", "what was drawn may not be shown: ask for other conditions", Code.FAILED_PRECONDITION)
    found = await asyncio.to_thread(_features, works)
    chosen = choose(taste, found.reshape(-1, CANDIDATES, found.shape[1]))
    wall = [works[place * CANDIDATES + int(number)] for place, number in enumerate(chosen.places)]
    for each in wall:
        context.drawer.images.keep(each)
    cost = {"preferred": chosen.preferred, "variety": chosen.variety, "plain_variety": chosen.plain_variety}
    tiles = [facts(each, model) for each in wall]
    record = _record(replace(asked, model=model), works, wall) | _learnt(taste, pairs)
    return {"works": tiles, "cost": cost, "record": record}


async def _drawn(context: Context, link: Link) -> tuple[str, list[Artwork]]:
    """Drawings for all places; what was refused, and what is left of the last place, is left out."""
    generation = context.studio.generate(link.model, link.conditions, count=WALL * CANDIDATES, **link.asked)
    async with generation:
        model = (await generation.accepted()).model
        works = [artwork async for artwork in generation]
    return model, works[: len(works) // CANDIDATES * CANDIDATES]


def _features(works: list[Artwork]) -> Features:
    return np.concatenate([features(read_pixels(each.data)[None]) for each in works])


def _record(link: Link, works: list[Artwork], wall: list[Artwork]) -> dict[str, Any]:
    """All that the choice follows from, with the taste: the same candidates and weights give the same wall."""
    return {
        "link": link.query,  # of the first candidate; the others differ in their index
        "model_digest": works[0].model_digest,
        "candidates": CANDIDATES,
        "drawn": [each.index for each in works],
        "chosen": [each.index for each in wall],
    }


def _learnt(taste: Taste, pairs: int) -> dict[str, Any]:
    return {"taste": {"pairs": pairs, "digest": taste.digest, "unit": UNIT, "weights": taste.weights.tolist()}}


def _open(request: Request) -> Pair:
    pair = context_of(request).ballot.find(request.path_params["pair"], visitor_of(request))
    if pair is None:
        refuse("pair", "it is not shown any more: look at the next one", Code.NOT_FOUND)
    return pair


ROUTES: Final = [
    Route("/api/vote", state, methods=["GET"]),
    Route("/api/vote", ask, methods=["POST"]),
    Route("/api/vote/{pair}", answer, methods=["POST"]),
    Route("/api/vote/{pair}/{place}.png", side),
    Route("/api/taste", proposed, methods=["POST"]),
]
