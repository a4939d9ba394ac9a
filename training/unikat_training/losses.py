"""What discriminator and generator are trained to do with the logits of real and drawn images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

Pairwise = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Loss:
    """Of logits of the same shape, one loss a logit; high logits mean real."""

    discriminator: Pairwise  # of real and drawn images
    generator: Pairwise  # of real and drawn images
    wrong_label: Pairwise  # of real images with their own condition and with a wrong one
    relative: bool = False  # whether only the difference of a pair counts; the generator's then needs real logits too


LOSSES = {
    # Lim & Ye 2017
    "hinge": Loss(
        discriminator=lambda real, drawn: F.relu(1 - real) + F.relu(1 + drawn),
        generator=lambda real, drawn: -drawn,
        wrong_label=lambda right, wrong: F.relu(1 + wrong),
    ),
    # Relativistic pairs (Jolicoeur-Martineau 2018; R3GAN, eq. 2)
    "rpgan": Loss(
        discriminator=lambda real, drawn: F.softplus(drawn - real),
        generator=lambda real, drawn: F.softplus(real - drawn),
        wrong_label=lambda right, wrong: F.softplus(wrong - right),
        relative=True,
    ),
    # Cross-entropy, the generator's "non-saturating" (Goodfellow et al. 2014)
    "bce": Loss(
        discriminator=lambda real, drawn: F.softplus(-real) + F.softplus(drawn),
        generator=lambda real, drawn: F.softplus(-drawn),
        wrong_label=lambda right, wrong: F.softplus(wrong),
    ),
}


def balanced(scales: Sequence[Tensor]) -> Tensor:
    """The mean over scales of each scale's mean: the coarse ones have few places, but know what the image shows."""
    return torch.stack([values.float().mean() for values in scales]).mean()


def balanced_of(loss: Pairwise, one: Sequence[Tensor], other: Sequence[Tensor]) -> Tensor:
    """`balanced` of a loss of two sets of logits."""
    return balanced([loss(a.float(), b.float()) for a, b in zip(one, other, strict=True)])


def gradient_penalty(images: Tensor, logits: Sequence[Tensor]) -> Tensor:
    """R1 or R2: the mean over images (B, 3, H, H) of the squared norm of the gradient of their mean logit.

    Without its factor of gamma / 2 (Mescheder et al. 2018; R3GAN, eq. 4).
    """
    each = torch.stack([values.float().mean(dim=1) for values in logits]).mean(dim=0)  # (B,)
    (gradient,) = torch.autograd.grad(each.sum(), images, create_graph=True)
    return gradient.float().square().sum(dim=(1, 2, 3)).mean()


def overfitting(loss: Loss, real: Sequence[Tensor], drawn: Sequence[Tensor]) -> Tensor:
    """r_t, the heuristic of overfitting (Karras et al., NeurIPS 2020, section 3.1): 0 is none, 1 complete.

    E[sign(D(real))]; where only differences of logits mean something, of the differences.
    """
    if loss.relative:
        return balanced([(r - f).sign() for r, f in zip(real, drawn, strict=True)])
    return balanced([r.sign() for r in real])
