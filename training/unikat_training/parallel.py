"""Training in several processes that `torchrun` started: each computes a share of every step's images.

By hand and not by torch's DistributedDataParallel: that wraps one network's forward and backward, and allows neither
two networks that pass gradients through each other nor the second derivatives of R1.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unikat_training.errors import TrainingError


@dataclass(frozen=True)
class ProcessGroup:
    """The processes of a run, and which of them this is. All hold the same networks and random numbers."""

    rank: int = 0
    size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def share(self, whole: Tensor) -> Tensor:
        """This process's rows of a tensor that all have."""
        return whole if self.size == 1 else whole.chunk(self.size)[self.rank]

    def mean(self, values: Tensor) -> Tensor:
        """The mean over processes, in each of them."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def mean_gradients(self, network: nn.Module) -> None:
        """Makes the gradients those of the whole batch: one exchange for all of them."""
        if self.size == 1:
            return
        gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
        flat = self.mean(torch.cat([gradient.flatten() for gradient in gradients]))
        parts = torch.split(flat, [gradient.numel() for gradient in gradients])
        for gradient, part in zip(gradients, parts, strict=True):
            gradient.copy_(part.view_as(gradient))

    def any(self, mine: bool) -> bool:
        """Whether it is so in any process, so that all do the same."""
        if self.size == 1:
            return mine
        flag = torch.tensor([float(mine)], device=self.device_of_messages)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag.item())

    def wait(self) -> None:
        """Until all have come here."""
        if self.size > 1:
            dist.barrier()

    @property
    def device_of_messages(self) -> str:
        return "cuda" if dist.get_backend() == "nccl" else "cpu"


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """The processes that `torchrun` announced in the environment; otherwise this one alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield SINGLE_PROCESS
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield ProcessGroup(dist.get_rank(), size)
    finally:
        dist.destroy_process_group()


def is_main_process() -> bool:
    """Whether this process prints and writes, also outside of `process_group`."""
    return os.environ.get("RANK", "0") == "0"


def own_device(device: torch.device) -> torch.device:
    """Of several GPUs the one of this process."""
    if device.type != "cuda" or "LOCAL_RANK" not in os.environ:
        return device
    own = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(own)
    return own


def check_shares(batch: int, accumulate: int, processes: int) -> None:
    """Raises TrainingError when a step's images cannot be shared out evenly."""
    if batch % (accumulate * processes):
        raise TrainingError(
            f"batch: must be a multiple of accumulate x processes ({accumulate} x {processes}), not {batch}"
        )


@dataclass(frozen=True)
class SharedRandom:
    """Random numbers of a micro-batch: drawn for all of it in every process, which keeps its rows of them.

    So all processes' generators stay the same, and the numbers do not depend on how many there are.
    """

    rng: torch.Generator
    processes: ProcessGroup = SINGLE_PROCESS

    @property
    def device(self) -> torch.device:
        return self.rng.device

    def uniform(self, count: int, *shape: int) -> Tensor:
        """Numbers in [0, 1), (count, *shape)."""
        whole = torch.rand(count * self.processes.size, *shape, generator=self.rng, device=self.device)
        return self.processes.share(whole)

    def integers(self, low: int, high: int, count: int) -> Tensor:
        """Whole numbers from `low` to below `high`, (count, 1)."""
        size = (count * self.processes.size, 1)
        return self.processes.share(torch.randint(low, high, size, generator=self.rng, device=self.device))
