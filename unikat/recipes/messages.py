"""Mixes and sequences as messages of the contract."""

from __future__ import annotations

from unikat.recipes.mix import Mix, mix_of
from unikat.recipes.sequence import MixSequence, Mutations, Walk
from unikat.recipes.text import vector_bytes, vector_numbers
from unikat.v1 import studio_pb2 as pb
from unikat.v1.batches_pb2 import Plan


def recipe_message(mix: Mix) -> pb.Recipe:
    """A mix as a recipe without a mutation."""
    points = []
    for base, weight in mix.points:
        if isinstance(base, bytes):
            points.append(pb.WeightedPoint(vector=pb.Vector(values=vector_numbers(base)), weight=weight))
        else:
            points.append(pb.WeightedPoint(point=pb.Point(seed=base[0], index=base[1]), weight=weight))
    return pb.Recipe(
        points=points, shifts=[pb.Shift(direction=name, strength=strength) for name, strength in mix.shifts]
    )


def mix_of_message(recipe: pb.Recipe) -> Mix:
    """The mix of a recipe, its mutation aside. Raises ValueError for what is none."""
    points = [
        (
            vector_bytes(each.vector.values)
            if each.WhichOneof("base") == "vector"
            else (each.point.seed, each.point.index),
            each.weight,
        )
        for each in recipe.points
    ]
    return mix_of(points, [(shift.direction, shift.strength) for shift in recipe.shifts])


def mutations_message(mutations: Mutations) -> pb.Recipe:
    """A recipe with its mutation."""
    recipe = recipe_message(mutations.mix)
    if mutations.radius:
        recipe.mutation.radius, recipe.mutation.seed = mutations.radius, mutations.seed
    return recipe


def walk_message(walk: Walk) -> pb.Walk:
    """A walk."""
    easing = pb.EASING_SMOOTH if walk.smooth else pb.EASING_LINEAR
    keyframes = map(recipe_message, walk.keyframes)
    return pb.Walk(keyframes=keyframes, frames=walk.frames, loop=walk.loop, easing=easing)


def set_sequence(message: pb.GenerateRequest | pb.Accepted | Plan, sequence: MixSequence | None) -> None:
    """Say in a message what it is about, if it is a recipe or a walk."""
    if isinstance(sequence, Walk):
        message.walk.CopyFrom(walk_message(sequence))
    elif sequence is not None:
        message.recipe.CopyFrom(mutations_message(sequence))


def sequence_of_message(message: Plan) -> MixSequence | None:
    """The inverse of `set_sequence`. Raises ValueError for what is no recipe."""
    if message.HasField("walk"):
        walk = message.walk
        keyframes = tuple(map(mix_of_message, walk.keyframes))
        return Walk(keyframes, walk.frames, walk.loop, walk.easing == pb.EASING_SMOOTH)
    if not message.HasField("recipe"):
        return None
    mutation = message.recipe.mutation
    return Mutations(mix_of_message(message.recipe), mutation.radius, mutation.seed)
