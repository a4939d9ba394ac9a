"""Conditions: what a caller asks of a model's attributes, checked against its schema, and drawn where left open."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from unikat.sampling import Purpose, philox
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Blend, Condition

# Attribute -> category -> weight; the weights of an attribute sum to 1, categories in the model's order.
Weights = Mapping[str, Mapping[str, float]]


_COMPARED: Final = 100  # names, and characters of a name, among which one that is spelled alike is looked for


class FieldError(ValueError):
    """A field of a request is wrong. `field` is its path (AIP-193), the message says what is allowed."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message


def choices(names: Iterable[str], limit: int = 40) -> str:
    """Names for an error message: quoted, and cut where there are too many to read."""
    names = list(names)
    shown = ", ".join(f'"{name}"' for name in names[:limit])
    return shown + (f" and {len(names) - limit} more" if len(names) > limit else "")


def choose_from(known: Iterable[str], name: str) -> str:
    """What to write instead of `name`, for an error message: what is spelled alike first, then all."""
    names = list(known)
    # Only what may be a slip of the pen is compared: comparing long texts takes long.
    compared = names[:_COMPARED] if len(name) <= _COMPARED else []
    close = difflib.get_close_matches(name, compared, n=1, cutoff=0.55)
    return f"did you mean {choices(close)}? Choose from {choices(names)}" if close else f"choose from {choices(names)}"


def check_conditions(model: Model, conditions: Sequence[Condition], field: str = "conditions") -> Weights:
    """Conditions of a request to normalised weights.

    Raises FieldError, with the field path and the valid choices, for an unknown or repeated attribute, an unknown
    category, no value, and weights that are negative, not finite or do not sum to more than 0.
    """
    schema = {attribute.name: [c.name for c in attribute.categories] for attribute in model.attributes}
    weights: dict[str, dict[str, float]] = {}
    for position, condition in enumerate(conditions):
        path = f"{field}[{position}]"
        name = condition.attribute
        if name not in schema:
            allowed = choose_from(schema, name) if schema else "this model has none"
            raise FieldError(f"{path}.attribute", f'unknown attribute "{name}"; {allowed}')
        if name in weights:
            raise FieldError(f"{path}.attribute", f'"{name}" is named twice; to mix categories, use one blend')
        weights[name] = _check_value(condition, schema[name], path)
    return {name: weights[name] for name in schema if name in weights}


def _check_value(condition: Condition, categories: Sequence[str], path: str) -> dict[str, float]:
    kind = condition.WhichOneof("value")
    if kind is None:
        raise FieldError(path, f"needs a category or a blend; categories: {choices(categories)}")
    if kind == "category":
        _check_category(condition.category, categories, f"{path}.category")
        return {condition.category: 1.0}
    given = condition.blend.weights
    for name in sorted(given):
        field = f"{path}.blend.weights[{name}]"
        _check_category(name, categories, field)
        if not (math.isfinite(given[name]) and given[name] >= 0):
            raise FieldError(field, f"must be a finite number of at least 0, not {given[name]}")
    total = math.fsum(given.values())
    if not total > 0:
        raise FieldError(f"{path}.blend.weights", "must sum to more than 0")
    return {name: given[name] / total for name in categories if given.get(name, 0.0) > 0}


def _check_category(name: str, categories: Sequence[str], field: str) -> None:
    if name not in categories:
        raise FieldError(field, f'unknown category "{name}"; {choose_from(categories, name)}')


def to_messages(weights: Weights) -> list[Condition]:
    """Weights as they are reported: a category where there is one, a blend where there are several."""
    return [
        Condition(attribute=name, category=next(iter(of)))
        if len(of) == 1
        else Condition(attribute=name, blend=Blend(weights=of))
        for name, of in weights.items()
    ]


@dataclass(frozen=True)
class Schema:
    """A model's attributes as arrays, and the draw of what a request leaves open."""

    model: Model

    @cached_property
    def _categories(self) -> dict[str, list[str]]:
        return {attribute.name: [c.name for c in attribute.categories] for attribute in self.model.attributes}

    @cached_property
    def _offsets(self) -> dict[str, int]:
        sizes = [len(categories) for categories in self._categories.values()]
        return dict(zip(self._categories, np.cumsum([0, *sizes[:-1]]).tolist(), strict=True))

    @cached_property
    def _combinations(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        rows = [list(c.categories) for c in self.model.combinations]
        counts = [float(c.count) for c in self.model.combinations]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self._categories)), np.array(counts)

    @property
    def size(self) -> int:
        """Width of the condition vector."""
        return sum(len(categories) for categories in self._categories.values())

    def complete(self, weights: Weights, seed: int, indices: Sequence[int]) -> list[Weights]:
        """For each image, the weights asked for and a category for every attribute that was left out.

        The draw is from the training set's combinations, each weighted by its count and by what was asked for, by
        one uniform of (seed, index): a pure function, like the latent.
        """
        open_attributes = [name for name in self._categories if name not in weights]
        if not open_attributes:
            return [weights] * len(indices)
        words = philox(seed, list(indices), Purpose.CONDITIONS, blocks=1)
        # 53 bits of the first two words: (0, 1) with steps far below any combination's share
        uniform = ((words[:, 0] >> np.uint64(5)) * 67108864.0 + (words[:, 1] >> np.uint64(6)) + 0.5) / 2.0**53
        rows, _ = self._combinations
        cumulative = np.cumsum(self._shares(weights))
        drawn = rows[np.searchsorted(cumulative, uniform * cumulative[-1], side="right").clip(max=len(rows) - 1)]
        return [self._filled(weights, row) for row in drawn]

    def _shares(self, weights: Weights) -> npt.NDArray[np.float64]:
        rows, counts = self._combinations
        shares = counts
        for position, (name, categories) in enumerate(self._categories.items()):
            if name in weights:
                asked = np.array([weights[name].get(category, 0.0) for category in categories])
                shares = shares * asked[rows[:, position]]
        # A combination of conditions that training never saw: the others keep their overall distribution.
        return shares if shares.sum() > 0 else counts

    def _filled(self, weights: Weights, row: npt.NDArray[np.int64]) -> Weights:
        return {
            name: weights[name] if name in weights else {categories[row[position]]: 1.0}
            for position, (name, categories) in enumerate(self._categories.items())
        }

    def vectors(self, weights: Sequence[Weights]) -> npt.NDArray[np.float32]:
        """Complete weights to the graph's condition input: float32 of shape (len(weights), size)."""
        vectors = np.zeros((len(weights), self.size), dtype=np.float32)
        for row, image in enumerate(weights):
            for name, of in image.items():
                for category, weight in of.items():
                    vectors[row, self._offsets[name] + self._categories[name].index(category)] = weight
        return vectors
