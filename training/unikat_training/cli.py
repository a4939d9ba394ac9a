"""`unikat train` and its like: prepare a data set, train on it, export a bundle."""

import inspect
from pathlib import Path
from typing import Annotated, get_type_hints

import typer

from unikat.bundle import MANIFEST
from unikat.cli import options
from unikat_training.config import CONFIG, Config, load_config
from unikat_training.data.commands import FOLDER_FLAGS
from unikat_training.data.commands import app as prepare
from unikat_training.data.dataset import Dataset
from unikat_training.data.folder.options import FolderOptions
from unikat_training.errors import TrainingError, told
from unikat_training.evaluation.command import evaluate as run_evaluation
from unikat_training.evaluation.extractors import JUDGE, JUDGE_HELP
from unikat_training.evaluation.settings import EvaluationSettings, evaluation_flags
from unikat_training.export import Release
from unikat_training.export import export as export_bundle
from unikat_training.fit import SESSION, Plan
from unikat_training.fit import fit as fit_folder
from unikat_training.flags import Given, changed, flags_of, with_flags
from unikat_training.inversion.command import invert as run_invert
from unikat_training.loop import train as run_training
from unikat_training.operation import Operation
from unikat_training.originality import add_originality
from unikat_training.parallel import is_main_process
from unikat_training.presets import DEFAULT, preset_description, preset_names, preset_text
from unikat_training.renamed import SETTINGS, current_settings
from unikat_training.votes import Votes
from unikat_training.warm_start.parent import find_parent
from unikat_training.warm_start.settings import PRESET as FINETUNE
from unikat_training.warm_start.settings import begun_config, finetune_config

From = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="MODEL|BUNDLE|RUN",
        help="Begin with what this has learnt: a model below --models (portraits@1), a bundle's or a run's folder.",
    ),
]
HIDDEN = typer.Option(hidden=True)

app = typer.Typer(
    help="Train a conditional GAN on your pictures and export it for serving.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(prepare, name="prepare")


def settings(kind: type[Config] | type[Operation], usual: Operation | None = None) -> list[inspect.Parameter]:
    """A flag for each field of a settings class: a setting is declared there, once."""
    known = kind is Operation
    return flags_of(
        kind, lambda name, default: str(getattr(usual, name, default)) if known or name == "preset" else "the preset's"
    )


def train(
    dataset: Annotated[Path, typer.Argument(help="Folder of a prepared data set.", show_default=False)],
    run: Annotated[Path, typer.Option(help="Folder of the run; continued from its latest checkpoint if it is there.")],
    parent: From = None,
    models: options.Models = options.DEFAULT_MODELS,
    **given: Given,
) -> None:
    """Train, or go on training. Stop with Ctrl-C or SIGTERM: a checkpoint is written first.

    What decides the weights is fixed when a run begins, by a preset and by flags, which win; when going on it may be
    left out. `torchrun --nproc-per-node N -m unikat_training train …` shares the work out among N processes.
    """
    with told():
        given = current_settings({name: value for name, value in given.items() if value is not None})
        data = Dataset.load(dataset)
        found = find_parent(parent, models) if parent else None
        if (run / CONFIG).exists():
            begun, _ = load_config(run)
        elif found:
            begun = finetune_config(found, data.resolution, given)
        else:
            begun = begun_config(str(given.get("preset") or DEFAULT), data.resolution)
        progress = run_training(data, run, changed(begun, given), changed(Operation(), given), found)
    if is_main_process():
        typer.echo(f"{run}: {progress.images:,} images in {progress.seconds / 3600:.2f} hours")


def earlier_flags() -> list[inspect.Parameter]:
    """The earlier names of settings go on being flags, which `--help` does not show."""
    hints = get_type_hints(Config)
    return [
        inspect.Parameter(
            old, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[hints[new] | None, HIDDEN]
        )
        for old, new in SETTINGS.items()
    ]


app.command()(with_flags(train, settings(Config) + earlier_flags() + settings(Operation)))


def fit(
    folder: Annotated[Path, typer.Argument(help="Your pictures, as `prepare folder` takes them.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The bundle to write: MODELS/NAME/VERSION, as in models/my-art/1.")],
    minutes: Annotated[
        float, typer.Option(min=0.01, help="Time to train (minutes; more is better).")
    ] = SESSION.minutes,
    size: Annotated[
        int | None, typer.Option(help="Height and width of the images (pixels).", show_default="64, or --from's")
    ] = None,
    parent: From = None,
    models: options.Models = options.DEFAULT_MODELS,
    run: Annotated[
        Path | None,
        typer.Option(help="Folder of the run; continued if it is there.", show_default="runs/NAME-VERSION"),
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="See `presets`.", show_default=f"{DEFAULT}, or with --from {FINETUNE}")
    ] = None,
    licence: Annotated[str, typer.Option(help="SPDX licence of pictures and weights.")] = Release.licence,
    evaluate: Annotated[bool, typer.Option(help="Measure the model for its card, after the training.")] = True,
    judge: Annotated[str, typer.Option(help=JUDGE_HELP)] = JUDGE,
    **given: Given,
) -> None:
    """From a folder of pictures to a model that serves: prepare, train, measure, export.

    How the pictures were read is printed before the training, with the path of a sheet of them. With the --run of an
    earlier model, and another --out, that one is trained further.
    """
    with told():
        operation = changed(SESSION, {**given, "minutes": minutes})
        reading = changed(FolderOptions(), given)
        found = find_parent(parent, models) if parent else None
        side = size or (found.resolution if found else Plan.size)
        chosen = preset or (FINETUNE if found else DEFAULT)
        plan = Plan(folder, out, run, side, chosen, found, licence, evaluate, reading, judge)
        bundle = fit_folder(plan, operation)
    typer.echo(bundle.path)


SPELLED = {"minutes"}  # flags that `fit` has in its own words
OF_FIT = [flag for flag in settings(Operation, SESSION) if flag.name not in SPELLED]
app.command()(with_flags(fit, FOLDER_FLAGS + OF_FIT))


@app.command()
def presets(
    name: Annotated[str | None, typer.Argument(help="Print this one, with why each value is what it is.")] = None,
) -> None:
    """List the presets, or print one."""
    with told():
        if name is not None:
            typer.echo(preset_text(name), nl=False)
            return
        for each in preset_names():
            typer.echo(f"{each:<12}{preset_description(each)}")


app.command("evaluate")(with_flags(run_evaluation, evaluation_flags(left_out=("previous", "force"))))
app.command("invert")(told()(run_invert))


def export(
    run: Annotated[Path, typer.Argument(help="Folder of a run, or a bundle's to add an index to.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The bundle to write: MODELS/NAME/VERSION, as in models/emoji/1.")],
    dataset: Annotated[
        Path | None, typer.Option(help="The run's data set, if it is not where it was.", show_default="as recorded")
    ] = None,
    truncation: Annotated[
        float, typer.Option(help="Truncation where a request names none: 1 is full variety, less is more typical.")
    ] = Release.truncation,
    licence: Annotated[str, typer.Option(help="SPDX licence of the weights.")] = Release.licence,
    checkpoint: Annotated[str, typer.Option(help="latest, best (by random_frechet), or a step.")] = Release.checkpoint,
    weights: Annotated[
        str, typer.Option(help="fp32, or fp16: stored rounded, in about half the space; computed in fp32 with either.")
    ] = Release.weights,
    training_weights: Annotated[
        bool, typer.Option(help="Write what `--from` needs into the bundle, too; serving does not need it.")
    ] = Release.training_weights,
    originality: Annotated[
        bool, typer.Option(help="Write an index of the training pictures, by which near copies are found.")
    ] = Release.originality,
    evaluate: Annotated[
        bool, typer.Option(help="Measure the model first; without it the card says that nothing was measured.")
    ] = True,
    votes: Votes = None,
    **given: Given,
) -> None:
    """Write a checkpoint as a model bundle: one ONNX file, checked against torch, with samples and a card.

    A model whose pictures do not show what their conditions say is refused, unless it is forced. Of a bundle, a later
    version is written: the same graph, with an index of the pictures of --dataset that it was trained on.
    """
    with told():
        if (run / MANIFEST).is_file():
            if votes:
                raise TrainingError("--votes: is for the export of a run; what a bundle's card says stays as it is")
            typer.echo(add_originality(run, dataset, out, EvaluationSettings.of(given).test).path)
            return
        release = Release(truncation, checkpoint, licence, weights, originality, training_weights, votes)
        evaluation = EvaluationSettings.of(given)
        bundle = export_bundle(run, out, dataset, release, evaluation.progress, evaluation if evaluate else None)
    typer.echo(bundle.path)


app.command()(with_flags(export, evaluation_flags()))
