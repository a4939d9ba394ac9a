"""What a run is computed with."""

import json
import platform
import resource
from importlib.metadata import version
from pathlib import Path

import torch

from training.errors import TrainingError

ENVIRONMENT = "environment.json"


def choose_device(name: str) -> torch.device:
    """Raises TrainingError for a device that is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise TrainingError(f"device: must be auto, cpu or cuda, not {name!r}")
    if name == "cuda" and not torch.cuda.is_available():
        raise TrainingError("device: no CUDA device is visible to torch; use --device cpu or auto")
    return torch.device(name)


def record_environment(run: Path, device: torch.device, precision: str, processes: int = 1) -> None:
    """Writes it for the model card; of the networks' precision, what each sitting used."""
    path = run / ENVIRONMENT
    precisions = json.loads(path.read_text()).get("precisions", []) if path.exists() else []
    if precisions[-1:] != [precision]:
        precisions.append(precision)
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_cores(torch.get_num_threads())
    document = {
        "hardware": f"{processes} x {hardware}" if processes > 1 else hardware,
        "precisions": precisions,
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "numpy", "unikat")},
    }
    path.write_text(json.dumps(document, indent=2) + "\n")


def cpu_cores(count: int) -> str:
    return f"CPU, {count} core{'s' if count > 1 else ''}"


def peak_memory(device: torch.device) -> float:
    """The most that was in use so far (MB): of the GPU, or of this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6  # Linux counts in KiB
