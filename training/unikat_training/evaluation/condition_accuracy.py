"""Accuracy of the conditions: how often a classifier finds in generated pictures what their condition says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from unikat.v1.model_pb2 import Attribute
from unikat_training.evaluation.classifier import Classifier
from unikat_training.evaluation.material import Pictures

Labels = npt.NDArray[np.int64]

ABLE = 0.2  # a classifier that on real pictures is no better than this (kappa) measures nothing


@dataclass(frozen=True)
class Mistake:
    """What a category's pictures are most often mistaken for, and the share of them that are."""

    category: str
    share: float


@dataclass(frozen=True)
class CategoryAccuracy:
    """None where there is no picture of the category, or no mistake."""

    category: str
    generated: float | None
    real: float | None
    generated_count: int
    real_count: int
    generated_mistake: Mistake | None = None
    real_mistake: Mistake | None = None


@dataclass(frozen=True)
class ConditionAccuracy:
    """Of one attribute. Kappa is the accuracy above what independence would give, of what there is above it (Cohen)."""

    attribute: str
    accuracy: float  # share of generated pictures that the classifier takes for what was asked
    real_accuracy: float  # of the classifier on real test pictures: the limit
    share: float  # of one in the other
    kappa: float
    real_kappa: float
    score: float  # classification accuracy score: trained on generated pictures, tested on real ones (limit: real)
    categories: tuple[CategoryAccuracy, ...]

    @property
    def kappa_share(self) -> float | None:
        """0: the condition is ignored; 1: shown as plainly as by real pictures. None: the classifier cannot tell."""
        return self.kappa / self.real_kappa if self.real_kappa > ABLE else None


@dataclass(frozen=True)
class Predictions:
    """What a classifier took pictures for, beside what they are labelled as, (N, A) each."""

    predicted: Labels
    labels: Labels

    @classmethod
    def of(cls, classifier: Classifier, pictures: Pictures) -> Predictions:
        return cls(classifier.predictions(pictures), pictures.labels)

    def accuracy(self, column: int) -> float:
        return float((self.predicted[:, column] == self.labels[:, column]).mean())

    def together(self, columns: Sequence[int]) -> float:
        """Share of the pictures in which all of these attributes are right."""
        chosen = list(columns)
        return float((self.predicted[:, chosen] == self.labels[:, chosen]).all(axis=1).mean())

    def kappa(self, column: int, size: int) -> float:
        shares = [np.bincount(each[:, column], minlength=size) / len(each) for each in (self.predicted, self.labels)]
        chance = float(shares[0] @ shares[1])
        return (self.accuracy(column) - chance) / (1 - chance) if chance < 1 else 0.0

    def within(self, column: int, category: int) -> tuple[float | None, int]:
        """Accuracy on one category's pictures, and how many there are."""
        asked = self.labels[:, column] == category
        if not asked.any():
            return None, 0
        return float((self.predicted[asked, column] == category).mean()), int(asked.sum())

    def mistake(self, column: int, category: int, names: list[str]) -> Mistake | None:
        """The commonest wrong answer for one category's pictures."""
        found = self.predicted[self.labels[:, column] == category, column]
        wrong = np.bincount(found[found != category], minlength=len(names))
        most = int(wrong.argmax())
        return Mistake(names[most], float(wrong[most] / len(found))) if wrong[most] else None


def measure_condition_accuracy(
    attributes: list[Attribute], generated: Predictions, real: Predictions, learned: Predictions
) -> tuple[ConditionAccuracy, ...]:
    """One an attribute. `learned` is what a classifier trained on the generated pictures takes the real ones for."""
    out = []
    for column, attribute in enumerate(attributes):
        names = [category.name for category in attribute.categories]
        categories = []
        for position, name in enumerate(names):
            (ours, drawn), (theirs, known) = generated.within(column, position), real.within(column, position)
            mistakes = (each.mistake(column, position, names) for each in (generated, real))
            categories.append(CategoryAccuracy(name, ours, theirs, drawn, known, *mistakes))
        accuracy, limit = generated.accuracy(column), real.accuracy(column)
        size = len(names)
        out.append(
            ConditionAccuracy(
                attribute=attribute.name,
                accuracy=accuracy,
                real_accuracy=limit,
                share=accuracy / limit if limit else 0.0,
                kappa=generated.kappa(column, size),
                real_kappa=real.kappa(column, size),
                score=learned.accuracy(column),
                categories=tuple(categories),
            )
        )
    return tuple(out)
