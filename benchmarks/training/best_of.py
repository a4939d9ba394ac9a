"""Best of k: would drawing k images and keeping the one that a head likes best be worth its time?

Chosen by the discriminator and the auxiliary classifier of the run themselves, which is more than a small head that is
distilled from them could do: where this does not win, the head does not either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.training.pilots import SEED, Measure
from benchmarks.training.table import line
from unikat.sampling import latents
from unikat_training.checkpoint import checkpoints, load_checkpoint
from unikat_training.config import load_config
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.condition_accuracy import Predictions
from unikat_training.evaluation.extractors import JUDGE
from unikat_training.evaluation.material import BATCH
from unikat_training.evaluation.similarity import compare
from unikat_training.graph import exported_generator, run_torch
from unikat_training.trainer import Trainer

HOW_MANY = (1, 2, 4, 8)


Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Result:
    """Of one k; `accuracy` is the mean over attributes."""

    k: int
    kid: float
    kid_std: float  # over subsets
    recall: float
    coverage: float
    density: float
    accuracy: float
    milliseconds: float  # of CPU an image that is kept, drawing and choosing


def load_trainer(run: Path, dataset: Dataset) -> Trainer:
    config, _ = load_config(run)
    trainer = Trainer(config, dataset, torch.device("cpu"))
    trainer.restore(load_checkpoint(checkpoints(run)[-1], trainer.device)[1])
    return trainer


@torch.no_grad()
def liked(
    trainer: Trainer, pixels: npt.NDArray[np.uint8], condition: npt.NDArray[np.float32]
) -> npt.NDArray[np.float64]:
    """How real and how much as asked each image (B, H, H, 3) is to the discriminator's side, (B,)."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    asked = torch.from_numpy(condition)
    maps = trainer.discriminator.features(images)
    (logits,) = trainer.discriminator.trained(maps, [asked])
    score = torch.stack([scale.mean(dim=1) for scale in logits]).mean(dim=0)  # (B,)
    if trainer.auxiliary is not None:
        found = torch.cat([each.log_softmax(dim=1) for each in trainer.auxiliary(maps)], dim=1)
        score = score + (found * asked).sum(dim=1)
    return score.double().numpy()


def best_of(measure: Measure, trainer: Trainer, k: int, samples: int) -> Result:
    labels = np.resize(measure.validation.labels, (samples, measure.validation.labels.shape[1]))
    conditions = measure.subject.conditions(labels)
    exported = exported_generator(trainer.average, conditions[:1])
    spent = 0.0

    def chosen() -> Iterator[Pixels]:
        nonlocal spent
        for start in range(0, samples, BATCH):
            condition = conditions[start : start + BATCH]
            began = time.process_time()
            candidates, scores = [], []
            for turn in range(k):
                index = range(start + turn * samples, start + turn * samples + len(condition))
                latent = latents(SEED, index, trainer.config.latent)
                candidates.append(run_torch(exported, latent, condition, 1.0))
                scores.append(liked(trainer, candidates[-1], condition) if k > 1 else np.zeros(len(condition)))
            best = np.argmax(scores, axis=0)
            spent += time.process_time() - began
            yield np.stack(candidates)[best, np.arange(len(condition))]

    pictures = measure.pipeline.extract(chosen(), labels)
    found = compare(JUDGE, measure.validation.main, pictures.main, subsets=20)
    predictions = Predictions.of(measure.classifier, pictures)
    accuracy = float(np.mean([predictions.accuracy(i) for i in range(labels.shape[1])]))
    each = 1000 * spent / samples
    return Result(k, found.kid, found.kid_std, found.recall, found.coverage, found.density, accuracy, each)


def table(results: Sequence[Result]) -> list[str]:
    head = ["best of", "KID", "recall", "coverage", "density", "conditions recognised", "CPU an image (ms)"]
    lines = [line(head), line(["---", *["---:"] * (len(head) - 1)])]
    for each in results:
        lines.append(
            line(
                [
                    str(each.k),
                    f"{each.kid:.3f} ± {each.kid_std:.3f}",
                    f"{each.recall:.2f}",
                    f"{each.coverage:.2f}",
                    f"{each.density:.2f}",
                    f"{each.accuracy:.1%}",
                    f"{each.milliseconds:.1f}",
                ]
            )
        )
    return lines


def compared(run: Path, data: Path, samples: int, say: Callable[[str], object]) -> list[Result]:
    """All of `HOW_MANY`, on the validation split; the same latents lead each."""
    config, _ = load_config(run)
    dataset = Dataset.load(data, verify=False)
    measure = Measure.of(dataset, config.shares, steps=1_500)
    trainer = load_trainer(run, dataset.split(config.shares).trained)
    results = []
    for k in HOW_MANY:
        results.append(best_of(measure, trainer, k, samples))
        say(str(results[-1]))
    return results
