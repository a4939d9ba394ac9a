"""Triton: `tritonserver` of nvidia-pytriton's wheel with a model repository of its Python backend; gRPC.

Run as a program it writes the repository and becomes tritonserver; the models there are `TritonPythonModel` below,
which runs ONNX Runtime, a process an instance.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.work import Drawer, Job

CONFIG = """name: "%(name)s"
backend: "python"
max_batch_size: 0
input [{ name: "SEED", data_type: TYPE_UINT64, dims: [ 1 ] }]
output [{ name: "IMAGE", data_type: TYPE_UINT8, dims: [ -1 ] }]
instance_group [{ count: %(lanes)d, kind: KIND_CPU }]
"""

# Triton's stub embeds an interpreter that ignores PYTHONPATH: the model file names this environment's packages itself.
MODEL = """import sys
sys.path[:0] = %r
from benchmarks.peers.servers.triton_server import TritonPythonModel
"""


class TritonPythonModel:
    """One instance of one model: Triton calls these methods."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Load the session of the bundle whose number is the model's name."""
        job = Job.from_environment()
        self._drawer = Drawer(job.bundles[int(args["model_name"])], job.setup.threads, job.png)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Requests to PNGs."""
        import triton_python_backend_utils as pb  # Triton puts it on the path

        seeds = [int(pb.get_input_tensor_by_name(request, "SEED").as_numpy()[0]) for request in requests]
        images = [np.frombuffer(image, np.uint8) for image in self._drawer.draw(seeds)]
        return [pb.InferenceResponse(output_tensors=[pb.Tensor("IMAGE", image)]) for image in images]


def write_repository(job: Job, folder: Path) -> None:
    """A model a bundle, named by its number."""
    for number, _ in enumerate(job.bundles):
        version = folder / str(number) / "1"
        version.mkdir(parents=True)
        packages = [path for path in sys.path if path.endswith("site-packages") or path == os.getcwd()]
        (version / "model.py").write_text(MODEL % packages, encoding="utf-8")
        config = CONFIG % {"name": number, "lanes": job.setup.lanes}
        (folder / str(number) / "config.pbtxt").write_text(config, encoding="utf-8")


def main(job: Job) -> None:
    """Become tritonserver."""
    spec = find_spec("pytriton")
    assert spec is not None
    assert spec.submodule_search_locations
    home = Path(spec.submodule_search_locations[0]) / "tritonserver"
    folder = Path(tempfile.mkdtemp(prefix="bench-triton-"))
    write_repository(job, folder / "models")
    backends = folder / "backends" / "python"
    shutil.copytree(home / "backends" / "python", backends)
    stub = home / "python_backend_stubs" / f"{sys.version_info[0]}.{sys.version_info[1]}" / "triton_python_backend_stub"
    shutil.copy(stub, backends / stub.name)
    binary = home / "bin" / "tritonserver"
    program = [
        str(binary), f"--model-repository={folder}/models", f"--backend-directory={backends.parent}",
        f"--grpc-port={job.port}", "--grpc-address=127.0.0.1", "--allow-http=false", "--allow-metrics=false",
        "--log-error=true", "--log-warning=false", "--log-info=false",
    ]  # fmt: skip
    # The stub was linked for the place that it is copied from.
    os.environ["LD_LIBRARY_PATH"] = str(home.parents[1] / "nvidia_pytriton.libs")
    os.execv(binary, program)


if __name__ == "__main__":
    main(Job.from_environment())
