"""Recipes and walks of requests, checked field by field."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from unikat.conditions import FieldError, Weights, choices, choose_from
from unikat.recipes.messages import mix_of_message
from unikat.recipes.mix import MAX_POINTS, MAX_SHIFT, MAX_WEIGHT, Mix
from unikat.recipes.sequence import MAX_FRAMES, MAX_KEYFRAMES, MixSequence, Mutations, Walk, way_problem
from unikat.recipes.text import vector_bytes
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import EASING_SMOOTH, Easing, Recipe, WeightedPoint
from unikat.v1.studio_pb2 import Walk as WalkMessage


def check_recipe(recipe: Recipe, model: Model, field: str, seed: int) -> Mutations:
    """A recipe, `seed` being that of its mutation where it names none. Raises FieldError."""
    mix = _check_mix(recipe, model, field)
    if not recipe.HasField("mutation"):
        return Mutations(mix)
    radius = _checked_radius(recipe, field)
    if len(mix.points) == MAX_POINTS and radius:
        most = MAX_POINTS - 1
        raise FieldError(f"{field}.points", f"at most {most} with a mutation, which adds one, not {MAX_POINTS}")
    return Mutations(mix, radius, recipe.mutation.seed if recipe.mutation.HasField("seed") else seed)


def _checked_radius(recipe: Recipe, field: str) -> float:
    radius = recipe.mutation.radius
    if not (math.isfinite(radius) and 0 <= radius <= 1):
        raise FieldError(f"{field}.mutation.radius", f"must be 0 (the parent) to 1 (a stranger), not {radius}")
    return radius


def check_walk(walk: WalkMessage, model: Model, field: str) -> Walk:
    """A walk. Raises FieldError."""
    if not 2 <= len(walk.keyframes) <= MAX_KEYFRAMES:
        raise FieldError(f"{field}.keyframes", f"needs 2 to {MAX_KEYFRAMES} recipes, not {len(walk.keyframes)}")
    if not 2 <= walk.frames <= MAX_FRAMES:
        raise FieldError(f"{field}.frames", f"must be 2 to {MAX_FRAMES}, not {walk.frames}")
    if walk.easing not in Easing.values():
        raise FieldError(f"{field}.easing", f"must be one of {', '.join(Easing.keys())}, not {walk.easing}")
    mixes = []
    for i, keyframe in enumerate(walk.keyframes):
        if keyframe.HasField("mutation"):
            _checked_radius(keyframe, f"{field}.keyframes[{i}]")
            text = "must be left out: name the recipe of an artwork, which has its mutation in its points"
            raise FieldError(f"{field}.keyframes[{i}].mutation", text)
        mixes.append(_check_mix(keyframe, model, f"{field}.keyframes[{i}]"))
    ends = [*mixes[1:], mixes[0]] if walk.loop else mixes[1:]
    for i, (one, other) in enumerate(zip(mixes, ends, strict=False)):
        if problem := way_problem(one, other):
            after = (i + 1) % len(mixes)
            raise FieldError(f"{field}.keyframes[{after}]", f"no way there from keyframe {i}: {problem}")
    return Walk(tuple(mixes), walk.frames, walk.loop, walk.easing == EASING_SMOOTH)


def sequence_problems(
    sequence: MixSequence, weights: Weights, model: Model, indexes: range, fields: tuple[str, str, str, str]
) -> Iterator[FieldError]:
    """What is wrong with images `indexes` of a sequence; `fields` are those of first index, count,
    recipe and conditions.
    """
    first, count, field, conditions = fields
    if isinstance(sequence, Walk):
        if indexes.stop > sequence.frames:
            text = f"a walk of {sequence.frames} frames has none from {sequence.frames} on, not {indexes.stop}"
            yield FieldError(count, text)
    elif not sequence.radius:
        if len(indexes) != 1:
            yield FieldError(count, f"must be 1, not {len(indexes)}: without a mutation, a recipe has one image")
        if indexes.start:
            yield FieldError(first, f"must be 0, not {indexes.start}: without a mutation, a recipe has one image")
    else:
        yield from _cancelled(sequence, indexes, field)
    mixes = sequence.keyframes if isinstance(sequence, Walk) else (sequence.mix,)
    left_open = [attribute.name for attribute in model.attributes if attribute.name not in weights]
    if left_open and any(mix.has_vectors for mix in mixes):
        text = f"must name {choices(left_open)}, too: a vector has no conditions of its own"
        yield FieldError(conditions, text)


def _cancelled(mutations: Mutations, indexes: range, field: str) -> Iterator[FieldError]:
    """Fresh points that are points of the mix, and leave nothing of it."""
    own = {base[1] for base, _ in mutations.mix.points if isinstance(base, tuple) and base[0] == mutations.seed}
    for index in sorted(index for index in own if index in indexes):
        try:
            mutations.at(index)
        except ValueError as error:
            yield FieldError(f"{field}.mutation", f"image {index}: {error}")


def _check_mix(recipe: Recipe, model: Model, field: str) -> Mix:
    if not recipe.points:
        raise FieldError(f"{field}.points", f"needs 1 to {MAX_POINTS} points")
    for i, point in enumerate(recipe.points):
        _check_point(point, model, f"{field}.points[{i}]")
    _check_shifts(recipe, model, field)
    try:
        mix = mix_of_message(recipe)
    except ValueError as error:
        raise FieldError(f"{field}.points", str(error)) from error
    for name, strength in mix.shifts:
        _check_strength(strength, f"{field}.shifts", f'of "{name}" together ')
    return mix


def _check_point(point: WeightedPoint, model: Model, field: str) -> None:
    kind = point.WhichOneof("base")
    if kind is None:
        raise FieldError(field, "needs a point (seed and index) or a vector")
    if not abs(point.weight) <= MAX_WEIGHT:
        limits = f"must be a finite number from -{MAX_WEIGHT:.0f} to {MAX_WEIGHT:.0f}"
        raise FieldError(f"{field}.weight", f"{limits}, not {point.weight}")
    if kind == "vector":
        values: Sequence[float] = point.vector.values
        if len(values) != model.latent_size:
            text = f"must have {model.latent_size} numbers, as latents of this model do, not {len(values)}"
            raise FieldError(f"{field}.vector.values", text)
        try:
            vector_bytes(values)
        except ValueError as error:
            raise FieldError(f"{field}.vector.values", str(error)) from error


def _check_shifts(recipe: Recipe, model: Model, field: str) -> None:
    known = [direction.name for direction in model.directions]
    for i, shift in enumerate(recipe.shifts):
        _check_strength(shift.strength, f"{field}.shifts[{i}].strength")
        if shift.direction not in known:
            allowed = choose_from(known, shift.direction) if known else "this model has none"
            raise FieldError(f"{field}.shifts[{i}].direction", f'unknown direction "{shift.direction}"; {allowed}')


def _check_strength(strength: float, field: str, what: str = "") -> None:
    if not abs(strength) <= MAX_SHIFT:
        limits = f"{what}must be a finite number of standard deviations from -{MAX_SHIFT:g} to {MAX_SHIFT:g}"
        raise FieldError(field, f"{limits}, not {strength}")
