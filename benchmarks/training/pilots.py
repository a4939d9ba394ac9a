"""Settings of `projected` on and off, for the same CPU time, measured on the validation split."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
import typer

from benchmarks.figures import ROOT, write
from benchmarks.training.budget import stopping_after
from benchmarks.training.race import ONE_THREAD
from benchmarks.training.table import line
from unikat.sampling import latents
from unikat.v1.model_pb2 import Attribute, Category, Model
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.evaluation.classifier import Classifier, train_classifier
from unikat_training.evaluation.condition_accuracy import Predictions
from unikat_training.evaluation.extractors import JUDGE, load_judge
from unikat_training.evaluation.material import BATCH, FeaturePipeline, Pictures
from unikat_training.evaluation.similarity import compare
from unikat_training.evaluation.subject import Subject
from unikat_training.export import load_trained
from unikat_training.fetching import cache_folder
from unikat_training.graph import exported_generator, run_torch
from unikat_training.loop import train
from unikat_training.networks.base import Generator
from unikat_training.operation import Operation
from unikat_training.presets import load_preset

GUIDE = ROOT / "docs" / "training.md"
SEED = 7  # of what is drawn and of which training pictures the classifier learns
LEARNT = 10_000  # training pictures that the classifier learns
COMMON = {
    "width": 24,
    "auxiliary_from": 2_000,
    "auxiliary_to": 6_000,
    "unseen": 0.1,
    "unseen_over": "style,hair_color,glasses",
}
PILOTS: dict[str, dict[str, Any]] = {
    "all of them": {},
    "`--auxiliary 0`": {"auxiliary": 0.0},
    "`--auxiliary 1`": {"auxiliary": 1.0},
    "`--no-fine-tap --no-wide-mixing`": {"fine_tap": False, "wide_mixing": False},
    "`--no-clamp`": {"clamp": False},
}
REAL = "real pictures"
TOLD = "done.json"


@dataclass(frozen=True)
class Result:
    """Of one pilot; `accuracy` is the classifier's, by attribute."""

    pilot: str
    minutes: float
    images: int
    frechet: float
    kid: float
    coverage: float
    accuracy: dict[str, float]


def config_of(name: str, resolution: int) -> Config:
    # Any: a Config checks what it is made of
    changes: dict[str, Any] = COMMON | PILOTS[name]
    return replace(load_preset("projected", resolution), **changes)


def folder_of(work: Path, name: str, minutes: float) -> Path:
    return work / f"{minutes:g}-minutes" / str(list(PILOTS).index(name))


def run(name: str, data: Path, folder: Path, minutes: Annotated[float, typer.Option(help="Of CPU time.")]) -> None:
    """Train one pilot in this process, with one thread, and write down how many images it was shown."""
    dataset = Dataset.load(data, verify=False)
    operation = Operation(images=10**9, device="cpu", threads=1, bf16=True, progress=False)
    with stopping_after(minutes * 60):
        progress = train(dataset, folder / "run", config_of(name, dataset.resolution), operation)
    (folder / TOLD).write_text(json.dumps({"images": progress.images}))


def train_all(data: Path, work: Path, minutes: float, jobs: int) -> dict[str, int]:
    """Images that each pilot was shown; those that were trained before are not trained again."""

    def train_one(name: str) -> int:
        folder = folder_of(work, name, minutes)
        if not (folder / TOLD).exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            command = [sys.executable, "-m", "benchmarks.training.pilots", name, str(data), str(folder)]
            with (folder / "log.txt").open("w") as log:
                ended = subprocess.run(
                    [*command, "--minutes", f"{minutes:g}"],
                    cwd=ROOT,
                    env={**os.environ, **ONE_THREAD},
                    stdout=log,
                    stderr=log,
                )
            if ended.returncode:
                raise SystemExit(f"{name}: ended with {ended.returncode}; see {folder / 'log.txt'}")
        images: int = json.loads((folder / TOLD).read_text())["images"]
        return images

    with ThreadPoolExecutor(jobs) as pool:
        return dict(zip(PILOTS, pool.map(train_one, PILOTS), strict=True))


@dataclass(frozen=True)
class Measure:
    """Real pictures and a classifier; the same for all pilots."""

    pipeline: FeaturePipeline
    validation: Pictures
    learnt: Pictures
    subject: Subject  # of the data set's attributes: it only says which there are
    classifier: Classifier

    @classmethod
    def of(cls, dataset: Dataset, shares: Shares, steps: int) -> Measure:
        parts = dataset.split(shares)
        if parts.validation is None:
            raise SystemExit(f"{dataset.path}: has too few pictures for a validation split")
        pipeline = FeaturePipeline([load_judge(JUDGE, dataset.resolution)], cache_folder("evaluation"))
        rows = np.random.default_rng(SEED).permutation(len(parts.trained))[:LEARNT]
        learnt = pipeline.extract(batches(parts.trained, rows), parts.trained.labels[rows])
        everywhere = np.arange(len(parts.validation))
        validation = pipeline.extract(batches(parts.validation, everywhere), parts.validation.labels)
        attributes = [
            Attribute(name=each.name, categories=[Category(name=name) for name in each.categories])
            for each in dataset.attributes
        ]
        subject = Subject(dataset.path, Model(attributes=attributes))
        return cls(pipeline, validation, learnt, subject, train_classifier(learnt, subject.sizes, steps))

    def result(self, blank: Result, pictures: Pictures, classified: Pictures) -> Result:
        found = compare(JUDGE, self.validation.main, pictures.main, subsets=20)
        predictions = Predictions.of(self.classifier, classified)
        names = [each.name for each in self.subject.model.attributes]
        return replace(
            blank,
            frechet=round(found.frechet, 2),
            kid=round(found.kid, 4),
            coverage=round(found.coverage, 4),
            accuracy={name: round(predictions.accuracy(i), 4) for i, name in enumerate(names)},
        )

    def limit(self, samples: int) -> Result:
        """Of training pictures in the place of drawn ones; of the classifier on the validation split."""
        some = self.learnt.some(np.arange(min(samples, len(self.learnt))))
        return self.result(Result(REAL, 0, 0, 0, 0, 0, {}), some, self.validation)

    def drawn(self, run: Path, samples: int) -> Pictures:
        """Pictures of a run's averaged generator, under the conditions of the validation split."""
        trained = load_trained(run)
        labels = np.resize(self.validation.labels, (samples, self.validation.labels.shape[1]))
        conditions = self.subject.conditions(labels)
        return self.pipeline.extract(drawings(trained.generator, conditions), labels)


def drawings(generator: Generator, conditions: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.uint8]]:
    """Images at truncation 1, on white, with these conditions (N, C), by batches (B, H, H, 3)."""
    exported = exported_generator(generator, conditions[:1])  # centres of which truncation 1 takes nothing
    latent = latents(SEED, range(len(conditions)), generator.shape.latent)
    for start in range(0, len(conditions), BATCH):
        chunk = slice(start, start + BATCH)
        yield run_torch(exported, latent[chunk], conditions[chunk], 1.0)


def batches(dataset: Dataset, rows: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
    for start in range(0, len(rows), BATCH):
        yield dataset.pixels(rows[start : start + BATCH])


def table(results: Sequence[Result]) -> list[str]:
    attributes = list(results[0].accuracy)
    head = ["", "images shown", "Fréchet", "KID", "coverage", *attributes]
    lines = [line(head), line(["---", *["---:"] * (len(head) - 1)])]
    for each in results:
        figures = [f"{each.frechet:.0f}", f"{each.kid:.3f}", f"{each.coverage:.2f}"]
        shares = [f"{each.accuracy[name]:.2f}" for name in attributes]
        lines.append(line([each.pilot, f"{each.images:,}" if each.images else "–", *figures, *shares]))
    return lines


def pilots(data: Path, work: Path, minutes: float, samples: int, say: Callable[[str], object]) -> list[Result]:
    """Measures what `train_all` trained; real pictures first."""
    dataset = Dataset.load(data, verify=False)
    measure = Measure.of(dataset, config_of("all of them", dataset.resolution).shares, steps=1_500)
    found = [measure.limit(samples)]
    say(str(found[0]))
    for name in PILOTS:
        folder = folder_of(work, name, minutes)
        images = json.loads((folder / TOLD).read_text())["images"]
        drawn = measure.drawn(folder / "run", samples)
        found.append(measure.result(Result(name, minutes, images, 0, 0, 0, {}), drawn, drawn))
        say(str(found[-1]))
    return found


def keep(path: Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(asdict(each)) + "\n" for each in results), encoding="utf-8")


def read(path: Path) -> list[Result]:
    rows: list[Mapping[str, Any]] = [json.loads(row) for row in path.read_text(encoding="utf-8").splitlines()]
    return [Result(**row) for row in rows]


def publish(results: Sequence[Result]) -> None:
    write("pilots", table(results), GUIDE)


if __name__ == "__main__":
    torch.set_num_threads(1)
    typer.run(run)
