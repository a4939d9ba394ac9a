"""The images, conditions and random numbers of a step."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unikat_training.augment import NUMBERS
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset
from unikat_training.errors import TrainingError
from unikat_training.layers import over
from unikat_training.parallel import share
from unikat_training.sampler import BalancedSampler
from unikat_training.variety import wanted_differences


@dataclass(frozen=True)
class Batch:
    """Real images and what the networks are told of them; the drawn ones get the same conditions."""

    real: Tensor  # (B, 3, H, H) in [-1, 1]; with alpha, on their backgrounds
    latent: Tensor  # (B, Z)
    numbers: tuple[Tensor, Tensor]  # (B, NUMBERS) in [0, 1): how real and how drawn images are augmented
    condition: Tensor | None  # (B, C), as the networks see it; None of a plain data set
    wrong: Tensor | None  # (B, C), the condition of another image
    differs: Tensor | None  # (B, 1), 1 where that is not true of the image too
    labels: Tensor | None = None  # (B, C), all that is true of the real images
    background: Tensor | None = None  # (B, 3, 1, 1), of images with alpha: what real and drawn ones are shown on
    second: Tensor | None = None  # (B / 2, Z), with `variety`: other latents for every second condition
    wanted: Tensor | None = None  # (B / 2,), how much the two drawings of each shall differ


class Batches:
    """What a step is trained on: its pictures follow from seed and step, all else comes from `rng`.

    Every process draws the random numbers of the whole batch and keeps its rows: so all generators stay the same, and
    the numbers do not depend on how many processes there are.
    """

    def __init__(self, config: Config, dataset: Dataset, rng: torch.Generator) -> None:
        self.config, self.dataset, self.rng = config, dataset, rng
        self.conditions = torch.from_numpy(dataset.one_hots())  # (N, C)
        self.widths = torch.tensor([len(attribute.categories) for attribute in dataset.attributes], device=rng.device)
        self.wanted = wanted_differences(dataset) if config.variety else None
        self.sampler = BalancedSampler(balanced_labels(dataset, config), config.balance, config.seed)

    def of_step(self, step: int, strength: float) -> Batch:
        """This process's share of a step. `strength` is how much conditions count, 0 to 1."""
        count = self.config.batch
        indices = self.sampler.batch(step, count)
        flip = self.uniform(count, 1, 1, 1) < 0.5 if self.config.mirror else None
        background = self.uniform(count, 3, 1, 1) * 2 - 1 if self.dataset.channels == 4 else None
        numbers = (self.uniform(count, NUMBERS), self.uniform(count, NUMBERS))
        latent = torch.randn(count, self.config.latent, generator=self.rng, device=self.rng.device)
        labels = self.labels(indices)
        condition = self.shown(labels)
        wrong = differs = None
        if condition is not None and labels is not None:
            wrong = self.wrong(condition)
            differs = differing(wrong, labels) * strength
            condition, wrong = condition * strength, wrong * strength
        mine = share(torch.arange(count)).numpy()
        flip, *told = (None if x is None else share(x) for x in (flip, condition, wrong, differs, labels, background))
        real = over(self.images(indices[mine], flip), told[-1])
        return Batch(real, share(latent), (share(numbers[0]), share(numbers[1])), *told, *self.pairs(indices[mine]))

    def pairs(self, indices: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor] | tuple[None, None]:
        """`second` and `wanted` of this process's rows."""
        if self.wanted is None:
            return None, None
        latent = torch.randn(self.config.batch, self.config.latent, generator=self.rng, device=self.rng.device)
        return share(latent)[::2], torch.from_numpy(self.wanted[indices[::2]]).to(self.rng.device)

    def images(self, indices: npt.NDArray[np.int64], flip: Tensor | None) -> Tensor:
        pixels = torch.from_numpy(self.dataset.layers(indices)).to(self.rng.device)  # (B, H, H, 3 or 4)
        images = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3 or 4, H, H), channels last in memory
        return images if flip is None else torch.where(flip, images.flip(3), images)

    def labels(self, indices: npt.NDArray[np.int64]) -> Tensor | None:
        """The complete conditions (B, C)."""
        labels = self.conditions[torch.from_numpy(indices)].to(self.rng.device)
        return labels if labels.shape[1] else None

    def shown(self, labels: Tensor | None) -> Tensor | None:
        """The conditions of a step: some attributes are left out, as a caller may leave them out."""
        if labels is None or not self.config.condition_dropout:
            return labels
        kept = self.uniform(len(labels), len(self.widths)) >= self.config.condition_dropout
        return labels * kept.repeat_interleave(self.widths, dim=1)  # (B, C)

    def wrong(self, condition: Tensor) -> Tensor:
        """Those of other images (B, C); of a share only one attribute is another's, so that none can be overlooked."""
        others = condition.roll(1, 0)
        if not self.config.wrong_label_one_attribute:
            return others
        count, attributes = len(condition), len(self.widths)
        one = self.uniform(count, 1) < self.config.wrong_label_one_attribute
        chosen = (self.uniform(count, 1) * attributes).long() == torch.arange(attributes, device=self.rng.device)
        return torch.where((chosen | ~one).repeat_interleave(self.widths, dim=1), others, condition)

    def uniform(self, *size: int) -> Tensor:
        return torch.rand(size, generator=self.rng, device=self.rng.device)


def differing(wrong: Tensor, labels: Tensor) -> Tensor:
    """1 where a condition is not true of an image with these labels, (B, 1): another image's may be true of it too."""
    return (wrong * (1 - labels)).any(dim=1, keepdim=True).float()


def balanced_labels(dataset: Dataset, config: Config) -> npt.NDArray[np.int64]:
    """The columns of the labels whose combinations are balanced. Raises TrainingError for an unknown attribute."""
    names = [attribute.name for attribute in dataset.attributes]
    chosen = [name.strip() for name in config.balance_over.split(",") if name.strip()] or names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        raise TrainingError(f"balance_over: {unknown} not among the data set's attributes {names}")
    return dataset.labels[:, [names.index(name) for name in chosen]]
