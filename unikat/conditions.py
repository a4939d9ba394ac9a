"""Conditions: what a caller asks of a model's attributes, checked against its schema, and drawn where left open."""

from __future__ import annotations

import difflib
import math
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Final

import numpy as np
import numpy.typing as npt

from unikat.sampling import condition_uniforms
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Blend, Condition

# Attribute -> category -> weight; the weights of an attribute sum to 1, categories in the model's order.
Weights = Mapping[str, Mapping[str, float]]
CategoryNames = Mapping[str, Sequence[str]]  # attribute -> its categories
Denied = Mapping[str, Sequence[str]]  # attribute -> categories that must not be drawn

LARGEST: Final = 2**1023  # a whole number beyond it cannot be made a float
_CACHED: Final = 1024  # complete conditions kept by a schema: some 2 kB each
_CACHED_SHARES: Final = 2**17  # shares of combinations kept by a schema: 32 bytes each
_Key = tuple[tuple[str, tuple[tuple[str, float], ...]], ...]  # weights that can be hashed


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


def is_finite(value: object) -> bool:
    """Whether a JSON value is a number, and neither NaN nor infinite."""
    return isinstance(value, (int, float)) and type(value) is not bool and -LARGEST < value < LARGEST


def are_weights(value: object) -> bool:
    """Whether a JSON value has the form of `Weights`: attribute to category to a finite number of at least 0."""
    return isinstance(value, dict) and all(
        isinstance(of, dict) and all(is_finite(weight) and weight >= 0 for weight in of.values())
        for of in value.values()
    )


def are_denied(value: object) -> bool:
    """Whether a JSON value has the form of `Denied`."""
    return isinstance(value, dict) and all(
        isinstance(of, list) and all(isinstance(category, str) for category in of) for of in value.values()
    )


def denied_in(weights: Weights, denied: Denied) -> tuple[str, str] | None:
    """The first attribute and category with a share in `weights` that is denied; None if none is."""
    found = ((name, category) for name, of in denied.items() for category in of if weights.get(name, {}).get(category))
    return next(found, None)


def check_conditions(
    model: Model, conditions: Sequence[Condition], field: str = "conditions", names: CategoryNames | None = None
) -> Weights:
    """Conditions of a request to normalised weights; `names` are `category_names(model)`, where they are at hand.

    Raises FieldError, with the field path and the valid choices, for an unknown or repeated attribute, an unknown
    category, no value, weights that are negative, not finite or do not sum to more than 0, and a blend of categories
    that exclude one another.
    """
    weights = check_named(names or category_names(model), conditions, field)
    for position, condition in enumerate(conditions):
        name = condition.attribute
        if len(weights[name]) > 1 and any(a.exclusive for a in model.attributes if a.name == name):
            message = f'this model cannot blend "{name}"; name one category of {choices(weights[name])}'
            raise FieldError(f"{field}[{position}].blend.weights", message)
    return weights


def category_names(model: Model) -> CategoryNames:
    """A model's attributes and their categories, in its order."""
    return {attribute.name: [c.name for c in attribute.categories] for attribute in model.attributes}


def check_named(schema: CategoryNames, conditions: Sequence[Condition], field: str = "conditions") -> Weights:
    """`check_conditions` for the attributes and categories of a model."""
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
        category = _spelled(condition.category, categories)
        _check_category(category, categories, f"{path}.category")
        return {category: 1.0}
    given: dict[str, float] = {}
    for typed, weight in sorted(condition.blend.weights.items()):
        name, field = _spelled(typed, categories), f"{path}.blend.weights[{typed}]"
        _check_category(name, categories, field)
        if not (math.isfinite(weight) and weight >= 0):
            raise FieldError(field, f"must be a finite number of at least 0, not {weight}")
        given[name] = given.get(name, 0.0) + weight  # by both of its spellings, perhaps
    total = math.fsum(given.values())
    if not total > 0:
        raise FieldError(f"{path}.blend.weights", "must sum to more than 0")
    return _shares_of(given, total, categories)


def _spelled(name: str, categories: Sequence[str]) -> str:
    # Prepared data has names in NFC; macOS types "é" as two characters.
    return name if name in categories else unicodedata.normalize("NFC", name)


def _check_category(name: str, categories: Sequence[str], field: str) -> None:
    if name not in categories:
        raise FieldError(field, f'unknown category "{name}"; {choose_from(categories, name)}')


def where_of_weights(weights: Weights) -> dict[str, str | Mapping[str, float]]:
    """Weights as calls take them: a category where there is one, a blend where there are several."""
    return {name: next(iter(of)) if len(of) == 1 else dict(of) for name, of in weights.items()}


def to_messages(weights: Weights) -> list[Condition]:
    """Weights as they are reported: a category where there is one, a blend where there are several."""
    return [
        Condition(attribute=name, category=next(iter(of)))
        if len(of) == 1
        else Condition(attribute=name, blend=Blend(weights=of))
        for name, of in weights.items()
    ]


@dataclass(frozen=True, slots=True, eq=False)
class CompleteConditions:
    """What an image is drawn with: weights for every attribute, and the same as the graph's input, float32 (size,).

    A schema gives the same object for the same conditions as long as it is in use, so that it can be a cache's key.
    """

    weights: Weights
    vector: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Schema:
    """A model's attributes as arrays, and the draw of what a request leaves open. May be used by several threads."""

    model: Model

    @cached_property
    def size(self) -> int:
        """Width of the condition vector."""
        return sum(len(categories) for categories in self._categories.values())

    def complete(self, weights: Weights, seed: int, indices: Sequence[int]) -> list[Weights]:
        """For each image, the weights asked for and a category for every attribute that was left out.

        The draw is from the training set's combinations, each weighted by its count and by what was asked for, by
        one uniform of (seed, index): a pure function, like the latent. Raises KeyError for what the
        model does not have.
        """
        complete = self.complete_rows([weights] * len(indices), condition_uniforms(seed, indices))
        return [conditions.weights for conditions in complete]

    def complete_rows(self, weights: Sequence[Weights], uniforms: Sequence[float]) -> list[CompleteConditions]:
        """`complete` for images of which each has weights and a uniform (`condition_uniforms`) of its own."""
        complete = []
        seen: Weights | None = None
        for asked, uniform in zip(weights, uniforms, strict=True):
            if asked is not seen:  # the images of a job share the object
                seen, key = asked, _key_of(asked)
                cumulative = None if self._categories.keys() <= asked.keys() else self._cumulative(key)
            combination = None
            if cumulative is not None:
                combination = min(bisect_right(cumulative, uniform * cumulative[-1]), len(cumulative) - 1)
            complete.append(self._completed(key, combination))
        return complete

    def blended(self, parts: Sequence[tuple[Weights, float]], asked: Weights) -> CompleteConditions:
        """What is asked for, and for the other attributes the complete weights of `parts`, each by its weight.

        Of an exclusive attribute, it is the category of the largest share, of equal ones the model's first.
        """
        found = {}
        for attribute in self.model.attributes:
            name = attribute.name
            found[name] = asked[name] if name in asked else _blend(self._categories[name], name, parts)
            if attribute.exclusive and len(found[name]) > 1:
                found[name] = {max(found[name], key=found[name].__getitem__): 1.0}
        return self._completed(_key_of(found), None)

    def vectors(self, weights: Iterable[Weights]) -> npt.NDArray[np.float32]:
        """Complete weights to the graph's condition input: float32 of shape (len(weights), size)."""
        return self.stacked([self._completed(_key_of(image), None) for image in weights])

    def stacked(self, complete: Sequence[CompleteConditions]) -> npt.NDArray[np.float32]:
        """The graph's condition input: float32 of shape (len(complete), size)."""
        if not complete:
            return np.zeros((0, self.size), dtype=np.float32)
        return np.concatenate([conditions.vector for conditions in complete]).reshape(len(complete), self.size)

    @cached_property
    def _categories(self) -> CategoryNames:
        return category_names(self.model)

    @cached_property
    def _columns(self) -> dict[tuple[str, str], int]:
        """Attribute and category to the position in the condition vector."""
        names = [(name, category) for name, categories in self._categories.items() for category in categories]
        return {name: column for column, name in enumerate(names)}

    @cached_property
    def _combinations(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        rows = [list(c.categories) for c in self.model.combinations]
        counts = [float(c.count) for c in self.model.combinations]
        return np.array(rows, dtype=np.int64).reshape(len(rows), len(self._categories)), np.array(counts)

    @cached_property
    def _cumulative(self) -> Callable[[_Key], list[float]]:
        """The running sum of the combinations' shares, given what was asked for."""

        def cumulative(key: _Key) -> list[float]:
            return list(accumulate(self._shares({name: dict(of) for name, of in key}).tolist()))

        return lru_cache(maxsize=1 + _CACHED_SHARES // max(1, len(self.model.combinations)))(cumulative)

    def _shares(self, weights: Weights) -> npt.NDArray[np.float64]:
        rows, counts = self._combinations
        shares = counts
        for position, (name, categories) in enumerate(self._categories.items()):
            if name in weights:
                asked = np.array([weights[name].get(category, 0.0) for category in categories])
                shares = shares * asked[rows[:, position]]
        # A combination of conditions that training never saw: the others keep their overall distribution.
        return shares if shares.sum() > 0 else counts

    @cached_property
    def _completed(self) -> Callable[[_Key, int | None], CompleteConditions]:
        """What was asked for, completed by a combination (its position) where something was left open."""

        def completed(key: _Key, combination: int | None) -> CompleteConditions:
            weights = {name: dict(of) for name, of in key}
            if combination is not None:
                rows, _ = self._combinations
                drawn = zip(self._categories.items(), rows[combination].tolist(), strict=True)
                named = {name: weights.pop(name, {categories[position]: 1.0}) for (name, categories), position in drawn}
                weights = named | weights  # what the model does not have is refused below
            vector = np.zeros(self.size, dtype=np.float32)
            for name, of in weights.items():
                for category, weight in of.items():
                    vector[self._columns[name, category]] = weight
            vector.flags.writeable = False
            return CompleteConditions(weights, vector)

        return lru_cache(maxsize=_CACHED)(completed)


def _blend(categories: Sequence[str], name: str, parts: Sequence[tuple[Weights, float]]) -> dict[str, float]:
    """An attribute's weights in all parts together, as `check_conditions` divides them by their sum."""
    shares: dict[str, float] = {}
    for weights, share in parts:
        for category, weight in weights[name].items():
            shares[category] = shares.get(category, 0.0) + weight * share
    return _shares_of(shares, math.fsum(shares.values()), categories)


def _shares_of(given: Mapping[str, float], total: float, categories: Sequence[str]) -> dict[str, float]:
    """Weights that sum to 1, in the model's order.

    Rounded to float32, as digests and graphs have them: else a blend that is asked for again, in float32, would differ
    in what files say of it.
    """
    return {name: float(np.float32(given[name] / total)) for name in categories if given.get(name, 0.0) > 0}


def _key_of(weights: Weights) -> _Key:
    return tuple([(name, tuple(of.items())) for name, of in weights.items()])
