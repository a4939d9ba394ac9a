"""DiffAugment (Zhao et al., NeurIPS 2020): the same differentiable augmentations for real and drawn images.

Each is applied to an image with a probability below 1, so that what is augmented can be told from what is not and
the generator does not learn to draw augmentations (Karras et al., NeurIPS 2020).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from unikat_training.parallel import SharedRandom

SHIFT = 0.125  # of the side
CUTOUT = 0.5  # of the side
BRIGHTNESS = 0.4  # of the range [-1, 1]
SATURATION = (0.25, 1.75)
CONTRAST = (0.6, 1.4)


@dataclass(frozen=True)
class Augmentation:
    """Random augmentations of the B images of a batch, drawn once: applied twice they are the same.

    Each of the numbers is (B, 1, 1, 1), each mask (B, 1, …) says which images an augmentation is applied to.
    """

    coloured: Tensor
    brightness: Tensor
    saturation: Tensor
    contrast: Tensor
    moved: Tensor
    offsets: tuple[Tensor, Tensor]  # rows and columns, whole pixels, (B, 1)
    cut: Tensor
    centres: tuple[Tensor, Tensor]  # rows and columns, (B, 1)

    @classmethod
    def draw(cls, count: int, size: int, probability: float, random: SharedRandom) -> "Augmentation | None":
        """For images (count, 3, size, size), each augmentation with this probability; None for none at all."""
        if probability == 0:
            return None

        def uniform() -> Tensor:
            return random.uniform(count, 1, 1, 1)  # [0, 1)

        reach = round(size * SHIFT)
        return cls(
            coloured=uniform() < probability,
            brightness=(uniform() - 0.5) * BRIGHTNESS,
            saturation=between(SATURATION, uniform()),
            contrast=between(CONTRAST, uniform()),
            moved=uniform() < probability,
            offsets=(random.integers(-reach, reach + 1, count), random.integers(-reach, reach + 1, count)),
            cut=uniform() < probability,
            centres=(random.integers(0, size, count), random.integers(0, size, count)),
        )

    def __call__(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, H), augmented; differentiable."""
        images = torch.where(self.coloured, self.colour(images), images)
        images = torch.where(self.moved, self.translate(images), images)
        return torch.where(self.cut, self.cutout(images), images)

    def colour(self, images: Tensor) -> Tensor:
        """Brightness, saturation and contrast."""
        images = images + self.brightness
        grey = images.mean(dim=1, keepdim=True)  # (B, 1, H, H)
        images = grey + (images - grey) * self.saturation
        level = images.mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
        return level + (images - level) * self.contrast

    def translate(self, images: Tensor) -> Tensor:
        """Shifted by up to an eighth of the side; the border's pixels are repeated into what comes free."""
        size = images.shape[-1]
        places = torch.arange(size, device=images.device)
        rows, columns = ((places + offset).clamp(0, size - 1) for offset in self.offsets)  # source indices, (B, H)
        images = images.gather(2, rows[:, None, :, None].expand_as(images))
        return images.gather(3, columns[:, None, None, :].expand_as(images))

    def cutout(self, images: Tensor) -> Tensor:
        """A grey square of half the side, its centre anywhere in the image."""
        size = images.shape[-1]
        places = torch.arange(size, device=images.device)
        rows, columns = ((places - centre).abs() < size * CUTOUT / 2 for centre in self.centres)  # (B, H)
        return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)


def augment(images: Tensor, augmentation: Augmentation | None) -> Tensor:
    return images if augmentation is None else augmentation(images)


def between(limits: tuple[float, float], share: Tensor) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * share


class Adaptive:
    """ADA: the probability follows how much the discriminator overfits (Karras et al., NeurIPS 2020, section 3.1).

    Every `INTERVAL` steps it moves up if r_t was above its target, and down if below. Its memory is `state`.
    """

    INTERVAL = 4  # steps; the paper's

    def __init__(self, target: float, images: int) -> None:
        self.target, self.images = target, images
        self.probability, self.total, self.steps, self.seen = 0.0, 0.0, 0, 0

    def observe(self, overfitting: float, batch: int, limit: float) -> None:
        """After a step of `batch` images with this r_t; the probability stays at most `limit`."""
        self.total += overfitting
        self.steps += 1
        self.seen += batch
        if self.steps < self.INTERVAL:
            return
        mean = self.total / self.steps
        direction = (mean > self.target) - (mean < self.target)
        self.probability = min(max(self.probability + direction * self.seen / self.images, 0.0), limit)
        self.total, self.steps, self.seen = 0.0, 0, 0

    def state(self) -> Tensor:
        return torch.tensor([self.probability, self.total, self.steps, self.seen], dtype=torch.float64)

    def restore(self, state: Tensor) -> None:
        probability, total, steps, seen = state.tolist()
        self.probability, self.total, self.steps, self.seen = probability, total, int(steps), int(seen)
