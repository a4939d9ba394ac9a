"""An exported graph in ONNX Runtime on the CPU: opened, and run as a worker runs it. Needs no torch."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


def open_graph(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_graph(
    session: onnxruntime.InferenceSession,
    latent: Floats,
    condition: Floats,
    truncation: float | Floats,
    background: Floats | None = None,
) -> Pixels:
    """Images (B, H, W, 3); `condition` (B, 0) is left out. Those of a model with alpha are on white.

    `truncation` is that of all, or (B, 1). With a `background` (B, 4), which only a model with alpha takes, the images
    are (B, H, W, 4).
    """
    count = len(latent)
    inputs = {"latent": latent, "truncation": per_image(truncation, count)}
    if condition.shape[1]:
        inputs["condition"] = condition
    if has_alpha(session):
        inputs["background"] = np.full((count, 4), 1, dtype=np.float32) if background is None else background
    image: Pixels = session.run(["image"], inputs)[0]
    return image if background is not None else np.ascontiguousarray(image[..., :3])


def per_image(truncation: float | Floats, count: int) -> Floats:
    """(count, 1), of one for all or as it is."""
    return np.array(np.broadcast_to(np.asarray(truncation, dtype=np.float32), (count, 1)))


def has_alpha(session: onnxruntime.InferenceSession) -> bool:
    return any(each.name == "background" for each in session.get_inputs())
