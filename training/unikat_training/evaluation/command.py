"""`unikat evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unikat.terminal import Console
from unikat_training.data.dataset import Dataset
from unikat_training.errors import told
from unikat_training.evaluation.evaluate import evaluate as run_evaluation
from unikat_training.evaluation.report import show, write_report
from unikat_training.evaluation.settings import EvaluationSettings
from unikat_training.evaluation.subject import Subject
from unikat_training.flags import Given


def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Folder of a bundle, as models/emoji/1.", show_default=False)],
    dataset: Annotated[Path, typer.Option(help="The prepared data set that it was trained on.")],
    out: Annotated[
        Path | None, typer.Option(help="Folder for the report and the sheets.", show_default="evaluations/NAME-VERSION")
    ] = None,
    **given: Given,
) -> None:
    """Measure a bundle: similarity to real pictures, condition accuracy, diversity, copies, blends.

    It is the exported ONNX file that is measured, at truncation 1 and at the model's own default.
    """
    with told():
        settings, subject = EvaluationSettings.of(given), Subject.load(bundle)
        references = [Subject.load(path) for path in settings.reference]
        evaluation, sheets = run_evaluation(subject, Dataset.load(dataset), settings, references)
        folder = out or Path("evaluations") / subject.name.replace("@", "-")
        write_report(evaluation, sheets, folder)
        show(evaluation, Console())
    typer.echo(folder)
