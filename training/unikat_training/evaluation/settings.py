"""How a model is measured. Settings are flags of `unikat evaluate` and `unikat export`, declared here once."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from typer import Option

from unikat_training.errors import TrainingError
from unikat_training.evaluation.extractors import JUDGE, JUDGE_HELP
from unikat_training.evaluation.similarity import NEIGHBOURS
from unikat_training.flags import Given, changed, flags_of


@dataclass(frozen=True)
class Effort:
    """How much is drawn and computed. More makes figures steadier; the defaults take minutes on two cores."""

    samples: Annotated[
        int, Option(min=0, help="Pictures drawn a truncation (0: as many as trained on, 1,000 to 10,000).")
    ] = 0
    subsets: int = 50  # of KID
    # a minute on two cores
    steps: Annotated[int, Option(min=1, help="Of the training of each classifier that measures.")] = 2000
    pairs: int = 15  # of categories that are blended, an attribute
    blend_images: int = 8  # a pair and weight

    def __post_init__(self) -> None:
        if self.samples and self.samples <= NEIGHBOURS:
            raise TrainingError(f"--samples: must be more than {NEIGHBOURS}, not {self.samples}")

    def samples_for(self, trained: int) -> int:
        return self.samples or min(max(trained, 1_000), 10_000)


@dataclass(frozen=True)
class EvaluationSettings:
    """How a model is measured, by itself or before it is published. Each field but `effort` is also a flag."""

    test: Annotated[
        Path | None, Option(help="A data set of other pictures to measure on.", show_default="what was held out")
    ] = None
    reference: Annotated[
        tuple[Path, ...], Option(help="Another bundle, to be measured beside it; may be repeated.")
    ] = ()
    features: Annotated[
        tuple[str, ...],
        Option(
            help="FILE or NAME=FILE: measure the similarity in the features of this network too, ONNX or TorchScript "
            "(inception=FILE: that of StyleGAN's authors); may be repeated."
        ),
    ] = ()
    judge: Annotated[str, Option(help=JUDGE_HELP)] = JUDGE
    cache: Annotated[
        Path | None,
        Option(
            envvar="UNIKAT_EVALUATION_CACHE",
            help="Folder where the classifier and the features of real pictures are kept.",
            show_default="~/.cache/unikat/evaluation",
        ),
    ] = None
    progress: Annotated[bool, Option(help="Show a progress bar.")] = True
    previous: Annotated[bool, Option(help="Measure the version before beside it, if MODELS/NAME has one.")] = True
    force: Annotated[
        bool, Option("--force", help="Export a model whose condition accuracy is too low; its card says so.")
    ] = False
    effort: Effort = field(default_factory=Effort)

    @classmethod
    def of(cls, given: Mapping[str, Given]) -> EvaluationSettings:
        """Those that were given as flags."""
        return changed(cls(effort=changed(Effort(), given)), given)


def evaluation_flags(left_out: Sequence[str] = ()) -> list[inspect.Parameter]:
    """Of the fields of `Effort` and `EvaluationSettings`."""
    flags = [
        flag
        for kind in (Effort, EvaluationSettings)
        for flag in flags_of(kind, lambda _, default: str(default) if default not in (None, ()) else False)
    ]
    return [flag for flag in flags if flag.name not in left_out]
