"""A classifier of every attribute, trained on pictures and their labels: it measures the accuracy of the conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unikat_training.evaluation.material import Pictures
from unikat_training.evaluation.neighbours import Floats

VERSION = 2  # of the network and its training: kept classifiers of another are not used
BATCH = 64
WIDTHS = (16, 32, 64, 128)  # of the maps at full size, and at a half, a quarter and an eighth of it
HIDDEN = 512  # what is made of the frozen features
SHIFT = 2  # pixels, at most: all the augmentation there is
RATE = 2e-3
DECAY = 5e-2
SMOOTHING = 0.05
TRAINING_SEED = 12


class Classifier(nn.Module):
    """Thumbs (B, 3, T, T) in [-1, 1] and frozen features (B, D) -> logits of all attributes, (B, C).

    The features are those of all levels of a network that knows photographs: late ones tell what a picture shows,
    early ones its textures and outlines. The convolutions see what they miss, as the shade of a skin. `mean` and
    `deviation` (D,) are the scale of the features, `sizes` the numbers of categories of the attributes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, mean: Tensor, deviation: Tensor, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.register_buffer("mean", mean)
        self.register_buffer("deviation", deviation)
        layers: list[nn.Module] = [convolution(3, WIDTHS[0], 1)]
        for before, width in pairwise(WIDTHS):
            layers.append(convolution(before, width, 2))
        layers += [convolution(WIDTHS[-1], WIDTHS[-1], 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.pixels = nn.Sequential(*layers)  # (B, 128)
        self.features = nn.Sequential(nn.Dropout(0.2), nn.Linear(len(mean), HIDDEN), nn.GELU())
        self.decide = nn.Sequential(nn.Dropout(0.3), nn.Linear(WIDTHS[-1] + HIDDEN, sum(sizes)))

    def forward(self, images: Tensor, features: Tensor) -> Tensor:
        scaled = (features.float() - self.mean) / self.deviation
        logits: Tensor = self.decide(torch.cat([self.pixels(images), self.features(scaled)], dim=1))
        return logits

    @torch.no_grad()
    def probabilities(self, pictures: Pictures) -> list[Floats]:
        """One (N, categories) an attribute."""
        self.eval()
        logits = torch.cat(
            [
                self(images_of(pictures, rows), torch.from_numpy(pictures.levels[rows]))
                for rows in np.array_split(np.arange(len(pictures)), max(1, len(pictures) // 256))
            ]
        )
        return [found.softmax(dim=1).numpy() for found in logits.split_with_sizes(self.sizes, dim=1)]

    def predictions(self, pictures: Pictures) -> npt.NDArray[np.int64]:
        """The likeliest category of each attribute, (N, A)."""
        return np.stack([found.argmax(axis=1) for found in self.probabilities(pictures)], axis=1)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        return {name: tensor.numpy() for name, tensor in self.state_dict().items()}

    @classmethod
    def restore(cls, arrays: Mapping[str, npt.NDArray[Any]], sizes: Sequence[int]) -> Classifier:
        """Of `state`. Raises KeyError or RuntimeError when it is of another network."""
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        classifier = cls(tensors["mean"], tensors["deviation"], sizes)
        classifier.load_state_dict(tensors)
        return classifier


def convolution(before: int, width: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())


def images_of(pictures: Pictures, rows: npt.NDArray[np.int64]) -> Tensor:
    pixels = torch.from_numpy(pictures.thumbs[rows])  # (B, T, T, 3), which is channels last
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


def train_classifier(pictures: Pictures, sizes: Sequence[int], steps: int) -> Classifier:
    """The same from the same pictures. Global random numbers are left as they were."""
    levels = torch.from_numpy(pictures.levels).float()
    mean, deviation = levels.mean(dim=0), levels.std(dim=0, correction=0) + 1e-3
    labels = torch.from_numpy(pictures.labels)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(TRAINING_SEED)
        classifier = Classifier(mean, deviation, sizes)
        classifier.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stubs lack this form
        optimiser = torch.optim.AdamW(classifier.parameters(), lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: warm_cosine(step, steps))
        for rows in epochs(len(pictures), steps):
            logits = classifier(shifted(images_of(pictures, rows)), torch.from_numpy(pictures.levels[rows]))
            losses = [
                F.cross_entropy(found, labels[rows, i], label_smoothing=SMOOTHING)
                for i, found in enumerate(logits.split_with_sizes(classifier.sizes, dim=1))
            ]
            optimiser.zero_grad(set_to_none=True)
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
            optimiser.step()
            schedule.step()
    return classifier


def epochs(count: int, steps: int) -> list[npt.NDArray[np.int64]]:
    """Rows of each step: all pictures, shuffled, again and again."""
    size = min(BATCH, count)
    if size * 2 > count:  # so few that a batch is nearly all: smaller ones, or batch norm learns one set by heart
        size = max(2, count // 4)
    rng = np.random.default_rng(TRAINING_SEED)
    batches: list[npt.NDArray[np.int64]] = []
    while len(batches) < steps:
        order = rng.permutation(count)
        batches += [order[start : start + size] for start in range(0, count - size + 1, size)]
    return batches[:steps]


def warm_cosine(step: int, steps: int) -> float:
    return min(1.0, (step + 1) / (0.1 * steps)) * 0.5 * (1 + math.cos(math.pi * min(step, steps) / steps))


def shifted(images: Tensor) -> Tensor:
    """All of a batch by the same few pixels; what comes free repeats the border."""
    down, right = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    padded = F.pad(images, (SHIFT,) * 4, mode="replicate")
    size = images.shape[-1]
    return padded[:, :, down : down + size, right : right + size]
