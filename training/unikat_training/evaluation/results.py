"""What an evaluation found: every figure beside its references, and what a person should be warned of."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from unikat.json_text import lines_of_json
from unikat_training.evaluation.blends import Blend
from unikat_training.evaluation.combinations import NewCombinations
from unikat_training.evaluation.condition_accuracy import ConditionAccuracy
from unikat_training.evaluation.corners import EmptyCorner
from unikat_training.evaluation.diversity import COLLAPSED, Diversity
from unikat_training.evaluation.memorisation import COPYING_Z, Memorisation
from unikat_training.evaluation.setup import Data
from unikat_training.evaluation.similarity import Similarity
from unikat_training.evaluation.wishes import Wish

# In 1 `condition_accuracy` was called `obedience`; before 3 there were no `judge`, `combinations`, `wishes` and
# `limit.copies`, and figures were measured in features of EfficientNet-Lite1.
FORMAT = 3
MINIMUM = 0.5  # of `kappa_share`, where the run's configuration has no `min_condition_accuracy`
MINIMUM_SETTING = "min_condition_accuracy"
FEW = 200  # test pictures, with fewer of which figures are rough
CAUGHT = 0.8  # of the slightly changed training pictures, below which near copies are not reliably found
COPYING = 0.45  # probability of being the farther one, below which copying is not just significant but plain


@dataclass(frozen=True)
class Sampled:
    """A model at one truncation: `similarity` to the test pictures in each extractor's features."""

    model: str
    truncation: float
    count: int
    similarity: tuple[Similarity, ...]
    condition_accuracy: tuple[ConditionAccuracy, ...]
    diversity: tuple[Diversity, ...]
    memorisation: Memorisation
    note: str = ""  # what a reader has to know of a reference

    @property
    def collapsed(self) -> list[Diversity]:
        return [each for each in self.diversity if each.share < COLLAPSED]


@dataclass(frozen=True)
class Limit:
    """What real pictures reach: training pictures in the place of generated ones; for memorisation its controls."""

    similarity: tuple[Similarity, ...]
    memorisation: Memorisation  # of test pictures: negative control
    copies: Memorisation  # of slightly changed training pictures: positive control


@dataclass(frozen=True)
class Evaluation:
    """`samples` are of the model itself, the last at its default truncation; `references` of other models."""

    model: str
    digest: str  # of the graph
    data: Data
    judge: str  # the features that all but the further similarities are measured in
    samples: tuple[Sampled, ...]
    blends: tuple[Blend, ...]
    combinations: NewCombinations | None  # None: none was kept from training
    wishes: tuple[Wish, ...]
    limit: Limit
    references: tuple[Sampled, ...]
    minimum: float
    seeds: dict[str, int]
    effort: dict[str, int]
    versions: dict[str, str]
    corners: tuple[EmptyCorner, ...] = ()  # of a model with alpha
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    format: int = FORMAT

    @property
    def default(self) -> Sampled:
        return self.samples[-1]

    def to_json(self) -> str:
        return lines_of_json(asdict(self)) + "\n"


def low_condition_accuracy(evaluation: Evaluation) -> list[str]:
    """A sentence for each attribute whose accuracy is below the minimum, at any truncation."""
    told = {}
    for sampled in evaluation.samples:
        for each in sampled.condition_accuracy:
            if each.kappa_share is not None and each.kappa_share < evaluation.minimum:
                told[each.attribute] = (
                    f"{each.attribute}: condition accuracy is too low: at truncation {sampled.truncation:g} "
                    f"the classifier is right for {each.accuracy:.0%} of the generated pictures "
                    f"(of real ones: {each.real_accuracy:.0%}), which is {max(0.0, each.kappa_share):.2f} "
                    f"of what it reaches above chance; {MINIMUM_SETTING} is {evaluation.minimum:g}"
                )
    return list(told.values())


def warnings_of(evaluation: Evaluation) -> list[str]:
    """What its own figures call for."""
    default = evaluation.default
    out = []
    if evaluation.data.test < FEW:
        out.append(f"only {evaluation.data.test} test pictures: figures are rough, and few of them differ for a reason")
    out += low_condition_accuracy(evaluation)
    for each in default.condition_accuracy:
        if each.kappa_share is None:
            out.append(
                f"{each.attribute} cannot be measured: on real pictures the classifier is hardly better than chance"
            )
        lost = [
            f"{c.category} ({c.generated:.0%} against {c.real:.0%})"
            for c in each.categories
            if c.generated is not None and c.real is not None and c.generated < evaluation.minimum * c.real
        ]
        if lost:
            out.append(f"{each.attribute}: hardly recognised are {', '.join(lost)}")
    if default.collapsed:
        names = ", ".join(f"{each.name} ({each.share:.2f})" for each in default.collapsed)
        out.append(f"collapsed, less than {COLLAPSED:g} of the diversity of their data: {names}")
    return out + copying_warnings(evaluation)


def copying_warnings(evaluation: Evaluation) -> list[str]:
    out = []
    real, copies = evaluation.limit.memorisation, evaluation.limit.copies
    if copies.near_copies < CAUGHT:
        out.append(
            f"of slightly changed training pictures only {copies.near_copies:.0%} are found as near copies: the share "
            "of near copies says little here"
        )
    for sampled in evaluation.samples:
        found, where = sampled.memorisation, f"at truncation {sampled.truncation:g}"
        if found.z < COPYING_Z and found.farther < COPYING:
            out.append(
                f"{where} pictures are closer to training pictures than unseen real ones are "
                f"(farther in {found.farther:.0%} of cases; half is due): the model copies"
            )
        noise = math.sqrt(
            max(real.near_copies * (1 - real.near_copies), 1 / evaluation.data.test) / evaluation.data.test
        )
        if found.near_copies > real.near_copies + 3 * noise:
            out.append(
                f"{where} {found.near_copies:.1%} of the pictures are near copies of a training picture by their "
                f"perceptual hash; of test pictures {real.near_copies:.1%}"
            )
    return out
