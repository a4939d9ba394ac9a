"""What all models are measured with: the parts of the data, features of real pictures, the classifier."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from unikat_training.data.dataset import Dataset, Shares
from unikat_training.data.split import places
from unikat_training.errors import TrainingError
from unikat_training.evaluation import classifier as classifiers
from unikat_training.evaluation.classifier import Classifier, train_classifier
from unikat_training.evaluation.condition_accuracy import Predictions
from unikat_training.evaluation.material import BATCH, FeaturePipeline, Pictures, keep, recalled
from unikat_training.evaluation.memorisation import CONTROLS, Memorisation, Neighbours, jittered, memorised
from unikat_training.evaluation.settings import Effort
from unikat_training.evaluation.similarity import NEIGHBOURS, Similarity, compare
from unikat_training.evaluation.subject import Subject

SHARE = 0.1  # of a data set of which nothing was held out, to have something to measure on all the same
LEAST_TEST = NEIGHBOURS + 1


class TooFewPictures(TrainingError):
    """There is nothing, or too little, to measure on."""


@dataclass(frozen=True)
class Data:
    """What was measured on."""

    name: str
    digest: str
    trained: int  # pictures of the training part
    test: int  # pictures of the test part
    taught: int  # pictures of combinations kept from training, which the classifier was trained on all the same
    test_name: str
    held_out: float  # of the run; 0: the test pictures were trained on, unless they are of another data set
    clean: bool  # whether the test pictures were kept from training, for all that is known


@dataclass(frozen=True)
class Parts:
    """The data: what was trained on, and what it is measured on."""

    trained: Dataset
    test: Dataset
    taught: Dataset | None  # of combinations that the model was not trained on: for the classifier
    unseen: Dataset | None  # of those, too: to measure on
    shares: Shares  # of the data set, with what is measured on; of that 0 with another test set
    data: Data
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class EvaluationSetup:
    """What all models are measured with."""

    pipeline: FeaturePipeline
    effort: Effort
    count: int  # of generated pictures
    train: Pictures
    test: Pictures
    neighbours: Neighbours  # of the test pictures
    copies: Memorisation  # of slightly changed training pictures: what has to be caught
    classifier: Classifier | None  # None for a plain model
    real: Predictions | None

    def similarity(self, pictures: Pictures) -> tuple[Similarity, ...]:
        return tuple(
            compare(name, self.test.features[name], features, self.effort.subsets)
            for name, features in pictures.features.items()
        )

    def memorisation(self, found: Neighbours, pictures: Pictures) -> Memorisation:
        """Of pictures whose neighbours are `found`."""
        return memorised(found, pictures.hashes, self.neighbours, self.train)


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
    taught, unseen = halves(division.unseen if same_data else None, shares.together)
    if not same_data:
        warnings.append(
            f"{data.name} is not the file that {subject.name} was trained on: it may know the test pictures"
        )
    elif not clean:
        warnings.append(
            f"{subject.name} WAS TRAINED ON THE TEST PICTURES (nothing was held out of its training): figures flatter "
            "it, and copies of test pictures count as originals"
        )
    measured_on = Data(
        name=data.name,
        digest=data.digest,
        trained=len(trained),
        test=len(found),
        taught=len(taught) if taught else 0,
        test_name=found.name,
        held_out=held_out,
        clean=clean,
    )
    return Parts(trained, found, taught, unseen, shares, measured_on, tuple(warnings))


def halves(unseen: Dataset | None, together: bool) -> tuple[Dataset | None, Dataset | None]:
    """By names, as all parts. The generator has to do without these combinations, the classifier must not: where it
    has never seen one, it takes it for another that it knows, and its mistakes would count as the generator's.
    """
    if unseen is None:
        return None, None
    first = places(unseen.items, together) < 0.5
    if first.all() or not first.any():
        return None, None
    return unseen.part(first), unseen.part(~first)


def prepare(subject: Subject, parts: Parts, pipeline: FeaturePipeline, effort: Effort) -> EvaluationSetup:
    """Extracts the features of the real pictures and trains the classifier, or reads both from disk."""
    train, test = (extracted(part, subject, pipeline) for part in (parts.trained, parts.test))
    neighbours = Neighbours.of(test.main, train.main)
    classifier = taught_classifier(subject, parts, train, pipeline, effort) if subject.sizes else None
    return EvaluationSetup(
        pipeline=pipeline,
        effort=effort,
        count=effort.samples_for(len(train)),
        train=train,
        test=test,
        neighbours=neighbours,
        copies=copied(parts.trained, pipeline, train, neighbours),
        classifier=classifier,
        real=Predictions.of(classifier, test) if classifier else None,
    )


def extracted(part: Dataset, subject: Subject, pipeline: FeaturePipeline) -> Pictures:
    """With the labels of the model's attributes."""
    pictures = pipeline.extract_dataset(part)
    return replace(pictures, labels=pictures.labels[:, subject.columns(part)])


def copied(trained: Dataset, pipeline: FeaturePipeline, train: Pictures, test: Neighbours) -> Memorisation:
    """The figures of copying of training pictures that were slightly changed, up to `CONTROLS` of them."""
    rows = np.unique(np.linspace(0, len(trained) - 1, min(CONTROLS, len(trained))).astype(np.int64))
    starts = range(0, len(rows), BATCH)
    batches = (jittered(trained.pixels(rows[start : start + BATCH]), start) for start in starts)
    found = pipeline.extract(batches, np.zeros((len(rows), 0), dtype=np.int64))
    return memorised(Neighbours.of(found.main, train.main), found.hashes, test, train)


def taught_classifier(
    subject: Subject, parts: Parts, train: Pictures, pipeline: FeaturePipeline, effort: Effort
) -> Classifier:
    """Trained on the training pictures, and on half of the pictures of combinations that were kept from training."""
    if parts.taught is None:
        return kept_classifier(train, parts.trained, subject, pipeline, effort)
    rows = np.concatenate([parts.trained.rows, parts.taught.rows])
    train = train.joined(extracted(parts.taught, subject, pipeline))
    return kept_classifier(train, replace(parts.trained, rows=rows), subject, pipeline, effort)


def kept_classifier(
    train: Pictures, part: Dataset, subject: Subject, pipeline: FeaturePipeline, effort: Effort
) -> Classifier:
    """The classifier, from disk if it was trained on the same pictures (the rows of `part`) and labels before."""
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
