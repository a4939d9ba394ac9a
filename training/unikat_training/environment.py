"""What a run is computed with."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from unikat_training.errors import TrainingError

ENVIRONMENT = "environment.json"
THEN = ", then "


def choose_device(name: str) -> torch.device:
    """Raises TrainingError for a device that is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(each for each, is_there in there.items() if is_there)
    if name not in there:
        raise TrainingError(f"device: must be auto, cpu, cuda or mps, not {name!r}")
    if not there[name]:
        raise TrainingError(f"device: torch finds no {name.upper()} device; use --device cpu or auto")
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


def slow_precision(device: torch.device, precision: str) -> str | None:
    """What to say where a processor has no instructions for a number format: torch converts each number then."""
    flag = {"bfloat16": "bf16", "float16": "fp16"}.get(precision)
    if flag is None or device.type != "cpu":
        return None
    if any(flag in name and has for name, has in torch.cpu.get_capabilities().items()):
        return None
    return f"{flag}: this processor has no instructions for {precision}, and converts each number; use --no-{flag}"


def cpu_cores(count: int) -> str:
    return f"CPU, {count} core{'s' if count > 1 else ''}"


def peak_memory(device: torch.device) -> float:
    """The most that was in use so far (MB): of a CUDA device, or of this process; 0 where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "win32":
        return 0.0
    import resource  # Windows has none

    unit = 1 if sys.platform == "darwin" else 1024  # Linux counts in KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
