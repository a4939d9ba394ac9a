"""What the trainings came to: figures beside those of real pictures, a table, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from benchmarks.training.few.course import NOTHING, PARENT, Course
from benchmarks.training.few.data import CATEGORIES, COUNTS, Few
from benchmarks.training.pilots import drawings
from benchmarks.training.table import line
from unikat.v1.model_pb2 import Attribute, Category, Model
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.classifier import Classifier, train_classifier
from unikat_training.evaluation.condition_accuracy import Predictions
from unikat_training.evaluation.extractors import JUDGE, Pixels, load_judge
from unikat_training.evaluation.hashing import near_copies
from unikat_training.evaluation.material import BATCH, FeaturePipeline, Pictures
from unikat_training.evaluation.memorisation import jittered
from unikat_training.evaluation.similarity import compare
from unikat_training.evaluation.subject import Subject
from unikat_training.export import load_trained
from unikat_training.fetching import cache_folder
from unikat_training.sheet import Block, Strip, draw_sheet, png
from unikat_training.warm_start.origin import origin_of

SAMPLES: Final = max(COUNTS)  # drawn: as many as the real pictures beside which they are measured
SUBSETS: Final = 50  # of KID
STEPS: Final = 1_500  # of the classifier's training
COLUMNS: Final = 12
REAL: Final = "real pictures"
BEGUN: Final = {NOTHING: "from nothing", PARENT: "from portraits"}


@dataclass(frozen=True)
class Result:
    """Of one training, or of real pictures in the place of drawn ones."""

    way: str
    count: int  # of pictures to learn from
    images: int  # shown
    frechet: float
    kid: float
    kid_std: float
    coverage: float
    accuracy: float
    copies: float  # share of near copies of what was learnt from
    copies_of_real: float  # the same of test pictures, which nobody has seen
    copies_of_jittered: float  # the same of slightly changed pictures of those: what has to be caught
    begun: str = ""  # from what


def unmeasured(way: str, count: int = 0, images: int = 0) -> Result:
    figures = dict.fromkeys((field.name for field in fields(Result) if field.type == "float"), 0.0)
    return Result(way, count, images, **figures)  # type: ignore[arg-type]  # `begun` is no float


@dataclass(frozen=True)
class Judge:
    """Real pictures, and the classifier of the category: the same for all."""

    few: Few
    pipeline: FeaturePipeline
    test: Pictures
    classifier: Classifier
    subject: Subject  # it only says which categories there are

    @classmethod
    def of(cls, few: Few) -> Judge:
        pipeline = FeaturePipeline([load_judge(JUDGE, few.test.resolution)], cache_folder("evaluation"))
        model = Model(attributes=[Attribute(name="category", categories=[Category(name=name) for name in CATEGORIES])])
        subject = Subject(few.test.path, model)
        judged, test = pipeline.extract_dataset(few.judged), pipeline.extract_dataset(few.test)
        return cls(few, pipeline, test, train_classifier(judged, subject.sizes, STEPS), subject)

    def limit(self) -> Result:
        """Of all real pictures to learn from in the place of drawn ones; of the classifier on the test pictures."""
        real = self.pipeline.extract_dataset(self.few.trained[max(COUNTS)])
        return replace(self.result(unmeasured(REAL), real, max(COUNTS)), accuracy=self.accuracy(self.test))

    def drawn(self, course: Course) -> Result:
        pictures = self.pipeline.extract(self.batches(course), np.resize(self.test.labels, (SAMPLES, 1)))
        found = self.result(unmeasured(course.way, course.count, course.images), pictures, course.count)
        origin = origin_of(course.run)
        return replace(found, accuracy=self.accuracy(pictures), begun=origin.name if origin else "")

    def batches(self, course: Course, count: int = SAMPLES) -> Iterator[Pixels]:
        """Drawings of a run's averaged generator on white, with the conditions of the test pictures in their order."""
        conditions = self.subject.conditions(np.resize(self.test.labels, (count, 1)))
        return drawings(load_trained(course.run).generator, conditions)

    def accuracy(self, pictures: Pictures) -> float:
        return round(Predictions.of(self.classifier, pictures).accuracy(0), 4)

    def result(self, blank: Result, pictures: Pictures, count: int) -> Result:
        """`blank` with what does not depend on labels; near copies are of the first `count` pictures."""
        data = self.few.trained[count]
        learnt = self.pipeline.extract_dataset(data)
        changed = self.pipeline.extract(self.jittered(data), learnt.labels)
        found = compare(JUDGE, self.test.main, pictures.main, SUBSETS)
        return replace(
            blank,
            frechet=round(found.frechet, 2),
            kid=round(found.kid, 5),
            kid_std=round(found.kid_std, 5),
            coverage=round(found.coverage, 4),
            copies=0.0 if blank.way == REAL else round(near_copies(pictures.hashes, learnt.hashes), 4),
            copies_of_real=round(near_copies(self.test.hashes, learnt.hashes), 4),
            copies_of_jittered=round(near_copies(changed.hashes, learnt.hashes), 4),
        )

    @staticmethod
    def jittered(data: Dataset) -> Iterator[Pixels]:
        for start in range(0, len(data), BATCH):
            yield jittered(data.pixels(np.arange(start, min(start + BATCH, len(data)))), start)

    def sheet(self, courses: Sequence[Course]) -> bytes:
        """Test pictures, and under them what each training draws of their categories, with the same latents (PNG)."""
        strips = [Strip("test pictures", self.few.test.pixels(np.arange(COLUMNS)))]
        for course in courses:
            drawn = np.concatenate(list(self.batches(course, COLUMNS)))
            strips.append(Strip(f"{course.count} pictures\n{BEGUN[course.way]}", drawn))
        return png(draw_sheet([Block("", strips)]))


def table(results: Sequence[Result]) -> list[str]:
    head = ["pictures", "begun", "images shown", "Fréchet", "KID", "coverage", "category", "near copies"]
    head += ["of test pictures", "of jittered ones"]
    lines = [line(head), line(["---:", "---", *["---:"] * (len(head) - 2)])]
    for each in results:
        count, images = (str(each.count), f"{each.images:,}") if each.count else (str(max(COUNTS)), "–")
        figures = [f"{each.frechet:.0f}", f"{each.kid:.3f} ± {each.kid_std:.3f}", f"{each.coverage:.2f}"]
        shares = [each.accuracy, each.copies, each.copies_of_real, each.copies_of_jittered]
        told = [f"{100 * share:.0f}%" for share in shares]
        if each.way == REAL:
            told[1] = "–"
        begun = f"from {each.begun}" if each.begun else "`projected`, from nothing"
        lines.append(line([count, REAL if each.way == REAL else begun, images, *figures, *told]))
    return lines
