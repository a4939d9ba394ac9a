"""Works that come of others: variations of one, and what lies between two."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from unikat.recipes.sequence import Mutations
from unikat.recipes.text import text_of
from unikat.resuming import AsyncGeneration
from unikat_gallery.context import context_of
from unikat_gallery.links import Link, number, seed_of
from unikat_gallery.problems import refuse
from unikat_gallery.walls import Series, count_of, streamed
from unikat_gallery.works import shown_of

MOST_VARIATIONS: Final = 48  # of one stream


async def vary(request: Request) -> StreamingResponse:
    """Variations 0 to `count` - 1 of the work that a link names, by `radius` (above 0, to 1) towards points of `by`."""
    return streamed(request, _variations)


def _variations(request: Request) -> Series:
    """Raises InvalidRequest."""
    link, said = Link.parse(request.query_params.multi_items()), dict(request.query_params)
    radius, studio = number("radius", said.get("radius", "0.3")), context_of(request).studio
    if not 0 < radius <= 1:
        refuse("radius", f"a number above 0, to 1, not {radius:g}")
    mutations = Mutations(link.latent.mix, radius, seed_of(said, "by"))
    asked = link.asked | {"seed": None, "recipe": mutations}

    def generate(first: int, count: int) -> AsyncGeneration:
        return studio.generate(link.model, link.conditions, first_index=first, count=count, **asked)

    return Series(0, count_of(request, MOST_VARIATIONS), link.where, generate)


async def cross(request: Request) -> Response:
    """The work at `share`, 0 to 1, of the way from the work `one` to the work `other`, both given as links."""
    said = request.query_params
    one, other = (Link.parse(said.get(name, "")) for name in ("one", "other"))
    return await shown_of(request, crossed(one, other, number("share", said.get("share", "0.5"))))


def crossed(one: Link, other: Link, share: float) -> Link:
    """What lies between two works; conditions that differ are blended. Raises InvalidRequest."""
    if not 0 <= share <= 1:
        refuse("share", f"a number from 0 to 1, not {share:g}")
    try:
        child = one.latent.crossed(other.latent, share)
    except ValueError as error:
        refuse("other", str(error))
    recipe = text_of(child.mix)
    return Link(child.model, 0, 0, child.where, child.truncation, child.background, child.attempt, recipe)


ROUTES: Final = [Route("/api/vary", vary), Route("/api/cross", cross)]
