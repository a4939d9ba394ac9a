"""Artworks from their recipes, drawn by the service like anybody else's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.code_pb2 import Code
from google.rpc.error_details_pb2 import BadRequest
from google.rpc.status_pb2 import Status

from unikat.aio import AsyncStudio
from unikat.artwork import Artwork, Renderer, where_of
from unikat.batches.layout import conditions_text
from unikat.bundle import has_index
from unikat.certificate import marked_digest
from unikat.conditions import FieldError, Weights, where_of_weights
from unikat.errors import InvalidRequest, Reason, UnikatError, error_of, make_status
from unikat.identity import artwork_digest
from unikat.metadata import Recipe
from unikat.recipes.messages import mix_of_message, recipe_message
from unikat.recipes.mix import Mix
from unikat.recipes.text import shortest, text_of
from unikat.request import Where, sent_where
from unikat.statuses import invalid
from unikat.v1 import provenance_pb2 as pb
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Recipe as Latent

_FIELDS = {"first_index": "index", "name": "model"}  # of the service's requests -> of a recipe


class Drawing:
    """Draws recipes; keeps what it knows of models, which never change."""

    def __init__(self, studio: AsyncStudio) -> None:
        self._studio = studio
        self._models: dict[str, Model] = {}  # by digest

    async def draw(self, recipe: pb.ArtworkRecipe) -> Artwork:
        """The artwork, compared with the training pictures of a model that says what these look like.

        Raises what the service says, with the recipe's fields, and WrongState for another model or a near copy.
        """
        where = where_of(recipe.conditions)
        try:
            model = await self._studio.model(recipe.model)
        except InvalidRequest as error:
            raise error_of(_in_recipe(error.status)) from error
        if not has_index(model):
            return await self._draw(recipe, where)
        artwork = await self._draw(recipe, where, "enforce")
        if (attempt := attempt_of(artwork)) != recipe.attempt:  # the service went on until one was no near copy
            raise _near_copy(recipe, attempt)
        return artwork

    async def redraw(self, recipe: Recipe) -> Artwork:
        """The artwork of a recipe in which everything is said."""
        place = pb.ArtworkRecipe(
            model=recipe.model,
            model_digest=recipe.model_digest,
            seed=recipe.seed,
            index=recipe.index,
            truncation=recipe.truncation,
            background=recipe.background,
            attempt=recipe.attempt,
            recipe=None if recipe.mix is None else recipe_message(recipe.mix),
        )
        return await self._draw(place, sent_where(where_of_weights(recipe.weights)))

    async def model_of(self, artwork: Artwork) -> Model:
        """What drew an artwork, with its licences."""
        if artwork.model_digest not in self._models:
            assert artwork.accepted is not None  # `draw` sets it
            found = await self._studio.model(artwork.accepted.model)
            self._models[found.digest] = found
        return self._models[artwork.model_digest]

    async def _draw(self, recipe: pb.ArtworkRecipe, where: Where, originality: str | None = None) -> Artwork:
        truncation = recipe.truncation if recipe.HasField("truncation") else None
        has_mix = recipe.HasField("recipe")
        try:
            drawn = await self._studio.draw(
                recipe.model, where, index=recipe.index, seed=None if has_mix else recipe.seed,
                recipe=_mix_of(recipe.recipe) if has_mix else None, truncation=truncation,
                background=recipe.background, attempt=recipe.attempt, originality=originality,
            )  # fmt: skip
        except InvalidRequest as error:
            raise error_of(_in_recipe(error.status)) from error
        if recipe.model_digest not in ("", drawn.model_digest):
            served = f"the service serves {recipe.model} with the digest {drawn.model_digest}"
            text = f"recipe.model_digest: {served}, not this one"
            raise error_of(make_status(Code.FAILED_PRECONDITION, text, Reason.OTHER_MODEL))
        check(drawn)
        return drawn


def check(artwork: Artwork) -> None:
    """Raises UnikatError (INTERNAL) where an artwork's digest is not that of what it says it was drawn from."""
    facts = artwork.seed, artwork.index, artwork.truncation, artwork.background
    weights = weights_of(artwork.conditions)
    made = artwork_digest(artwork.model_digest, weights, *facts, attempt=attempt_of(artwork), mix=artwork.mix)
    if made != artwork.digest:
        raise UnikatError(make_status(Code.INTERNAL, "the artwork's digest is not of its recipe", Reason.JOB_FAILED))


def _mix_of(recipe: Latent) -> Mix:
    """The mix of a claim's recipe. Raises UnikatError (INVALID_ARGUMENT)."""
    if recipe.HasField("mutation"):
        text = "must be left out: name the recipe of an artwork, which has its mutation in its points"
        raise invalid([FieldError("recipe.mutation", text)])
    try:
        return mix_of_message(recipe)
    except ValueError as error:
        raise invalid([FieldError("recipe.points", str(error))]) from error


def attempt_of(artwork: Artwork) -> int:
    """Drawings that were given up before it."""
    return artwork.originality.attempt if artwork.originality else 0


def weights_of(where: Where) -> Weights:
    """Conditions as weights."""
    return {name: {value: 1.0} if isinstance(value, str) else dict(value) for name, value in where.items()}


def said_of(artwork: Artwork) -> dict[str, Any]:
    """What an entry of the log says of an artwork but for its file and its people."""
    assert artwork.accepted is not None  # `draw` sets it
    latent = (artwork.seed, artwork.index) if artwork.mix is None else artwork.mix.latent
    seed, index = (0, 0) if isinstance(latent, Mix) else latent
    recipe = {
        "conditions": conditions_text(weights_of(artwork.conditions)), "index": index,
        "model": artwork.accepted.model, "model_digest": artwork.model_digest, "seed": str(seed),
        "truncation": repr(shortest(artwork.truncation)),
    }  # fmt: skip
    if isinstance(latent, Mix):
        recipe["recipe"] = text_of(latent)
    if attempt := attempt_of(artwork):
        recipe["attempt"] = attempt
    if artwork.background:
        recipe["background"] = artwork.background
    pixels = {"marked": marked_digest(artwork.array()).hex(), "unmarked": artwork.pixels_digest.hex()}
    return {
        "artwork": artwork.digest.hex(), "pixels": pixels, "recipe": recipe, "renderer": asdict(artwork.renderer)
    }  # fmt: skip


def renderer_of(said: Mapping[str, Any]) -> Renderer:
    """What drew the picture of a claim's entry."""
    return Renderer(**said["renderer"])


def _near_copy(recipe: pb.ArtworkRecipe, attempt: int) -> UnikatError:
    text = (
        f"recipe: it draws a near copy of a picture that {recipe.model} was trained on; attempt {attempt} of the same "
        f"recipe draws none, and can be claimed (recipe.attempt={attempt})"
    )
    return error_of(make_status(Code.FAILED_PRECONDITION, text, Reason.NEAR_COPY))


def _in_recipe(status: Status) -> Status:
    """The service's status with the fields named as in a recipe."""
    moved = Status(code=status.code, message=f"recipe: {status.message}")
    for detail in status.details:
        bad = BadRequest()
        if detail.Unpack(bad):
            for violation in bad.field_violations:
                violation.field = f"recipe.{_FIELDS.get(violation.field, violation.field)}"
            detail = AnyMessage()
            detail.Pack(bad)
        moved.details.append(detail)
    return moved
