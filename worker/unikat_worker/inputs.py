"""Rows of a batch to the inputs of the graph."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Final

import numpy as np

from unikat.background import WHITE, shares
from unikat.bundle import RGBA
from unikat.conditions import CompleteConditions, Schema
from unikat.recipes.latents import Floats, Vectors, mixed_latent
from unikat.recipes.mix import Latent, Mix, Place
from unikat.sampling import latents, latents_and_uniforms
from unikat.v1.model_pb2 import Model
from unikat_worker.buckets import Feeds
from unikat_worker.graph import BACKGROUND, CONDITION, LATENT, TRUNCATION
from unikat_worker.rows import Row

_NO_DIRECTIONS: Final[Vectors] = {}


def feeds(
    schema: Schema, model: Model, rows: Sequence[Row], directions: Vectors = _NO_DIRECTIONS
) -> tuple[Feeds, list[CompleteConditions]]:
    """The graph's inputs for `rows`, float32 (len(rows), width) each, and what each row is drawn with.

    Raises KeyError for conditions and directions that the model does not have, ValueError for a seed outside 0 to
    2**64 - 1, for a vector that is no latent of the model, and for what is no background.
    """
    latent, complete = _of_places(schema, model, rows)
    if any(isinstance(row.latent, Mix) for row in rows):
        latent, complete = _mixed(schema, rows, (latent, complete), directions)
    inputs = {LATENT: latent, TRUNCATION: np.array([[row.truncation] for row in rows], dtype=np.float32)}
    if schema.size:
        inputs[CONDITION] = schema.stacked(complete)
    if model.channels == RGBA:
        inputs[BACKGROUND] = np.array([shares(row.background or WHITE) for row in rows], dtype=np.float32)
    return inputs, complete


def _places(latent: Latent) -> list[Place]:
    """The places whose latents are needed."""
    return [base for base, _ in latent.points if isinstance(base, tuple)] if isinstance(latent, Mix) else [latent]


def _of_places(schema: Schema, model: Model, rows: Sequence[Row]) -> tuple[Floats, list[CompleteConditions]]:
    """Latent and conditions of every place of every row, one after the other: one pass for the whole batch."""
    wanted = [(row, place) for row in rows for place in _places(row.latent)]
    seeds, indices = [place[0] for _, place in wanted], [place[1] for _, place in wanted]
    latent, uniforms = latents_and_uniforms(seeds, indices, model.latent_size)
    for at, (row, (seed, index)) in enumerate(wanted):
        if row.attempt:  # conditions that were left open are the index's, whatever the attempt
            latent[at] = latents(seed, [index], model.latent_size, row.attempt)[0]
    return latent, schema.complete_rows([row.weights for row, _ in wanted], uniforms)


def _mixed(
    schema: Schema, rows: Sequence[Row], of_places: tuple[Floats, list[CompleteConditions]], directions: Vectors
) -> tuple[Floats, list[CompleteConditions]]:
    """Latents and conditions of rows from those of their places."""
    found: list[Floats] = []
    conditions: list[CompleteConditions] = []
    following = iter(zip(*of_places, strict=True))
    for row in rows:
        mix, places = row.latent, _places(row.latent)
        own = list(islice(following, len(places)))
        if not isinstance(mix, Mix):
            found.append(own[0][0])
            conditions.append(own[0][1])
            continue
        by_place = dict(zip(places, own, strict=True))
        found.append(mixed_latent(mix, {place: latent for place, (latent, _) in by_place.items()}, directions))
        # What was asked for; the rest is each point's own, weighing the square of its weight.
        parts = [(by_place[base][1].weights, by * by) for base, by in mix.points if isinstance(base, tuple)]
        conditions.append(schema.blended(parts, row.weights))
    return np.stack(found), conditions
