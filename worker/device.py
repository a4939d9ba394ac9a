"""Where to draw: the execution provider of ONNX Runtime and how it is used."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Final

import onnxruntime as ort

from worker.processors import gpu_name, usable_cores
from worker.settings import DeviceName

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"


class DeviceError(RuntimeError):
    """The device that was asked for is not there; the message says what to do."""


@dataclass(frozen=True)
class Device:
    """`threads`: cores to use; `lanes`: batches at a time; `processor`: what responses name as the processor."""

    provider: str
    threads: int
    lanes: int
    processor: str

    @property
    def is_cuda(self) -> bool:
        """Whether it is a GPU."""
        return self.provider == CUDA

    @property
    def runtime(self) -> str:
        """Name and version of the runtime, as responses give it."""
        return f"onnxruntime {ort.__version__}"

    def providers(self) -> list[str | tuple[str, dict[str, str]]]:
        """What `InferenceSession` takes."""
        if not self.is_cuda:
            return [CPU]
        # The default, EXHAUSTIVE, searches again for every new shape: seconds each.
        return [(CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "device_id": "0"}), CPU]


def choose_device(name: DeviceName, threads: int = 0, lanes: int = 0) -> Device:
    """The device of that name; 0 threads and lanes: as many as fit.

    Raises DeviceError if CUDA is asked for and this ONNX Runtime does not have it.
    """
    has_cuda = CUDA in ort.get_available_providers()
    if name is DeviceName.CUDA and not has_cuda:
        raise DeviceError(
            "--device cuda: this ONNX Runtime has no CUDA; install unikat[worker-gpu] in an environment without "
            f"unikat[worker] (it has: {', '.join(ort.get_available_providers())})"
        )
    cores = threads or usable_cores()
    if has_cuda and name is not DeviceName.CPU:
        ort.preload_dlls()  # CUDA and cuDNN come as wheels, where the loader does not look
        return Device(CUDA, cores, lanes or max(2, min(4, cores)), gpu_name())
    return Device(CPU, cores, lanes or cores, platform.machine())
