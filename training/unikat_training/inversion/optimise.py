"""Latents optimised by gradients, so that what is drawn comes nearer to a picture.

After "Image2StyleGAN" (Abdal, Qin & Wonka, ICCV 2019): Adam on the latent, with a distance of features and one of
pixels. Conditions stay. Latents are pulled to the length that normal ones have, since a generator has seen no others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from unikat.bundle import RGBA, TRAINING, Bundle, condition_size
from unikat.recipes.mix import mix_of
from unikat.recipes.text import vector_bytes
from unikat_training.card import config_of
from unikat_training.inversion.eye import Distance, Eye
from unikat_training.inversion.search import Candidate
from unikat_training.latent_tools.drawing import GraphSampler
from unikat_training.networks.base import Generator
from unikat_training.networks.build import build_generator
from unikat_training.state import under
from unikat_training.warm_start.weights_file import unpacked

Floats = npt.NDArray[np.float32]
RATE = 0.05  # standard deviations a step, of Adam; falls to 0 along a cosine
LENGTH = 0.1  # weight of the squared difference between a latent's mean square and 1


@dataclass(frozen=True)
class Scale:
    """What distances are divided by, so that features and pixels weigh the same: those of the nearest point."""

    features: float
    grey_levels: float

    @classmethod
    def of(cls, distance: Distance) -> Scale:
        return cls(max(distance.features, 1e-6), max(distance.grey_levels, 1e-6))

    def score(self, distance: Distance) -> float:
        """2 is as far as the nearest point."""
        return distance.features / self.features + distance.grey_levels / self.grey_levels


def has_weights(bundle: Bundle) -> bool:
    """Whether a bundle has its network's weights here, beside the graph: that file is optional."""
    return TRAINING in {file.path for file in bundle.model.files} and (bundle.path / TRAINING).is_file()


def load_generator(bundle: Bundle) -> Generator:
    """Its network in torch, frozen. Raises BundleError or TrainingError for weights that cannot be used."""
    model = bundle.model
    generator = build_generator(config_of(model), model.width, condition_size(model), model.channels or 3)
    generator.load_state_dict(under("average.", unpacked(bundle.training_weights())))
    return generator.requires_grad_(False).eval()


@dataclass(frozen=True)
class Optimiser:
    """Moves latents nearer to the picture of `eye`. `generator` is the network of what `sampler` draws with."""

    generator: Generator
    sampler: GraphSampler
    eye: Eye
    steps: int
    stepped: Callable[[], object]  # called after each step

    def nearer(self, starts: Sequence[Candidate]) -> list[Candidate]:
        """Each start at the nearest of its way, drawn and measured by the bundle's graph; the first sets the scale."""
        condition = np.stack([each.conditions.vector for each in starts])  # (S, C)
        latent = np.stack([each.latent for each in starts])  # (S, Z)
        found = self.descend(Scale.of(starts[0].distance), latent, condition)
        drawings = self.sampler.draw(found, condition)
        mixes = [mix_of([(vector_bytes(each.tolist()), 1.0)]) for each in found]
        return [
            Candidate(mix, each, start.conditions, drawing, self.eye.distance(drawing))
            for mix, each, start, drawing in zip(mixes, found, starts, drawings, strict=True)
        ]

    def descend(self, scale: Scale, begin: Floats, conditions: Floats) -> Floats:
        """The nearest latents (S, Z) on the ways from `begin` (S, Z) under conditions (S, C)."""
        latent = torch.from_numpy(begin.copy()).requires_grad_()
        condition = torch.from_numpy(conditions) if conditions.shape[1] else None
        best, least = latent.detach().clone(), torch.full((len(latent),), torch.inf)
        adam = torch.optim.Adam([latent], lr=RATE)
        for step in range(self.steps):
            adam.param_groups[0]["lr"] = RATE * (1 + cos(pi * step / self.steps)) / 2
            features, levels = self.eye.distances(images(self.generator, latent, condition))
            score = features / scale.features + levels / scale.grey_levels  # (S,)
            nearer = score.detach() < least
            best[nearer], least[nearer] = latent.detach()[nearer], score.detach()[nearer]
            length = (latent.square().mean(dim=1) - 1).square()  # (S,)
            adam.zero_grad()
            (score + LENGTH * length).sum().backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
            adam.step()
            self.stepped()
        return best.numpy()


def images(generator: Generator, latent: Tensor, condition: Tensor | None) -> Tensor:
    """(S, 3, H, H) in [0, 1], at truncation 1, on white where the model has alpha."""
    shares: Tensor = (generator(latent, condition).clamp(-1, 1) + 1) / 2  # (S, P, H, H)
    if generator.shape.planes != RGBA:
        return shares
    colour, alpha = shares[:, :3], shares[:, 3:]
    over: Tensor = alpha * colour + 1 - alpha
    return over
