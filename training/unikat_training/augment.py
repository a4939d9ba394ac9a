"""DiffAugment (Zhao et al., NeurIPS 2020): the same differentiable augmentations for real and drawn images.

Each is applied to an image with a probability below 1, so that what is augmented can be told from what is not and
the generator does not learn to draw augmentations (Karras et al., NeurIPS 2020).
"""

import torch
from torch import Tensor

NUMBERS = 10  # random numbers that decide how an image is augmented
SHIFT = 0.125  # of the side
CUTOUT = 0.5  # of the side
BRIGHTNESS = 0.4  # of the range [-1, 1]
SATURATION = (0.25, 1.75)
CONTRAST = (0.6, 1.4)


def augment(images: Tensor, numbers: Tensor, probability: float) -> Tensor:
    """Images (B, 3, H, H), each changed as its numbers (B, `NUMBERS`) in [0, 1) say; differentiable.

    With the same numbers the same is done to them. Colour, translation and cutout each have this probability.
    """
    if probability == 0:
        return images
    changed = numbers[:, :3, None, None, None] < probability  # (B, 3, 1, 1, 1)
    images = torch.where(changed[:, 0], colour(images, numbers[:, 3:6]), images)
    images = torch.where(changed[:, 1], translate(images, numbers[:, 6:8]), images)
    return torch.where(changed[:, 2], cutout(images, numbers[:, 8:]), images)


def colour(images: Tensor, how: Tensor) -> Tensor:
    """Brightness, saturation and contrast, by three numbers an image."""
    brightness, saturation, contrast = how[:, :, None, None, None].unbind(1)  # (B, 1, 1, 1) each
    images = images + (brightness - 0.5) * BRIGHTNESS
    grey = images.mean(dim=1, keepdim=True)  # (B, 1, H, H)
    images = grey + (images - grey) * between(SATURATION, saturation)
    level = images.mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    return level + (images - level) * between(CONTRAST, contrast)


def translate(images: Tensor, how: Tensor) -> Tensor:
    """Shifted by up to an eighth of the side; the border's pixels are repeated into what comes free."""
    size = images.shape[-1]
    reach = round(size * SHIFT)
    offsets = (how * (2 * reach + 1)).long() - reach  # (B, 2)
    places = torch.arange(size, device=images.device)
    rows, columns = ((places + offset[:, None]).clamp(0, size - 1) for offset in offsets.unbind(1))  # sources, (B, H)
    images = images.gather(2, rows[:, None, :, None].expand_as(images))
    return images.gather(3, columns[:, None, None, :].expand_as(images))


def cutout(images: Tensor, how: Tensor) -> Tensor:
    """A grey square of half the side, its centre anywhere in the image."""
    size = images.shape[-1]
    places = torch.arange(size, device=images.device)
    centres = (how * size).long()  # (B, 2)
    rows, columns = ((places - centre[:, None]).abs() < size * CUTOUT / 2 for centre in centres.unbind(1))  # (B, H)
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], 0.0)


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
