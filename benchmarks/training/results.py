"""What was measured, a line of JSON each; a line that is there is not measured again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

REAL = "real pictures"  # training pictures in the place of drawn ones: the limit


Conditions = tuple[str, str, float, int, int, int]


@dataclass(frozen=True)
class Result:
    """Of one contender on one data set."""

    contender: str
    digest: str  # of the data set's pictures
    minutes: float  # of CPU time
    samples: int  # drawn pictures that were measured
    steps: int  # of the classifier's training
    classifier: int  # its version
    features: str  # that distances were measured in
    trained: int  # pictures that could be learnt from
    test: int  # pictures that were measured on
    images: int  # training images shown
    images_per_second: float  # of CPU time
    frechet: float
    recall: float
    accuracy: dict[str, float]  # of the classifier by attribute; empty of a model without conditions
    kid: float | None = None  # None, as what follows: measured by an earlier version
    density: float | None = None
    coverage: float | None = None

    @property
    def conditions(self) -> Conditions:
        """Under which it was measured: what has the same is not measured again."""
        minutes = 0.0 if self.contender == REAL else self.minutes
        return self.contender, self.digest, minutes, self.samples, self.steps, self.classifier


def read(path: Path) -> list[Result]:
    """The lines of a file, none if there is no file."""
    if not path.exists():
        return []
    return [Result(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]


def keep(path: Path, result: Result) -> None:
    """Adds a line, in the place of an earlier one of the same contender."""
    results = [each for each in read(path) if each.contender != result.contender]
    write(path, [*results, result])


def write(path: Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(".tmp")
    scratch.write_text("".join(json.dumps(asdict(each)) + "\n" for each in results), encoding="utf-8")
    scratch.replace(path)


def find(results: Sequence[Result], wanted: Conditions) -> Result | None:
    """The one measured under these conditions."""
    return next((each for each in results if each.conditions == wanted), None)
