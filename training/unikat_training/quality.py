"""A cheap figure by which checkpoints of one run are compared: which is the best so far.

The Fréchet distance between drawn and real pictures in features of a small random network. It costs seconds, needs no
weights, and no discriminator was trained on it; but it sees colours, textures and variety, not what a picture shows.
Models are compared by `unikat evaluate` instead.
"""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unikat.sampling import latents
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.similarity import frechet_distance
from unikat_training.layers import over
from unikat_training.networks.base import Generator

NAME = "random_frechet"
PICTURES = 512  # drawn, and at most as many real ones
CHUNK = 64
SEED = 3
WIDTHS = (24, 48, 96)
WHITE = torch.ones(1, 3, 1, 1)


class RandomFeatures(nn.Module):
    """Images (B, 3, H, H) -> (B, sum of WIDTHS): the mean of each map of a random convolution network."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(SEED)
        self.layers = nn.ModuleList()
        for inputs, outputs in zip((3, *WIDTHS[:-1]), WIDTHS, strict=True):
            layer = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
            nn.init.kaiming_normal_(layer.weight, generator=rng)
            nn.init.normal_(layer.bias, std=0.1, generator=rng)  # type: ignore[arg-type]  # it has a bias
            self.layers.append(layer)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        pooled = []
        for layer in self.layers:
            images = F.leaky_relu(layer(images), 0.2)
            pooled.append(images.mean(dim=(2, 3)))  # (B, width)
        return torch.cat(pooled, dim=1)


class RandomFrechet:
    """Measures generators against fixed real pictures, with fixed latents and those pictures' conditions.

    Not against the test pictures: the best checkpoint would be the one that suits them. Without a validation split
    against training pictures.
    """

    def __init__(self, dataset: Dataset, validation: Dataset | None, device: torch.device) -> None:
        real = dataset if validation is None else validation
        order = np.random.Generator(np.random.Philox(SEED)).permutation(len(real))
        self.device, self.features = device, RandomFeatures().to(device)
        self.conditions = torch.from_numpy(real.one_hots()[np.resize(order, PICTURES)])  # (PICTURES, C)
        pixels = real.pixels(order[:PICTURES])
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
        self.real = self.features_of([images[start : start + CHUNK] for start in range(0, len(images), CHUNK)])

    @torch.no_grad()
    def distance(self, generator: Generator) -> float:
        """Lower is better; comparable within one run only."""
        drawn = []
        for start in range(0, PICTURES, CHUNK):
            condition = self.conditions[start : start + CHUNK].to(self.device)
            latent = torch.from_numpy(latents(SEED, range(start, start + CHUNK), generator.shape.latent))
            images = generator(latent.to(self.device), condition if condition.shape[1] else None).clamp(-1, 1)
            drawn.append(over(images, WHITE.to(self.device)))
        return frechet_distance(self.real, self.features_of(drawn))

    def features_of(self, chunks: list[Tensor]) -> npt.NDArray[np.float32]:
        return torch.cat([self.features(chunk.to(self.device)) for chunk in chunks]).cpu().numpy()
