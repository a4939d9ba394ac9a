"""Batch norm whose statistics are those of the whole batch, in however many processes it is trained.

torch's own SyncBatchNorm wants GPUs.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn


class MeanOverProcesses(torch.autograd.Function):
    """The mean of a tensor over all processes; the gradient is the mean too."""

    @staticmethod
    def forward(ctx: object, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()

    @staticmethod
    def backward(ctx: object, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        dist.all_reduce(total)
        return total / dist.get_world_size()


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, and the same numbers (but for rounding) when the batch is shared out among processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not dist.is_initialized() or dist.get_world_size() == 1:
            return super().forward(x)
        values = x.float()  # (B, C, H, W)
        moments = torch.stack([values.mean(dim=(0, 2, 3)), values.square().mean(dim=(0, 2, 3))])
        mean, square = MeanOverProcesses.apply(moments)  # type: ignore[no-untyped-call]  # torch: untyped; (C,) each
        variance = square - mean.square()
        self.remember(mean, variance, x.numel() // x.shape[1] * dist.get_world_size())
        normed = (values - mean[:, None, None]) * torch.rsqrt(variance + self.eps)[:, None, None]
        if self.affine:
            normed = normed * self.weight[:, None, None] + self.bias[:, None, None]
        out: Tensor = normed.to(x.dtype)
        return out

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Moves the running statistics, as torch does: the variance without its bias."""
        share = self.momentum
        if share is None or self.running_mean is None or self.running_var is None:
            return
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance * (count / max(count - 1, 1)), share)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked += 1
