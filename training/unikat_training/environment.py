"""What a run is computed with."""

import json
import platform
import resource
from importlib.metadata import version
from pathlib import Path

import torch

from unikat_training.errors import TrainingError

ENVIRONMENT = "environment.json"
THEN = ", then "


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
    """Writes it for the model card; of hardware and the networks' precision, what each session used."""
    path = run / ENVIRONMENT
    before = json.loads(path.read_text()) if path.exists() else {}
    precisions = before.get("precisions", [])
    if precisions[-1:] != [precision]:
        precisions.append(precision)
    device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_cores(torch.get_num_threads())
    hardware = f"{processes} x {device_name}" if processes > 1 else device_name
    sessions = before["hardware"].split(THEN) if before else []
    if sessions[-1:] != [hardware]:
        sessions.append(hardware)
    document = {
        "hardware": THEN.join(sessions),
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
