"""An evaluation from beginning to end: the model, its references, and what is drawn for a person to look at."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from unikat.bundle import digest_of
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.blends import WEIGHTS, choose_pairs, measure_blends
from unikat_training.evaluation.classifier import TRAINING_SEED, train_classifier
from unikat_training.evaluation.combinations import measure_new
from unikat_training.evaluation.condition_accuracy import ConditionAccuracy, Predictions, measure_condition_accuracy
from unikat_training.evaluation.diversity import measure_diversity
from unikat_training.evaluation.extractors import JUDGE, FeatureExtractor, load_judge
from unikat_training.evaluation.jitter import CONTROLS
from unikat_training.evaluation.jitter import SEED as JITTER_SEED
from unikat_training.evaluation.material import FeaturePipeline
from unikat_training.evaluation.memorisation import Neighbours, memorised
from unikat_training.evaluation.references import check_comparable, note_of
from unikat_training.evaluation.results import MINIMUM, MINIMUM_SETTING, Data, Evaluation, Limit, Sampled
from unikat_training.evaluation.setup import Effort, EvaluationSetup, Parts, prepare, split
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
PACKAGES = ("torch", "onnxruntime", "numpy", "unikat")


@dataclass(frozen=True)
class Drawn:
    """A sample and where it lies among the training pictures: for the sheets."""

    sampled: Sampled
    neighbours: Neighbours
    predictions: Predictions | None  # of the classifier


def measure(setup: EvaluationSetup, subject: Subject, truncation: float) -> Drawn:
    """All figures of one model at one truncation."""
    pictures = subject.sample(setup.count, truncation, setup.pipeline)
    attributes = list(subject.model.attributes)
    neighbours = Neighbours.of(pictures.main, setup.training)
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
            memorisation=memorised(neighbours, pictures.hashes, setup.neighbours, setup.training),
        ),
        neighbours,
        predictions,
    )


def measure_limit(setup: EvaluationSetup) -> Limit:
    """Training pictures, as many as are generated where there are so many, against the test pictures; both controls."""
    order = np.random.default_rng(REFERENCE_SEED).permutation(len(setup.train))[: setup.count]
    real = memorised(setup.neighbours, setup.test.hashes, setup.neighbours, setup.training)
    return Limit(setup.similarity(setup.train.some(np.sort(order))), real, setup.copies)


@dataclass(frozen=True)
class Request:
    """What to evaluate, on what, beside what."""

    subject: Subject
    data: Dataset
    test: Dataset | None = None
    references: Sequence[Subject] = ()
    main: FeatureExtractor | None = None  # in whose features everything is measured; default: `JUDGE`
    extractors: Sequence[FeatureExtractor] = ()  # in which similarity is measured too
    cache: Path | None = None  # default: the user's cache folder
    effort: Effort = field(default_factory=Effort)
    progress: bool = False


def evaluate(request: Request) -> tuple[Evaluation, Sheets]:
    """The same figures from the same files on the same machine. Raises TrainingError for what cannot be compared."""
    began = time.monotonic()
    subject, data = request.subject, request.data
    columns = subject.columns(data)
    for each in request.references:
        check_comparable(each, subject, data)
    parts = split(subject, data, request.test)
    extractors = (request.main or load_judge(JUDGE, data.resolution), *request.extractors)
    with progress_bar(pictures_to_see(request, parts), 0, "img", request.progress) as bar:
        pipeline = FeaturePipeline(extractors, request.cache or cache_folder("evaluation"), bar.update)
        bar.set_description("real pictures")
        setup = prepare(subject, parts, pipeline, request.effort)
        bar.set_description(subject.name)
        own = [measure(setup, subject, truncation) for truncation in subject.truncations]
        found = Evaluation(
            model=subject.name,
            digest=digest_of(subject.graph),
            data=describe(parts),
            judge=extractors[0].name,
            samples=tuple(each.sampled for each in own),
            blends=measure_blends(subject, setup, choose_pairs(subject, request.effort.pairs)),
            combinations=measure_new(subject, setup, parts.unseen, own[-1].predictions),
            wishes=measure_wishes(subject, setup, data.labels[:, columns]),
            limit=measure_limit(setup),
            references=measure_references(request, setup, parts),
            minimum=float(subject.config.get(MINIMUM_SETTING, MINIMUM)),
            seeds=SEEDS,
            effort=asdict(request.effort) | {"samples": setup.count, "threads": torch.get_num_threads()},
            versions={name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
            warnings=parts.warnings,
        )
    evaluation = found.warned(round(time.monotonic() - began, 1))
    return evaluation, draw_sheets(evaluation, subject, parts.trained, own[-1].neighbours, setup.neighbours)


def measure_references(request: Request, setup: EvaluationSetup, parts: Parts) -> tuple[Sampled, ...]:
    """Each at its truncations, with what a reader has to know of it."""
    out = []
    for each in request.references:
        note = note_of(each, request.data, parts.shares, other_test=request.test is not None)
        out += [replace(measure(setup, each, psi).sampled, note=note) for psi in each.truncations]
    return tuple(out)


def pictures_to_see(request: Request, parts: Parts) -> int:
    """Drawn and real ones, at most, for the progress bar: those of a data set once a part."""
    samples = request.effort.samples_for(len(parts.trained))
    drawn = sum(len(each.truncations) for each in (request.subject, *request.references)) * samples
    pairs = len(choose_pairs(request.subject, request.effort.pairs))
    blended = pairs * request.effort.blend_images * len(WEIGHTS)
    wished = WISHES * IMAGES if request.subject.sizes else 0
    new = samples if parts.unseen else 0
    changed = min(CONTROLS, len(parts.trained))
    return drawn + blended + wished + new + changed + len(parts.trained.images) + len(parts.test.images)


def describe(parts: Parts) -> Data:
    return Data(
        name=parts.trained.name,
        digest=parts.trained.digest,
        trained=len(parts.trained),
        test=len(parts.test),
        taught=len(parts.taught) if parts.taught else 0,
        test_name=parts.test.name,
        held_out=parts.held_out,
        clean=parts.clean,
    )
