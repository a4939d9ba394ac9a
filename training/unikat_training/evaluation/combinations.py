"""New combinations: how often a model shows combinations of categories that it was never trained on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.condition_accuracy import Labels, Predictions
from unikat_training.evaluation.setup import EvaluationSetup, extracted
from unikat_training.evaluation.subject import Subject

LEAST = 500  # pictures that are drawn of them, where fewer are drawn of the others they are as many
TOGETHER = "all of these at once"


@dataclass(frozen=True)
class Recognised:
    """Shares of pictures in which the classifier finds what was asked, of one attribute or of all of them at once.

    What the classifier reaches on real pictures is the limit; of the new combinations it has seen other pictures.
    """

    attribute: str
    seen: float  # of drawn pictures of combinations that were trained on
    unseen: float  # of drawn pictures of new ones
    real_seen: float  # of test pictures
    real_unseen: float  # of the real pictures that were kept from training

    @property
    def share(self) -> float:
        """1: new combinations are shown as well as known ones."""
        return self.unseen / self.seen if self.seen else 0.0


@dataclass(frozen=True)
class NewCombinations:
    """Of `combinations` combinations of the attributes `over`; the last of the accuracies is of all at once."""

    over: tuple[str, ...]
    combinations: int
    truncation: float
    count: int  # drawn
    real: int  # real pictures of them that it was measured on
    accuracies: tuple[Recognised, ...]


def measure_new(
    subject: Subject, setup: EvaluationSetup, unseen: Dataset | None, seen: Predictions | None
) -> NewCombinations | None:
    """At the default truncation, where `seen` are the predictions of the pictures of known combinations.

    The other attributes are as in the real pictures. None where no combination was held out.
    """
    if unseen is None or seen is None or setup.classifier is None or setup.real is None:
        return None
    real = extracted(unseen, subject, setup.pipeline)
    drawn = subject.draw_labels(asked(real.labels, setup.count), subject.truncations[-1], setup.pipeline)
    found, known = (Predictions.of(setup.classifier, pictures) for pictures in (drawn, real))
    names = [attribute.name for attribute in subject.model.attributes]
    over = [name for name in subject.unseen_over if name in names]
    columns = [names.index(name) for name in over]
    groups = [(name, [column]) for name, column in zip(over, columns, strict=True)]
    return NewCombinations(
        over=tuple(over),
        combinations=len(np.unique(real.labels[:, columns], axis=0)),
        truncation=subject.truncations[-1],
        count=len(drawn),
        real=len(unseen),
        accuracies=tuple(
            Recognised(name, *(each.together(chosen) for each in (seen, found, setup.real, known)))
            for name, chosen in [*groups, (TOGETHER, columns)]
        ),
    )


def asked(labels: Labels, most: int) -> Labels:
    """Labels of `LEAST` to `most` pictures, of the real ones (N, A) in turn or evenly out of them."""
    if len(labels) <= most:
        return np.resize(labels, (max(len(labels), min(LEAST, most)), labels.shape[1]))
    chosen: Labels = labels[np.linspace(0, len(labels) - 1, most).astype(np.int64)]
    return chosen
