"""The same measure for everyone: `unikat_training.evaluation` on the exported file."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from benchmarks.training.race import Raced
from benchmarks.training.results import Result
from unikat.v1.model_pb2 import Model
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.classifier import VERSION
from unikat_training.evaluation.condition_accuracy import Predictions
from unikat_training.evaluation.evaluate import REFERENCE_SEED
from unikat_training.evaluation.extractors import Lite1Features
from unikat_training.evaluation.material import FeaturePipeline, Pictures
from unikat_training.evaluation.settings import Effort
from unikat_training.evaluation.setup import kept_classifier
from unikat_training.evaluation.similarity import compare
from unikat_training.evaluation.subject import Subject
from unikat_training.fetching import cache_folder

SUBSETS = 50  # of KID


@dataclass(frozen=True)
class Evaluator:
    """Real pictures as evaluation sees them. What takes long is kept in the evaluation's own cache."""

    data: Dataset  # what was trained on
    pipeline: FeaturePipeline
    train: Pictures
    test: Pictures
    effort: Effort

    @classmethod
    def of(cls, data: Dataset, test: Dataset, effort: Effort) -> Evaluator:
        pipeline = FeaturePipeline([Lite1Features(data.resolution)], cache_folder("evaluation"))
        return cls(data, pipeline, pipeline.extract_dataset(data), pipeline.extract_dataset(test), effort)

    def measure(self, subject: Subject, raced: Raced, blank: Result) -> Result:
        """`blank` with what a model reaches at truncation 1."""
        subject.columns(self.data)
        pictures = subject.draw_labels(subject.labels(self.effort.samples), 1.0, self.pipeline)
        measured = replace(blank, images=raced.images, images_per_second=round(raced.images_per_second, 2))
        return self.compared(measured, pictures, self.accuracy(subject, pictures))

    def limit(self, blank: Result) -> Result:
        """`blank` with what training pictures reach in the place of drawn ones; the classifier on the test pictures."""
        subject = Subject(self.data.path, Model(attributes=[each.message() for each in self.data.attributes]))
        order = np.random.default_rng(REFERENCE_SEED).permutation(len(self.train))[: self.effort.samples]
        return self.compared(blank, self.train.some(np.sort(order)), self.accuracy(subject, self.test))

    def accuracy(self, subject: Subject, pictures: Pictures) -> dict[str, float]:
        """Share of the pictures that the classifier takes for what they are labelled as, by attribute."""
        if not subject.sizes:
            return {}
        classifier = kept_classifier(self.train, self.data, subject, self.pipeline, self.effort)
        predictions = Predictions.of(classifier, pictures)
        return {each.name: round(predictions.accuracy(i), 4) for i, each in enumerate(subject.model.attributes)}

    def compared(self, blank: Result, pictures: Pictures, accuracy: dict[str, float]) -> Result:
        name = self.pipeline.extractors[0].name
        found = compare(name, self.test.main, pictures.main, SUBSETS)
        return replace(
            blank,
            frechet=round(found.frechet, 2),
            recall=round(found.recall, 4),
            kid=round(found.kid, 4),
            density=round(found.density, 4),
            coverage=round(found.coverage, 4),
            accuracy=accuracy,
        )

    def blank(self, contender: str, minutes: float) -> Result:
        """Who is measured on what, and nothing measured."""
        return Result(
            contender=contender,
            digest=self.data.digest,
            minutes=minutes,
            samples=self.effort.samples,
            steps=self.effort.steps,
            classifier=VERSION,
            features=self.pipeline.extractors[0].name,
            trained=len(self.train),
            test=len(self.test),
            images=0,
            images_per_second=0.0,
            frechet=0.0,
            recall=0.0,
            accuracy={},
        )
