"""Small generators that were not trained, and what describes them: for tests of what latents can be used for."""

from __future__ import annotations

import numpy as np
import torch

from tests.training.making import COLOURS, SHAPES, tiny
from unikat.v1.model_pb2 import Attribute, Category, Combination, Model
from unikat_training.networks.base import Generator
from unikat_training.networks.build import build_generator
from unikat_training.pictures import Row

LATENT, SIZE = 8, 16
ROWS = [
    Row(f"{shape} {colour}", np.array([*np.eye(2)[i], *np.eye(3)[j]], dtype=np.float32))
    for i, shape in enumerate(SHAPES)
    for j, colour in enumerate(COLOURS)
]
CONDITIONS = np.stack([row.condition for row in ROWS])


def generator(preset: str, conditions: int = 5) -> Generator:
    """With weights that are not those of the beginning, when residual blocks add nothing."""
    torch.manual_seed(0)
    network = build_generator(tiny(preset), SIZE, conditions)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        network.train()(torch.randn(8, LATENT), torch.rand(8, conditions) if conditions else None)  # batch norm
    return network.requires_grad_(False).eval()


def described(conditions: bool = True) -> Model:
    model = Model(name="shapes", version=1, width=SIZE, height=SIZE, latent_size=LATENT, default_truncation=0.8)
    if conditions:
        for name, categories in (("shape", SHAPES), ("colour", COLOURS)):
            model.attributes.append(Attribute(name=name, categories=[Category(name=c, count=9) for c in categories]))
        model.combinations.extend(Combination(categories=[i, j], count=3) for i in range(2) for j in range(3))
    return model
