"""What users are given of a generator's output, in a form that training can pass gradients through."""

from torch import Tensor


def clamp(images: Tensor) -> Tensor:
    """Images clamped to [-1, 1], with the gradient of a straight-through estimator: 1 everywhere.

    torch's own clamp has no gradient outside, so a value that left the range would never come back. Passing only what
    leads back inward is no better: of the noise in a gradient it keeps half, which drags white, black and an alpha of
    0 back into the range, as a haze.
    """
    return images + (images.clamp(-1, 1) - images).detach()


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
