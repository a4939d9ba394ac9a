"""From a folder of pictures to a bundle, in one go: what `prepare`, `train` and `export` do one after the other."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from unikat.bundle import Bundle
from unikat.terminal import Console
from unikat_training.config import CONFIG, Config, load_config
from unikat_training.data.build import Output, build
from unikat_training.data.dataset import Dataset
from unikat_training.data.folder.options import FolderOptions
from unikat_training.data.folder.prepare import FolderPlan, read_folder
from unikat_training.evaluation.extractors import JUDGE, load_judge
from unikat_training.evaluation.settings import EvaluationSettings
from unikat_training.export import Release, export
from unikat_training.loop import train
from unikat_training.naming import name_and_version
from unikat_training.operation import Operation
from unikat_training.presets import DEFAULT
from unikat_training.warm_start.parent import Parent
from unikat_training.warm_start.settings import begun_config, finetune_config

DATA = "data"  # the prepared pictures, within the run
# Of minutes on a CPU one wants to see more than of days.
SESSION = Operation(minutes=30.0, sheet_images=2_000, log_images=200)
JOBS = 2  # processes that decode pictures

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What is made of what."""

    folder: Path  # of pictures
    out: Path  # the bundle
    run: Path | None = None
    size: int = 64  # pixels a side
    preset: str = DEFAULT
    parent: Parent | None = None  # what training begins from, with the preset `finetune`
    licence: str = Release.licence
    evaluate: bool = True  # measure the model, for its card
    reading: FolderOptions = field(default_factory=FolderOptions)  # how the folder is read
    judge: str = JUDGE  # in whose features

    @property
    def run_folder(self) -> Path:
        name, version = name_and_version(self.out)
        return self.run or Path("runs") / f"{name}-{version}"

    def config(self, resolution: int) -> Config:
        """The settings of a run that begins."""
        if self.parent is not None:
            return finetune_config(self.parent, resolution, {"preset": self.preset})
        return begun_config(self.preset, resolution)


def fit(plan: Plan, operation: Operation) -> Bundle:
    """Prepares the pictures if the run has none yet, trains or goes on training, measures and exports.

    Raises DatasetError for pictures that cannot be used, and what training and export raise.
    """
    run = plan.run_folder
    plan.config(plan.size).check_resolution(plan.size)  # before the pictures are prepared
    dataset = prepared(plan, run / DATA)
    if plan.evaluate:
        load_judge(plan.judge, plan.size)  # before the training: its weights may have to be fetched
    begun = (run / CONFIG).exists()
    config = load_config(run)[0] if begun else plan.config(dataset.resolution)
    progress = train(dataset, run, config, operation, plan.parent)
    log.info("trained on %d images in %.1f minutes; see %s", progress.images, progress.seconds / 60, run)
    # Forced: whoever tries this out wants to see a model whose condition accuracy is still low; its card tells it.
    evaluation = None
    if plan.evaluate:
        evaluation = EvaluationSettings(force=True, judge=plan.judge, progress=operation.progress)
    release = Release(licence=plan.licence)
    return export(run, plan.out, None, release, operation.progress, evaluation)


def prepared(plan: Plan, path: Path) -> Dataset:
    """The data set of a run, prepared unless it is there, with a report on standard error.

    Raises DatasetError for pictures that cannot be used, and where more of them would be left out than is accepted.
    """
    if path.exists():
        log.info("%s: the pictures are those that were prepared before; for other ones choose another --run", path)
        return Dataset.load(path)
    name, _ = name_and_version(plan.out)
    output = Output(path, max_left_out=plan.reading.max_left_out)
    recipe, pictures, _ = read_folder(FolderPlan(plan.folder, name, plan.size, plan.reading, plan.licence), JOBS)
    build(recipe, pictures, output, Console(stderr=True))
    return Dataset.load(path)
