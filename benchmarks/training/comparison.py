"""Everyone on every data set: train, measure, keep; what was done before is not done again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import ROOT, write
from benchmarks.training import results
from benchmarks.training.contenders import CONTENDERS, Course
from benchmarks.training.evaluator import Evaluator
from benchmarks.training.race import bundle_of, race
from benchmarks.training.results import REAL, Result
from benchmarks.training.table import heading, picture, table
from unikat_training.evaluation.settings import Effort
from unikat_training.evaluation.subject import Subject

GUIDE = ROOT / "docs" / "training.md"
IMAGES = ROOT / "docs" / "images"


@dataclass(frozen=True)
class Plan:
    """How long, how thoroughly, by whom, and where it is kept."""

    minutes: float
    effort: Effort
    names: Sequence[str]
    work: Path  # runs and bundles
    kept: Path  # results

    def folder(self, course: Course, name: str) -> Path:
        return self.work / f"{self.minutes:g}-minutes" / course.name / name

    def results(self, course: Course) -> Path:
        return self.kept / f"{course.name}.jsonl"


def compare(course: Course, plan: Plan, say: Callable[[str], object] = print) -> list[Result]:
    """The results of a data set, real pictures first."""
    data, test = course.load()
    evaluator = Evaluator.of(data, test, plan.effort)
    for name in (REAL, *plan.names):
        blank = evaluator.blank(name, plan.minutes)
        if results.find(results.read(plan.results(course)), blank.conditions):
            say(f"{course.name}, {name}: measured before")
            continue
        if name == REAL:
            found = evaluator.limit(blank)
        else:
            say(f"{course.name}, {name}: training")
            raced = race(name, course.data, plan.minutes, plan.folder(course, name))
            say(f"{course.name}, {name}: {raced.images:,} images in {raced.cpu_seconds:.0f} s of CPU time; measuring")
            found = evaluator.measure(subject(plan, course, name), raced, blank)
        results.keep(plan.results(course), found)
        say(f"{course.name}, {name}: Fréchet distance {found.frechet}, {found.accuracy}")
    wanted = [evaluator.blank(name, plan.minutes).conditions for name in (REAL, *plan.names)]
    return [each for each in results.read(plan.results(course)) if each.conditions in wanted]


def subject(plan: Plan, course: Course, name: str) -> Subject:
    return Subject.load(bundle_of(plan.folder(course, name), name))


def lines_of(course: Course, plan: Plan, found: Sequence[Result]) -> list[str]:
    image = f"![{course.name}: test pictures, and drawings of each](images/training-{course.name}.png)"
    return [heading(course.name, found, plan.minutes), "", *table(found, list(CONTENDERS)), "", image, ""]


def sheet(course: Course, plan: Plan) -> bytes:
    _, test = course.load()
    return picture(test, {name: subject(plan, course, name) for name in plan.names})


def publish(lines: Sequence[str], sheets: dict[str, bytes]) -> None:
    """Into docs/training.md, and beside it the sheets by the names of the data sets."""
    IMAGES.mkdir(exist_ok=True)
    for name, content in sheets.items():
        (IMAGES / f"training-{name}.png").write_bytes(content)
    write("compared", lines, GUIDE)
