"""`python -m benchmarks.curve.sleeping_worker ...`: a worker whose sessions sleep as long as a GPU would draw.

Everything else is the worker that people run: ONNX Runtime's session class is replaced before its program starts. The
process has one GPU: batches sleep one after another. An image is one that the model really drew, so that encoding and
bytes are real. While the file $BENCH_GPU_HOLD names exists, no batch ends.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks.work import Pixels

BATCH_MS: Final = "BENCH_GPU_BATCH_MS"
IMAGE_MS: Final = "BENCH_GPU_IMAGE_MS"
HOLD: Final = "BENCH_GPU_HOLD"

_gpu = threading.Lock()


class SleepingSession:
    """A session of a bundle: the shapes of the real one, its time by the two settings."""

    def __init__(self, real: Any) -> None:  # noqa: ANN401  (ONNX Runtime has no types)
        self._real = real
        probe = {value.name: np.ones((1, value.shape[1]), np.float32) for value in real.get_inputs()}
        self._image: Pixels = real.run(None, probe)[0]  # (1, H, W, 3)

    def run(
        self, outputs: Sequence[str] | None, feed: Mapping[str, npt.NDArray[np.float32]], *_: object
    ) -> list[Pixels]:
        """As many images as there are latents: uint8 (n, H, W, 3)."""
        count = len(feed["latent"])
        with _gpu:
            time.sleep((_number(BATCH_MS) + count * _number(IMAGE_MS)) / 1000)
            while HOLD in os.environ and Path(os.environ[HOLD]).exists():
                time.sleep(0.05)
        return [np.repeat(self._image, count, axis=0)]

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401  (what the real one says of its inputs and provider)
        return getattr(self._real, name)


def _number(name: str) -> float:
    return float(os.environ[name])


def replace_sessions() -> None:
    """From here on, sessions of bundles sleep; others (a device check) are real."""
    real_class = ort.InferenceSession

    def open_session(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401  (as ONNX Runtime's own)
        real = real_class(*arguments, **options)
        return SleepingSession(real) if any(value.name == "latent" for value in real.get_inputs()) else real

    ort.InferenceSession = open_session


if __name__ == "__main__":
    replace_sessions()
    sys.argv[0] = "unikat_worker"
    runpy.run_module("unikat_worker", run_name="__main__", alter_sys=True)
