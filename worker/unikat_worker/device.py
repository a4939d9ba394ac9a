"""Where to draw: the execution provider of ONNX Runtime and how it is used."""

from __future__ import annotations

import logging
import platform
from dataclasses import dataclass
from typing import Final

import onnxruntime as ort

from unikat_worker.processors import gpu_name, usable_cores
from unikat_worker.settings import DeviceName

CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"

# An ONNX model: y = Identity(x), one float.
_IDENTITY: Final = bytes.fromhex(
    "080912003a370a100a017812017922084964656e746974791201695a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a001012"
)

log = logging.getLogger(__name__)


class DeviceError(RuntimeError):
    """The device that was asked for is not there; the message says what to do."""


@dataclass(frozen=True)
class Device:
    """`threads`: cores to use; `inference_threads`: batches at a time; `processor`: what responses name as the processor."""

    provider: str
    threads: int
    inference_threads: int
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


def choose_device(name: DeviceName, threads: int = 0, inference_threads: int = 0) -> Device:
    """The device of that name; 0 threads and inference threads: as many as fit.

    Raises DeviceError if CUDA is asked for and cannot be used.
    """
    cores = threads or usable_cores()
    if name is not DeviceName.CPU:
        problem = cuda_problem()
        if problem is None:
            return Device(CUDA, cores, inference_threads or max(2, min(4, cores)), gpu_name())
        if name is DeviceName.CUDA:
            raise DeviceError(f"--device cuda: {problem}")
        log.info("drawing on the CPU: %s", problem)
    return Device(CPU, cores, inference_threads or cores, platform.machine())


def cuda_problem() -> str | None:
    """Why CUDA cannot be used, and what to do about it; None where it can."""
    available = ort.get_available_providers()
    if CUDA not in available:
        return (
            "this ONNX Runtime has no CUDA; install unikat[worker-gpu] in an environment without unikat[worker] "
            f"(it has: {', '.join(available)})"
        )
    ort.preload_dlls()  # CUDA and cuDNN come as wheels, where the loader does not look
    if not works(CUDA):
        return "ONNX Runtime has CUDA, but no session opens on it; look at nvidia-smi, the driver and cuDNN"
    return None


def works(provider: str) -> bool:
    """Whether a session really uses it: a provider that is installed but has no device is silently left out."""
    options = ort.SessionOptions()
    options.log_severity_level = 4  # the answer is enough
    try:
        session = ort.InferenceSession(_IDENTITY, options, providers=[provider])
    except Exception:  # whatever a missing driver raises
        return False
    return provider in session.get_providers()
