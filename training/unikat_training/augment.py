"""DiffAugment (Zhao et al., NeurIPS 2020): the same differentiable augmentations for real and drawn images.

Each is applied to an image with a probability below 1, so that what is augmented can be told from what is not and
the generator does not learn to draw augmentations (Karras et al., NeurIPS 2020).
"""

import torch
from torch import Tensor

from unikat_training.parallel import Draws

SHIFT = 0.125  # of the side
CUTOUT = 0.5  # of the side
BRIGHTNESS = 0.4  # of the range [-1, 1]
SATURATION = (0.25, 1.75)
CONTRAST = (0.6, 1.4)


def augment(images: Tensor, probability: float, draws: Draws) -> Tensor:
    """Images (B, 3, H, H) with each of colour, translation and cutout applied to a share `probability` of them."""
    if probability == 0:
        return images
    for change in (colour, translate, cutout):
        images = torch.where(draw_mask(images, probability, draws), change(images, draws), images)
    return images


def draw_mask(images: Tensor, probability: float, draws: Draws) -> Tensor:
    return uniform(images, draws) < probability  # (B, 1, 1, 1)


def uniform(images: Tensor, draws: Draws) -> Tensor:
    """One number in [0, 1) an image, (B, 1, 1, 1)."""
    return draws.uniform(images.shape[0], 1, 1, 1)


def colour(images: Tensor, draws: Draws) -> Tensor:
    """Brightness, saturation and contrast."""
    images = images + (uniform(images, draws) - 0.5) * BRIGHTNESS
    grey = images.mean(dim=1, keepdim=True)  # (B, 1, H, H)
    images = grey + (images - grey) * between(SATURATION, images, draws)
    level = images.mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    return level + (images - level) * between(CONTRAST, images, draws)


def between(limits: tuple[float, float], images: Tensor, draws: Draws) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * uniform(images, draws)


def translate(images: Tensor, draws: Draws) -> Tensor:
    """Shifted by up to an eighth of the side; the border's pixels are repeated into what comes free."""
    size = images.shape[-1]
    reach = round(size * SHIFT)
    rows, columns = (shifted(size, reach, images, draws) for _ in range(2))  # (B, H) each
    images = images.gather(2, rows[:, None, :, None].expand_as(images))
    return images.gather(3, columns[:, None, None, :].expand_as(images))


def shifted(size: int, reach: int, images: Tensor, draws: Draws) -> Tensor:
    """For each image the source index of each row, (B, size)."""
    offset = draws.integers(-reach, reach + 1, images.shape[0])
    return (torch.arange(size, device=images.device) + offset).clamp(0, size - 1)


def cutout(images: Tensor, draws: Draws) -> Tensor:
    """A grey square of half the side, its centre anywhere in the image."""
    size = images.shape[-1]
    places = torch.arange(size, device=images.device)
    half = size * CUTOUT / 2
    inside = []
    for _ in range(2):
        centre = draws.integers(0, size, images.shape[0])
        inside.append((places - centre).abs() < half)  # (B, size)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (B, 1, H, H)
    return images.masked_fill(hole, 0.0)


class Adaptive:
    """ADA: the probability follows how much the critic overfits (Karras et al., NeurIPS 2020, section 3.1).

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
