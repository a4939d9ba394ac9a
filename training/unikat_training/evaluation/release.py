"""What an export asks of evaluation: may this model be published, and what does its card say of it?"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path

from unikat.bundle import BundleError
from unikat.v1.model_pb2 import Metric
from unikat_training.data.dataset import Dataset
from unikat_training.errors import TrainingError
from unikat_training.evaluation.evaluate import evaluate
from unikat_training.evaluation.report import JSON, body, metrics
from unikat_training.evaluation.results import low_condition_accuracy
from unikat_training.evaluation.settings import EvaluationSettings
from unikat_training.evaluation.setup import TooFewPictures
from unikat_training.evaluation.subject import Subject

log = logging.getLogger(__name__)

SHEETS = {
    "neighbours.png": "Generated pictures (left) that are nearest to a training picture (right), with their distances",
    "blends.png": "From one category to another, one latent a row",
    "wishes.png": "Wishes that the data cannot contain, one a row: categories that never occur together in it",
}


@dataclass(frozen=True)
class ReleaseEvaluation:
    """What a bundle gets of it. Without `measured` the section says why nothing was measured."""

    section: str  # Markdown
    measured: bool = False
    metrics: list[Metric] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


NOT_EVALUATED = ReleaseEvaluation(
    "## Evaluation\n\n**Nothing was measured of this version**: it was exported with `--no-evaluate`. How near its "
    "pictures are to real ones, whether they show their conditions, and whether they copy training pictures is unknown."
)


def previous_version(subject: Subject, versions: Path) -> Subject | None:
    """The newest earlier version in the folder `models/NAME`, if it draws the same under the same conditions."""
    earlier = [int(path.name) for path in versions.glob("*") if path.name.isdecimal()]
    earlier = [version for version in earlier if version < subject.model.version]
    if not earlier:
        return None
    path = versions / str(max(earlier))
    try:
        previous = Subject.load(path)
    except BundleError as error:
        log.warning("%s is not measured beside the new version: %s", path, error)
        return None
    if drawn(previous) != drawn(subject):
        log.warning("%s is not measured beside the new version: it has other attributes or another size", path)
        return None
    return previous


def drawn(subject: Subject) -> tuple[object, ...]:
    """What two models have to have in common to be measured side by side."""
    model = subject.model
    attributes = [(each.name, [category.name for category in each.categories]) for each in model.attributes]
    return (model.width, model.height, attributes)


def references(subject: Subject, settings: EvaluationSettings, versions: Path) -> list[Subject]:
    """The bundles that were named, and the version before, from the folder `models/NAME`."""
    named = [Subject.load(path) for path in settings.reference]
    previous = previous_version(subject, versions) if settings.previous else None
    if previous is None or previous.name in {each.name for each in named}:
        return named
    return [*named, previous]


def evaluate_release(
    subject: Subject, data: Dataset, settings: EvaluationSettings, versions: Path
) -> ReleaseEvaluation:
    """`data` is the whole data set, `versions` the folder of the model's versions.

    Raises TrainingError for a low condition accuracy, unless it is forced, and for references of another kind.
    """
    try:
        evaluation, sheets = evaluate(subject, data, settings, references(subject, settings, versions))
    except TooFewPictures as error:
        return ReleaseEvaluation(f"## Evaluation\n\n**Nothing was measured of this version**: {error}.")
    told = low_condition_accuracy(evaluation)
    if told and not settings.force:
        raise TrainingError(
            f"{'; '.join(told)}. Train it longer, or export it all the same with --force: its card will say so"
        )
    forced = [f"**Published with `--force`, although its condition accuracy is too low:** {'; '.join(told)}."] * bool(
        told
    )
    files = {name: sheets.files[name] for name in SHEETS if name in sheets.files}
    pictures = [f"{SHEETS[name]}:\n\n![{name.removesuffix('.png')}]({name})" for name in files]
    section = "\n\n".join(["## Evaluation", *forced, *body(evaluation), *pictures])
    return ReleaseEvaluation(section, True, metrics(evaluation), {**files, JSON: evaluation.to_json().encode()})
