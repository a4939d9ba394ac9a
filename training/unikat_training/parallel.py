"""Training in several processes that `torchrun` started: each computes a share of every step's images.

Networks are wrapped by torch's DistributedDataParallel, which makes the gradients those of the whole batch, and on GPUs
their batch norm by its SyncBatchNorm. On CPUs, which that does not run on, batch norm sees a process's share.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from unikat_training.errors import TrainingError


def processes() -> int:
    """How many train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main_process() -> bool:
    """Whether this process prints and writes."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def process_group(device: torch.device) -> Iterator[None]:
    """Joins the processes that `torchrun` announced in the environment, if it did."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Of several GPUs the one of this process."""
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def check_shares(batch: int) -> None:
    """Raises TrainingError when a step's images cannot be shared out evenly."""
    if batch % processes():
        raise TrainingError(f"batch: must be a multiple of the {processes()} processes, not {batch}")


def synchronised(network: nn.Module, device: torch.device) -> nn.Module:
    """The network with batch norm over all processes, where torch has it: on GPUs."""
    if processes() > 1 and device.type == "cuda":
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]  # torch
        return converted
    return network


def distributed(network: nn.Module) -> nn.Module:
    """What to call in place of a network, so that its gradients become the mean over processes."""
    if processes() == 1:
        return network
    return DistributedDataParallel(network, forward_sync_buffers=False, gradient_as_bucket_view=True)


def share(whole: Tensor) -> Tensor:
    """This process's rows of a tensor that all have."""
    return whole.chunk(processes())[dist.get_rank()] if processes() > 1 else whole


def mean(values: Tensor) -> Tensor:
    """The mean over processes, in each of them."""
    if processes() > 1:
        dist.all_reduce(values, dist.ReduceOp.SUM)
        values /= processes()
    return values


def anywhere(mine: bool, device: torch.device) -> bool:
    """Whether it is so in any process, so that all do the same."""
    return mine if processes() == 1 else bool(mean(torch.tensor([float(mine)], device=device)).item() > 0)


def wait() -> None:
    """Until all processes have come here."""
    if processes() > 1:
        dist.barrier()
