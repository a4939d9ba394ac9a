"""`unikat evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.evaluate import evaluate as run_evaluation
from unikat_training.evaluation.extractors import JUDGE, JUDGE_HELP
from unikat_training.evaluation.report import show, write_report
from unikat_training.evaluation.setup import Effort, EvaluationSettings
from unikat_training.evaluation.subject import Subject


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle, as models/emoji/1.", show_default=False)],
    dataset: Annotated[Path, typer.Option(help="The prepared data set that it was trained on.")],
    test: Annotated[
        Path | None, typer.Option(help="A data set of other pictures to measure on.", show_default="what was held out")
    ] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(help="Another bundle, to be measured beside it; may be repeated.")
    ] = None,
    features: Annotated[
        list[str] | None,
        typer.Option(
            help="FILE or NAME=FILE: measure the similarity in the features of this network too, ONNX or TorchScript "
            "(inception=FILE: that of StyleGAN's authors); may be repeated."
        ),
    ] = None,
    judge: Annotated[str, typer.Option(help=JUDGE_HELP)] = JUDGE,
    samples: Annotated[
        int, typer.Option(min=0, help="Pictures drawn a truncation (0: as many as trained on, 1,000 to 10,000).")
    ] = Effort.samples,
    steps: Annotated[int, typer.Option(min=1, help="Of each classifier's training.")] = Effort.steps,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report and the sheets.", show_default="evaluations/NAME-VERSION")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            envvar="UNIKAT_EVALUATION_CACHE",
            help="Folder where the classifier and the features of real pictures are kept.",
            show_default="~/.cache/unikat/evaluation",
        ),
    ] = None,
    progress: Annotated[bool, typer.Option(help="Show a progress bar.")] = True,
) -> None:
    """Measure a bundle: similarity to real pictures, condition accuracy, diversity, copies, blends.

    It is the exported ONNX file that is measured, at truncation 1 and at the model's own default.
    """
    subject = Subject.load(bundle)
    settings = EvaluationSettings(
        test,
        judge=judge,
        features=tuple(features or ()),
        cache=cache,
        effort=Effort(samples=samples, steps=steps),
        progress=progress,
    )
    references = [Subject.load(path) for path in reference or ()]
    evaluation, sheets = run_evaluation(subject, Dataset.load(dataset), settings, references)
    folder = out or Path("evaluations") / subject.name.replace("@", "-")
    write_report(evaluation, sheets, folder)
    show(evaluation, Console())
    typer.echo(folder)
