"""What users are given of a generator's output, in a form that training can pass gradients through."""

from typing import Any, Final

import torch
from torch import Tensor

_MARGIN: Final = 0.5  # beyond the range of pixels; further out, gradients that lead outward are not passed


class _Clamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor) -> Tensor:  # noqa: ANN401  (torch's context)
        ctx.save_for_backward(images)
        return images.clamp(-1, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401  (torch's context)
        (images,), (gradient,) = ctx.saved_tensors, gradients
        outward = torch.where(images > 0, gradient < 0, gradient > 0)  # a step goes against the gradient
        return gradient.masked_fill(outward & (images.abs() > 1 + _MARGIN), 0)


def clamp(images: Tensor) -> Tensor:
    """Images clamped to [-1, 1], whose gradient is that of the clamped ones up to a margin beyond the range.

    torch's own clamp has no gradient outside, so a value that left the range would never come back. Within the margin
    every gradient passes: a pixel that is wholly black, white or transparent rests there, whatever noise a gradient
    has. Beyond it only those pass that lead back. Where all of them pass (a straight-through estimator), nothing stops
    values that are saturated from growing: a run on portraits went up to gradients of 1e8 and drew nothing any more.
    """
    clamped: Tensor = _Clamp.apply(images)  # type: ignore[no-untyped-call]  # torch does not annotate it
    return clamped


def over(images: Tensor, background: Tensor | None) -> Tensor:
    """Images (B, 3, H, H), or (B, 4, H, H) with alpha as their last channel, on backgrounds (B, 3, 1, 1).

    All in [-1, 1]; -1 is an alpha of 0. Colours are straight, not multiplied by alpha: so no alpha, whatever the
    generator draws, makes a value outside the range, and where it is 0 the background is left exactly.
    """
    if images.shape[1] == 3:
        return images
    if background is None:
        raise TypeError("images with alpha need a background")
    alpha = (images[:, 3:] + 1) / 2  # (B, 1, H, H)
    return alpha * images[:, :3] + (1 - alpha) * background  # (B, 3, H, H)
