"""How far drawings are from a picture: in frozen features, and pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from unikat_training.evaluation.extractors import MobileNetFeatures

Pixels = npt.NDArray[np.uint8]
Doubles = npt.NDArray[np.float64]
BATCH = 32


@dataclass(frozen=True)
class Distance:
    """Of one drawing: Euclidean in the features, and the root of the mean square in grey levels of 255."""

    features: float
    grey_levels: float


class Eye:
    """Compares with one picture (H, H, 3). The features are MobileNetV2's, which evaluations are measured in."""

    def __init__(self, picture: Pixels) -> None:
        self.extractor = MobileNetFeatures(len(picture))
        self.extractor.network.requires_grad_(False).eval()
        self.picture = torch.tensor(picture).permute(2, 0, 1).float() / 255  # (3, H, H)
        with torch.no_grad():
            self.seen = self.features(self.picture[None])  # (1, D)

    @property
    def name(self) -> str:
        """What distances are measured in."""
        return self.extractor.name

    def features(self, images: Tensor) -> Tensor:
        """Of images (B, 3, H, H) in [0, 1], (B, D); gradients flow through them to the images."""
        self.extractor.noted.clear()  # what hooks note of each stage would keep its graph alive
        side = self.extractor.side
        if images.shape[-1] != side:
            images = F.interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True)
        return self.extractor.see(images.clamp(0, 1))

    def distances(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Of images (B, 3, H, H) in [0, 1]: in the features, and in grey levels, (B,) each."""
        features = (self.features(images) - self.seen).square().sum(dim=1).add(1e-12).sqrt()
        levels = (images - self.picture).square().mean(dim=(1, 2, 3)).add(1e-12).sqrt() * 255
        return features, levels

    @torch.no_grad()
    def look(self, drawings: Pixels) -> tuple[Doubles, Doubles]:
        """`distances` of drawings (N, H, H, 3)."""
        found = []
        for start in range(0, len(drawings), BATCH):
            images = torch.from_numpy(drawings[start : start + BATCH]).permute(0, 3, 1, 2).float() / 255
            found.append(torch.stack(self.distances(images)))
        features, levels = torch.cat(found, dim=1).double().numpy()
        return features, levels

    def distance(self, drawing: Pixels) -> Distance:
        """Of one drawing (H, H, 3)."""
        features, levels = self.look(drawing[None])
        return Distance(float(features[0]), float(levels[0]))
