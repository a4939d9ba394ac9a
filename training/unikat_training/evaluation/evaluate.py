"""An evaluation from beginning to end: the model, its references, and what is drawn for a person to look at."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version

import numpy as np
import torch

from unikat.bundle import digest_of
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.errors import TrainingError
from unikat_training.evaluation.blends import WEIGHTS, choose_pairs, measure_blends
from unikat_training.evaluation.classifier import TRAINING_SEED, train_classifier
from unikat_training.evaluation.combinations import measure_new
from unikat_training.evaluation.condition_accuracy import ConditionAccuracy, Predictions, measure_condition_accuracy
from unikat_training.evaluation.corners import measure_corners
from unikat_training.evaluation.diversity import measure_diversity
from unikat_training.evaluation.extractors import load_extractor, load_judge
from unikat_training.evaluation.material import FeaturePipeline
from unikat_training.evaluation.memorisation import CONTROLS, JITTER_SEED, Neighbours
from unikat_training.evaluation.results import MINIMUM, MINIMUM_SETTING, Evaluation, Limit, Sampled, warnings_of
from unikat_training.evaluation.settings import Effort, EvaluationSettings
from unikat_training.evaluation.setup import EvaluationSetup, Parts, prepare, split
from unikat_training.evaluation.sheets import Sheets, draw_sheets
from unikat_training.evaluation.similarity import KERNEL_SEED
from unikat_training.evaluation.subject import SEED, Subject
from unikat_training.evaluation.wishes import IMAGES, WISHES, measure_wishes
from unikat_training.fetching import cache_folder
from unikat_training.progress import progress_bar

REFERENCE_SEED = 13  # which training pictures stand in for generated ones
SEEDS = {
    "drawing": SEED,
    "classifier": TRAINING_SEED,
    "kid": KERNEL_SEED,
    "reference": REFERENCE_SEED,
    "jitter": JITTER_SEED,
}
SAW_TEST = "trained on these test pictures too"
MAY_KNOW_TEST = "of other training data: it may know the test pictures"
PACKAGES = ("torch", "onnxruntime", "numpy", "unikat")


@dataclass(frozen=True)
class Drawn:
    """A sample and where it lies among the training pictures: for the sheets."""

    sampled: Sampled
    neighbours: Neighbours
    predictions: Predictions | None  # of the classifier


def measure(setup: EvaluationSetup, subject: Subject, truncation: float) -> Drawn:
    """All figures of one model at one truncation."""
    pictures = subject.draw_labels(subject.labels(setup.count), truncation, setup.pipeline)
    attributes = list(subject.model.attributes)
    neighbours = Neighbours.of(pictures.main, setup.train.main)
    predictions = Predictions.of(setup.classifier, pictures) if setup.classifier else None
    condition_accuracy: tuple[ConditionAccuracy, ...] = ()
    if predictions and setup.real:
        learner = train_classifier(pictures, subject.sizes, setup.effort.steps)
        condition_accuracy = measure_condition_accuracy(
            attributes, predictions, setup.real, Predictions.of(learner, setup.test)
        )
    return Drawn(
        Sampled(
            model=subject.name,
            truncation=truncation,
            count=setup.count,
            similarity=setup.similarity(pictures),
            condition_accuracy=condition_accuracy,
            diversity=measure_diversity(attributes, pictures, setup.train),
            memorisation=setup.memorisation(neighbours, pictures),
        ),
        neighbours,
        predictions,
    )


def measure_limit(setup: EvaluationSetup) -> Limit:
    """Training pictures, as many as are generated where there are so many, against the test pictures; both controls."""
    order = np.random.default_rng(REFERENCE_SEED).permutation(len(setup.train))[: setup.count]
    real = setup.memorisation(setup.neighbours, setup.test)
    return Limit(setup.similarity(setup.train.some(np.sort(order))), real, setup.copies)


def evaluate(
    subject: Subject, data: Dataset, settings: EvaluationSettings, references: Sequence[Subject] = ()
) -> tuple[Evaluation, Sheets]:
    """Measures a model, and beside it `references`.

    The same figures from the same files on the same machine. Raises TrainingError for what cannot be compared.
    """
    began, effort = time.monotonic(), settings.effort
    columns = subject.columns(data)
    check_comparable(references, subject, data)
    parts = split(subject, data, Dataset.load(settings.test) if settings.test else None)
    notes = [note_of(each, data, parts.shares, settings.test is not None) for each in references]
    extractors = (load_judge(settings.judge, data.resolution), *map(load_extractor, settings.features))
    with progress_bar(pictures_to_see((subject, *references), parts, effort), 0, "img", settings.progress) as bar:
        pipeline = FeaturePipeline(extractors, settings.cache or cache_folder("evaluation"), bar.update)
        bar.set_description("real pictures")
        setup = prepare(subject, parts, pipeline, effort)
        bar.set_description(subject.name)
        own = [measure(setup, subject, truncation) for truncation in subject.truncations]
        found = Evaluation(
            model=subject.name,
            digest=digest_of(subject.graph),
            data=parts.data,
            judge=extractors[0].name,
            samples=tuple(each.sampled for each in own),
            blends=measure_blends(subject, setup, choose_pairs(subject, effort.pairs)),
            combinations=measure_new(subject, setup, parts.unseen, own[-1].predictions),
            wishes=measure_wishes(subject, setup, data.labels[:, columns]),
            limit=measure_limit(setup),
            corners=measure_corners(subject, parts.test),
            references=tuple(
                replace(measure(setup, each, truncation).sampled, note=note)
                for each, note in zip(references, notes, strict=True)
                for truncation in each.truncations
            ),
            minimum=float(subject.config.get(MINIMUM_SETTING, MINIMUM)),
            seeds=SEEDS,
            effort=asdict(effort) | {"samples": setup.count, "threads": torch.get_num_threads()},
            versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        )
    warnings, seconds = (*parts.warnings, *warnings_of(found)), round(time.monotonic() - began, 1)
    evaluation = replace(found, warnings=warnings, seconds=seconds)
    return evaluation, draw_sheets(evaluation, subject, parts.trained, own[-1].neighbours, setup.neighbours)


def pictures_to_see(subjects: Sequence[Subject], parts: Parts, effort: Effort) -> int:
    """Drawn and real ones, at most, for the progress bar: those of a data set once a part."""
    subject, samples = subjects[0], effort.samples_for(len(parts.trained))
    drawn = sum(len(each.truncations) for each in subjects) * samples
    blended = len(choose_pairs(subject, effort.pairs)) * effort.blend_images * len(WEIGHTS)
    wished = WISHES * IMAGES if subject.sizes else 0
    new = samples if parts.unseen else 0
    changed = min(CONTROLS, len(parts.trained))
    return drawn + blended + wished + new + changed + len(parts.trained.images) + len(parts.test.images)


def check_comparable(references: Sequence[Subject], subject: Subject, data: Dataset) -> None:
    """Raises TrainingError for a reference that does not draw the same under the same conditions."""
    for other in references:
        if other.columns(data) != subject.columns(data):
            theirs, ours = ([attribute.name for attribute in each.model.attributes] for each in (other, subject))
            raise TrainingError(f"--reference: {other.name} has the attributes {theirs}, but {subject.name} has {ours}")


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
