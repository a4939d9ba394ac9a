"""From a run to a bundle that workers serve: graph, parity check, samples, model card, manifest."""

import json
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from google.protobuf.timestamp_pb2 import Timestamp
from torch import Tensor

from unikat.bundle import CARD, GRAPH, ORIGINALITY, RGBA, SAMPLES, TRAINING, Bundle, write_bundle
from unikat.sampling import latents
from unikat.v1.model_pb2 import Combination, DataSource, Model, TrainingRun
from unikat_training.card import model_card
from unikat_training.changes import Change, load_changes
from unikat_training.checkpoint import Progress, choose_checkpoint, load_checkpoint
from unikat_training.config import Config, load_config
from unikat_training.data.dataset import Dataset, Division
from unikat_training.environment import ENVIRONMENT
from unikat_training.errors import TrainingError
from unikat_training.evaluation.release import NOT_EVALUATED, ReleaseEvaluation, evaluate_release
from unikat_training.evaluation.settings import EvaluationSettings
from unikat_training.evaluation.subject import Subject
from unikat_training.graph import CHECKS, check_graph, exported_generator, write_graph
from unikat_training.latent_tools.tools import latent_tools
from unikat_training.naming import name_and_version
from unikat_training.networks.base import Generator
from unikat_training.networks.build import build_generator
from unikat_training.originality import LEAST_HELD, measure_originality, measured_on
from unikat_training.parity import Parity
from unikat_training.pictures import COLUMNS, choose_rows
from unikat_training.progress import progress_bar
from unikat_training.sampler import cells
from unikat_training.session import open_graph, run_graph
from unikat_training.sheet import Block, Strip, draw_sheet, png
from unikat_training.state import under
from unikat_training.votes import read_judgement
from unikat_training.warm_start.origin import FROM, Origin, all_sources, joint_licence, origin_of
from unikat_training.warm_start.weights_file import packed
from unikat_training.weights import WEIGHTS, measure_rounding, round_weights

SAMPLE_SEED = 0
MOST_LABELS = 2**18  # in the combinations of a manifest, of which 16 MiB are read; portraits@2 has 77,000


@dataclass(frozen=True)
class Release:
    """What the one who publishes a model decides."""

    truncation: float = 1.0  # used where a request names none, and by the sample sheet
    checkpoint: str = "latest"  # or "best", by the cheap figure of training, or a step
    licence: str = "unspecified"  # of the weights, SPDX; the data's licences are listed with the sources
    weights: str = "fp32"  # as which they are stored; it is computed in fp32 with either
    originality: bool = True  # whether the bundle has an index of its training pictures
    training_weights: bool = True  # whether the bundle has what training needs to go on, too
    votes: Path | None = None  # report of what people said of earlier versions, for the card

    def __post_init__(self) -> None:
        if self.weights not in WEIGHTS:
            raise TrainingError(f"--weights: must be one of {', '.join(WEIGHTS)}, not {self.weights}")
        if not 0 <= self.truncation <= 2:
            raise TrainingError(f"--truncation: must be 0 to 2, not {self.truncation}")


@dataclass(frozen=True)
class Trained:
    """What a run has come to."""

    config: Config
    dataset: Dataset  # what it was trained on
    whole: Dataset  # with what was held out
    progress: Progress
    changes: list[Change]  # of settings, while it was trained
    environment: dict[str, Any]  # as `unikat_training.loop.record_environment` wrote it
    generator: Generator  # the averaged one
    tensors: dict[str, Tensor]  # of the checkpoint
    origin: Origin | None  # what the run began from


def export(
    run: Path,
    out: Path,
    dataset: Path | None = None,
    release: Release = Release(),
    progress: bool = False,
    evaluation: EvaluationSettings | None = None,
) -> Bundle:
    """Write a checkpoint of `run` as the bundle `out`, a folder `<models>/<name>/<version>`.

    `dataset` is where the run's data set lies now, if it was moved; `progress` shows a bar; without an `evaluation`
    the card says that nothing was measured. Raises TrainingError for what is not a run, a run without a checkpoint,
    another data set, a graph that does not draw what torch draws and a model whose condition accuracy is too low;
    BundleError or FileExistsError where `out` cannot be written.
    """
    name, version = name_and_version(out)
    judgement = read_judgement(release.votes, name) if release.votes else None
    trained = load_trained(run, dataset, release.checkpoint)
    conditions = trained_conditions(trained.dataset)
    exported = exported_generator(trained.generator, conditions)
    with tempfile.TemporaryDirectory() as folder, progress_bar(CHECKS, 0, "batch", progress) as bar:
        graph = Path(folder) / GRAPH
        bar.set_description("writing the graph")
        write_graph(exported, graph)
        stored = round_weights(exported, graph) if release.weights == "fp16" else exported
        bar.set_description("checking the graph")
        parity = check_graph(stored, graph, conditions, bar.update)
        model = describe(trained, release, parity)
        model.name, model.version = name, version
        if release.weights == "fp16":
            model.metrics.extend(measure_rounding(exported, graph, conditions).metrics())
        evaluated, subject = NOT_EVALUATED, Subject(graph, model)
        if evaluation:
            evaluated = evaluate_release(subject, trained.whole, evaluation, out.parent)
        if release.originality:
            division = trained.whole.split(trained.config.shares)
            division = measured_on(division, subject, evaluation.test if evaluation else None)
            evaluated = with_originality(evaluated, division)
        if judgement:
            evaluated = replace(evaluated, section=f"{evaluated.section}\n\n{judgement.section}")
        model.metrics.extend(evaluated.metrics)
        tools = latent_tools(stored, graph, model, choose_rows(trained.dataset), progress)
        files: dict[str, Path | bytes] = {
            GRAPH: graph,
            SAMPLES: samples(trained.dataset, graph, model),
            CARD: model_card(model, exported, graph.stat().st_size, evaluated, tools.section).encode(),
            **evaluated.files,
            **tools.files,
            **({TRAINING: packed(trained.tensors)} if release.training_weights else {}),
        }
        return write_bundle(out, model, files)


def with_originality(evaluated: ReleaseEvaluation, division: Division) -> ReleaseEvaluation:
    """With the index of the training pictures and its figures, where enough was held out to calibrate it."""
    found = measure_originality(division, division.trained.channels == RGBA)
    if found is None:
        section = f"## Originality\n\nNot measured: fewer than {LEAST_HELD} pictures were held out."
        return replace(evaluated, section=f"{evaluated.section}\n\n{section}")
    return replace(
        evaluated,
        section=f"{evaluated.section}\n\n{found.section}",
        metrics=[*evaluated.metrics, *found.metrics],
        files={**evaluated.files, ORIGINALITY: found.file},
    )


def load_trained(run: Path, dataset: Path | None = None, which: str = "latest") -> Trained:
    """A run's averaged generator, of any preset; `which` is "latest", "best" or a step. Raises as `export` does."""
    config, origin = load_config(run)
    checkpoint = choose_checkpoint(run, which)
    data = Dataset.load(dataset or Path(origin["path"]))
    if data.digest != origin["digest"]:
        raise TrainingError(
            f"--dataset: {data.path} is not what {run} was trained on ({origin['name']}, {origin['digest']})"
        )
    trained = data.split(config.shares).trained
    progress, tensors = load_checkpoint(checkpoint, torch.device("cpu"))
    generator = build_generator(config, data.resolution, data.one_hots().shape[1], data.channels)
    generator.load_state_dict(under("average.", tensors))
    environment = json.loads((run / ENVIRONMENT).read_text())
    changes = [change for change in load_changes(run) if change.images <= progress.images]
    generator.requires_grad_(False).eval()
    return Trained(config, trained, data, progress, changes, environment, generator, tensors, origin_of(run))


def trained_conditions(dataset: Dataset) -> npt.NDArray[np.float32]:
    """The condition vectors that occur in training, (cells, C); one of no width for a plain data set."""
    _, membership = cells(dataset.labels)
    return dataset.one_hots()[np.unique(membership, return_index=True)[1]]


def samples(dataset: Dataset, graph: Path, model: Model) -> bytes:
    """The sample sheet, drawn by the graph itself: what a user will get, not what was picked."""
    session, strips = open_graph(graph), []
    for index, row in enumerate(choose_rows(dataset)):
        latent = latents(SAMPLE_SEED, range(index * COLUMNS, (index + 1) * COLUMNS), model.latent_size)
        drawn = run_graph(session, latent, np.tile(row.condition, (COLUMNS, 1)), model.default_truncation)
        strips.append(Strip(row.name, drawn))
    return png(draw_sheet([Block("", strips)]))


def describe(trained: Trained, release: Release, parity: Parity) -> Model:
    """The manifest, but for name, version and files."""
    data, config = trained.dataset, trained.config
    created = Timestamp()
    created.GetCurrentTime()
    what = "conditional" if data.attributes else "plain"
    size = f"{data.resolution} x {data.resolution}"
    return Model(
        description=f"A {what} GAN of {size} images, trained on {data.name}: {len(data):,} pictures.",
        width=data.resolution,
        height=data.resolution,
        latent_size=config.latent,
        channels=data.channels,
        attributes=[attribute.message() for attribute in data.attributes],
        combinations=combinations(data),
        default_truncation=release.truncation,
        licence=joint_licence(release.licence, trained.origin),
        sources=[
            DataSource(name=s.name, origin=s.origin, licence=s.licence, credit=s.credit)
            for s in all_sources(data.sources, trained.origin)
        ],
        training=training_run(trained),
        metrics=parity.metrics("between torch and ONNX Runtime on CPU, with the same weights"),
        create_time=created,
    )


def combinations(dataset: Dataset) -> list[Combination]:
    """How often categories occur together; where that is too much for a manifest, of half of the pictures, a quarter, …

    Of forty attributes, nearly every picture has a combination of its own. What a request leaves open is drawn as well
    from fewer. Which pictures count is random, but the same whenever it is asked.
    """
    if not dataset.attributes:
        return []
    labels = dataset.labels
    found, membership = cells(labels)
    if found.size > MOST_LABELS:
        labels = labels[np.random.default_rng(0).permutation(len(labels))]
    while found.size > MOST_LABELS:
        labels = labels[: len(labels) // 2]
        found, membership = cells(labels)
    sizes = np.bincount(membership)
    return [Combination(categories=row.tolist(), count=int(size)) for row, size in zip(found, sizes, strict=True)]


def training_run(trained: Trained) -> TrainingRun:
    environment = trained.environment
    configuration: dict[str, Any] = dict(vars(trained.config))
    if trained.changes:
        configuration["changes"] = [asdict(change) for change in trained.changes]
    if trained.origin:
        configuration[FROM] = {name: getattr(trained.origin, name) for name in ("name", "digest", "licence")}
    precision = ", then ".join(environment.get("precisions", [])) or "precision not recorded"
    return TrainingRun(
        data_set=trained.dataset.name,
        data_digest=trained.dataset.digest,
        images=len(trained.dataset),
        images_seen=trained.progress.images,
        hours=trained.progress.seconds / 3600,
        hardware=f"{environment['hardware']} (generator trained in {precision})",
        config=json.dumps(configuration, sort_keys=True),
    )
