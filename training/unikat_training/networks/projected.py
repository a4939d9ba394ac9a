"""The discriminator: small trained heads on frozen, randomly mixed image features.

After Projected GAN (Sauer et al., NeurIPS 2021). Random mixing spreads what each scale knows over
all channels, so that the heads cannot settle on a few of them.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from unikat_training.features import Lite0

MIXED_CHANNELS = 64
HEAD_CHANNELS = 128
HEAD_SIZE = 4  # a head shrinks its map to about this many places a side, each of which is judged


class FeatureMixing(nn.Module):
    """Frozen random 1x1 convolutions across channels, then 3x3 ones across scales, from coarse to fine.

    The weights follow from `seed` and are not saved with a run.
    """

    def __init__(self, channels: tuple[int, ...], seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.across_channels = nn.ModuleList(nn.Conv2d(width, MIXED_CHANNELS, 1, bias=False) for width in channels)
        self.across_scales = nn.ModuleList(
            nn.Conv2d(MIXED_CHANNELS, MIXED_CHANNELS, 3, padding=1, bias=False) for _ in channels
        )
        for parameter in self.parameters():
            nn.init.kaiming_normal_(parameter, nonlinearity="linear", generator=generator)
        self.requires_grad_(False)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        mixed: list[Tensor] = []
        coarser: Tensor | None = None
        for index in reversed(range(len(maps))):
            x = self.across_channels[index](maps[index])
            if coarser is not None:
                x = (x + F.interpolate(coarser, size=x.shape[-2:], mode="nearest")) * 0.5**0.5
            coarser = self.across_scales[index](x)
            mixed.insert(0, coarser)
        return mixed


class Projection(nn.Module):
    """Images (B, 3, H, H) in [-1, 1] -> four mixed feature maps. Frozen; gradients flow through to the images."""

    def __init__(self, size: int, seed: int) -> None:
        super().__init__()
        self.size = size
        self.features = Lite0()
        self.mixing = FeatureMixing(self.features.channels, seed)

    def forward(self, images: Tensor) -> list[Tensor]:
        if images.shape[-1] != self.size:
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", align_corners=False)
        maps: list[Tensor] = self.mixing(self.features(images))
        return maps


class Head(nn.Module):
    """Judges one feature map: (B, 64, S, S), condition (B, C) -> one logit a place, (B, places).

    The condition enters as a dot product with a linear embedding (projection discriminator,
    Miyato & Koyama 2018), so soft conditions work unchanged.
    """

    def __init__(self, size: int, conditions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = MIXED_CHANNELS
        while size > HEAD_SIZE:
            layers += [spectral_norm(nn.Conv2d(channels, HEAD_CHANNELS, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            channels, size = HEAD_CHANNELS, size // 2
        layers += [spectral_norm(nn.Conv2d(channels, HEAD_CHANNELS, 3, padding=1)), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.judge = spectral_norm(nn.Conv2d(HEAD_CHANNELS, 1, 1))
        self.embed = spectral_norm(nn.Linear(conditions, HEAD_CHANNELS, bias=False)) if conditions else None

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        x = self.trunk(x)  # (B, C, s, s)
        logits: Tensor = self.judge(x).flatten(1)  # (B, s*s)
        if self.embed is not None:
            embedded = self.embed(condition)  # (B, C)
            logits = logits + torch.einsum("bc,bcp->bp", embedded, x.flatten(2))
        return logits


class Heads(nn.Module):
    """All that is trained of the discriminator. `forward` returns the logits of each scale, (B, places)."""

    def __init__(self, feature_size: int, conditions: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(feature_size >> (scale + 2), conditions) for scale in range(4))

    def forward(self, maps: list[Tensor], condition: Tensor | None) -> list[Tensor]:
        return [head(x, condition) for head, x in zip(self.heads, maps, strict=True)]
