"""DiffAugment (Zhao et al., NeurIPS 2020): the same differentiable augmentations for real and drawn images.

Each is applied to an image with a probability below 1, so that what is augmented can be told from what is not and
the generator does not learn to draw augmentations (Karras et al., NeurIPS 2020).
"""

import torch
from torch import Tensor

SHIFT = 0.125  # of the side
CUTOUT = 0.5  # of the side
BRIGHTNESS = 0.4  # of the range [-1, 1]
SATURATION = (0.25, 1.75)
CONTRAST = (0.6, 1.4)


def augment(images: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Images (B, 3, H, H) with each of colour, translation and cutout applied to a share `probability` of them."""
    if probability == 0:
        return images
    for change in (colour, translate, cutout):
        images = torch.where(draw_mask(images, probability, rng), change(images, rng), images)
    return images


def draw_mask(images: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    return uniform(images, rng) < probability  # (B, 1, 1, 1)


def uniform(images: Tensor, rng: torch.Generator) -> Tensor:
    """One number in [0, 1) an image, (B, 1, 1, 1)."""
    return torch.rand(images.shape[0], 1, 1, 1, generator=rng, device=images.device)


def colour(images: Tensor, rng: torch.Generator) -> Tensor:
    """Brightness, saturation and contrast."""
    images = images + (uniform(images, rng) - 0.5) * BRIGHTNESS
    grey = images.mean(dim=1, keepdim=True)  # (B, 1, H, H)
    images = grey + (images - grey) * between(SATURATION, images, rng)
    level = images.mean(dim=(1, 2, 3), keepdim=True)  # (B, 1, 1, 1)
    return level + (images - level) * between(CONTRAST, images, rng)


def between(limits: tuple[float, float], images: Tensor, rng: torch.Generator) -> Tensor:
    return limits[0] + (limits[1] - limits[0]) * uniform(images, rng)


def translate(images: Tensor, rng: torch.Generator) -> Tensor:
    """Shifted by up to an eighth of the side; the border's pixels are repeated into what comes free."""
    size = images.shape[-1]
    reach = round(size * SHIFT)
    rows, columns = (shifted(size, reach, images, rng) for _ in range(2))  # (B, H) each
    images = images.gather(2, rows[:, None, :, None].expand_as(images))
    return images.gather(3, columns[:, None, None, :].expand_as(images))


def shifted(size: int, reach: int, images: Tensor, rng: torch.Generator) -> Tensor:
    """For each image the source index of each row, (B, size)."""
    offset = torch.randint(-reach, reach + 1, (images.shape[0], 1), generator=rng, device=images.device)
    return (torch.arange(size, device=images.device) + offset).clamp(0, size - 1)


def cutout(images: Tensor, rng: torch.Generator) -> Tensor:
    """A grey square of half the side, its centre anywhere in the image."""
    size = images.shape[-1]
    places = torch.arange(size, device=images.device)
    half = size * CUTOUT / 2
    inside = []
    for _ in range(2):
        centre = torch.randint(0, size, (images.shape[0], 1), generator=rng, device=images.device)
        inside.append((places - centre).abs() < half)  # (B, size)
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]  # (B, 1, H, H)
    return images.masked_fill(hole, 0.0)
