"""What users are given of a generator's output, in a form that training can pass gradients through."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


class _Clamp(torch.autograd.Function):
    """Clamps; the gradient passes where it would move a value inward, and stops where it would move it further out."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        clamped = x.clamp(-1, 1)
        ctx.save_for_backward(x - clamped)
        return clamped

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        (beyond,) = ctx.saved_tensors  # type: ignore[attr-defined]  # torch adds it
        # descent subtracts the gradient: of the sign of what is beyond, it leads back
        inward: Tensor = gradients[0] * beyond >= 0
        return gradients[0] * inward


def clamp(images: Tensor) -> Tensor:
    """Images clamped to [-1, 1].

    torch's own clamp has no gradient outside, so that a value which left the range would never come back; with a
    gradient of 1 everywhere, as a straight-through estimator has, it would go on outward for ever.
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
