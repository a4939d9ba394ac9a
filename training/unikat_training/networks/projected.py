"""The discriminator: small trained heads on frozen, randomly mixed image features.

After Projected GAN (Sauer et al., NeurIPS 2021). Random mixing spreads what each scale knows over
all channels, so that the heads cannot settle on a few of them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from unikat_training.features import TAPPED, Lite0
from unikat_training.networks.base import DiscriminatorShape

MIXED_CHANNELS = 64
WIDE = 8  # times the finest map's channels, at most; the paper's 64, 128, 256, 512
FINE_CHANNELS = 32  # of the map at half the image's side, of which there are four times as many places
HEAD_CHANNELS = 128
FINE_HEAD_CHANNELS = 48
HEAD_SIZE = 4  # a head shrinks its map to about this many places a side, each of which gets a logit


class FeatureMixing(nn.Module):
    """Frozen random 1x1 convolutions across channels, then 3x3 ones across scales, from coarse to fine.

    The weights follow from `seed` and are not saved with a run.
    """

    def __init__(self, channels: Sequence[int], widths: Sequence[int], seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        pairs = zip(channels, widths, strict=True)
        self.across_channels = nn.ModuleList(nn.Conv2d(before, width, 1, bias=False) for before, width in pairs)
        # what goes on to the next finer map needs no more channels than that has
        self.widths = [widths[0], *(max(width, MIXED_CHANNELS) for width in widths[:-1])]
        pairs = zip(widths, self.widths, strict=True)
        self.across_scales = nn.ModuleList(nn.Conv2d(width, after, 3, padding=1, bias=False) for width, after in pairs)
        for parameter in self.parameters():
            nn.init.kaiming_normal_(parameter, nonlinearity="linear", generator=generator)
        self.requires_grad_(False)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        mixed: list[Tensor] = []
        coarser: Tensor | None = None
        for index in reversed(range(len(maps))):
            x = self.across_channels[index](maps[index])
            if coarser is not None:
                # any of its channels are as good: each is a random mixture of all
                coarser = F.interpolate(coarser[:, : x.shape[1]], size=x.shape[-2:], mode="nearest")
                x = (x + coarser) * 0.5**0.5
            coarser = self.across_scales[index](x)
            mixed.insert(0, coarser)
        return mixed


class Projection(nn.Module):
    """Images (B, 3, H, H) in [-1, 1] -> mixed feature maps. Frozen; gradients flow through to the images.

    The maps have 1/4, 1/8, 1/16 and 1/32 of the images' side, `sizes`, and `widths` channels; `shape.fine_tap` puts
    one of 1/2 before them.
    """

    def __init__(self, shape: DiscriminatorShape) -> None:
        super().__init__()
        self.size = shape.feature_size
        self.features = Lite0(shape.fine_tap)
        scales = len(TAPPED)
        wide = [MIXED_CHANNELS * (min(1 << scale, WIDE) if shape.wide_mixing else 1) for scale in range(scales)]
        mixed = [FINE_CHANNELS] * shape.fine_tap + wide
        self.mixing = FeatureMixing(self.features.channels, mixed, shape.seed)
        self.widths = self.mixing.widths
        self.sizes = [self.size >> (5 - scale) for scale in reversed(range(scales + shape.fine_tap))]

    def forward(self, images: Tensor) -> list[Tensor]:
        if images.shape[-1] != self.size:
            images = F.interpolate(images, size=(self.size, self.size), mode="bilinear", align_corners=False)
        # depthwise convolutions lose by half precision on CPUs, all others gain
        with torch.autocast(images.device.type, enabled=False):
            found = self.features(images.float())
        maps: list[Tensor] = self.mixing(found)
        return maps


class Head(nn.Module):
    """One feature map: (B, width, S, S), condition (B, C) -> one logit a place, (B, places).

    The condition enters as a dot product with a linear embedding (projection discriminator,
    Miyato & Koyama 2018), so soft conditions work unchanged.
    """

    def __init__(self, channels: int, size: int, conditions: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        hidden = HEAD_CHANNELS if channels >= MIXED_CHANNELS else FINE_HEAD_CHANNELS
        while size > HEAD_SIZE:
            layers += [spectral_norm(nn.Conv2d(channels, hidden, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
            channels, size = hidden, size // 2
        layers += [spectral_norm(nn.Conv2d(channels, hidden, 3, padding=1)), nn.LeakyReLU(0.2)]
        self.trunk = nn.Sequential(*layers)
        self.to_logits = spectral_norm(nn.Conv2d(hidden, 1, 1))
        self.embed = spectral_norm(nn.Linear(conditions, hidden, bias=False)) if conditions else None

    def forward(self, x: Tensor, conditions: Sequence[Tensor | None]) -> list[Tensor]:
        """The logits with each of the conditions, which may be of the first images only."""
        x = self.trunk(x)  # (B, C, s, s)
        plain: Tensor = self.to_logits(x).flatten(1)  # (B, s*s)
        if self.embed is None:
            return [plain for _ in conditions]
        # embedded together: spectral norm goes on by one step with each use
        sizes = [0 if condition is None else len(condition) for condition in conditions]
        embedded = self.embed(torch.cat([condition for condition in conditions if condition is not None]))
        return [
            plain[: len(each)] + torch.einsum("bc,bcp->bp", each, x[: len(each)].flatten(2))
            for each in torch.split(embedded, sizes)
        ]


class Heads(nn.Module):
    """All that is trained of the discriminator. A condition enters last: one more costs next to nothing."""

    def __init__(self, widths: Sequence[int], sizes: Sequence[int], conditions: int) -> None:
        super().__init__()
        pairs = zip(widths, sizes, strict=True)
        self.heads = nn.ModuleList(Head(width, size, conditions) for width, size in pairs)

    def forward(self, maps: list[Tensor], conditions: Sequence[Tensor | None]) -> list[list[Tensor]]:
        """For each condition, which may be of the first images only, the logits of each scale, (B, places)."""
        scales = [head(x, conditions) for head, x in zip(self.heads, maps, strict=True)]
        return [list(logits) for logits in zip(*scales, strict=True)]
