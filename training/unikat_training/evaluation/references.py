"""The models that stand beside the one that is measured: which may, and what has to be said of them."""

from __future__ import annotations

import logging
from pathlib import Path

from unikat.bundle import BundleError
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.errors import TrainingError
from unikat_training.evaluation.subject import Subject

SAW_TEST = "trained on these test pictures too"
MAY_KNOW_TEST = "of other training data: it may know the test pictures"

log = logging.getLogger(__name__)


def check_comparable(reference: Subject, subject: Subject, data: Dataset) -> None:
    """Raises TrainingError for a model that does not draw the same under the same conditions."""
    if reference.columns(data) != subject.columns(data):
        theirs, ours = ([attribute.name for attribute in each.model.attributes] for each in (reference, subject))
        raise TrainingError(f"--reference: {reference.name} has the attributes {theirs}, but {subject.name} has {ours}")


def note_of(reference: Subject, data: Dataset, shares: Shares, other_test: bool) -> str:
    """What a reader has to know of a reference: its preset, and whether it knows the pictures that are measured on.

    `shares.test` of `data` is measured on, unless that is `other_test`, pictures of another data set.
    Which pictures are held out follows from their names: of a larger share they are the same ones, and more.
    """
    preset = reference.config.get("preset")
    told = [f"preset {preset}"] if preset else []
    if not other_test:
        if reference.model.training.data_digest != data.digest:
            told.append(MAY_KNOW_TEST)
        elif (theirs := Shares.of(reference.config)).test < shares.test or theirs.together != shares.together:
            told.append(SAW_TEST)
    return "; ".join(told)


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
