"""What turns pictures into features. Every figure names the features that it was measured in."""

from __future__ import annotations

import hashlib
import warnings
from itertools import accumulate
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unikat_training.errors import TrainingError
from unikat_training.features import DEEPER_STAGES, Lite1

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]

LEAST_SIDE, MOST_SIDE = 64, 240  # pixels; Lite1 was trained at 240, and below 64 its coarsest map is a single place
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)
DINO_SIDE = 224  # pixels: 16 patches of 14


class FeatureExtractor(Protocol):
    """Pictures uint8 (B, H, W, 3) to float32 features (B, D), each picture by itself."""

    @property
    def name(self) -> str:
        """What figures are reported in; features of the same name are the same."""
        ...

    def __call__(self, pixels: Pixels) -> Floats: ...


class Lite1Features:
    """EfficientNet-Lite1's pooled features, (B, 1280): what its ImageNet classifier sees.

    Not Lite0's, which discriminators look through. Pictures are shown at `side`, a function of their resolution.
    """

    def __init__(self, resolution: int) -> None:
        self.network = Lite1().eval()
        self.side = min(max(resolution, LEAST_SIDE), MOST_SIDE)
        self.noted: list[Tensor] = []  # of the maps of the last pass, (B, C) each
        for end in accumulate(stage.blocks for stage in DEEPER_STAGES):
            self.network.blocks[end - 1].register_forward_hook(self.note)

    def note(self, block: nn.Module, inputs: object, maps: Tensor) -> None:
        deviation, mean = torch.std_mean(maps, dim=(2, 3), correction=0)
        self.noted += [mean, deviation]

    @property
    def name(self) -> str:
        return f"EfficientNet-Lite1 at {self.side} px"

    @torch.no_grad()
    def __call__(self, pixels: Pixels) -> Floats:
        images = resized(pixels, self.side) * 2 - 1  # (B, 3, S, S) in [-1, 1]
        images = images.contiguous(memory_format=torch.channels_last)
        self.noted.clear()
        features: Floats = self.network.pooled(self.network(images)[-1]).numpy()
        return features

    def with_levels(self, pixels: Pixels) -> tuple[Floats, Halves]:
        """The same, and the mean and deviation of each channel after each stage, (B, 1568)."""
        features = self(pixels)
        return features, torch.cat(self.noted, dim=1).half().numpy()


def with_levels(extractor: FeatureExtractor, pixels: Pixels) -> tuple[Floats, Halves]:
    """Features (B, D), and what is seen at all levels (B, L), which of other networks than Lite1 is the same."""
    if isinstance(extractor, Lite1Features):
        return extractor.with_levels(pixels)
    features = extractor(pixels)
    return features, features.astype(np.float16)


def resized(pixels: Pixels, side: int) -> Tensor:
    """Images (B, 3, side, side) in [0, 1], bicubic, with antialiasing where they shrink."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, H)
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


class FileFeatures:
    """Features by a network in a file: TorchScript (.pt), or ONNX (.onnx), which gives (B, D) or its first output so.

    `inception` is shown uint8 (B, 3, H, H), as the TorchScript of StyleGAN's authors wants it, which resizes by itself;
    everything else what DINOv2 wants: (B, 3, 224, 224), normalised by ImageNet's mean and deviation.
    """

    def __init__(self, label: str, path: Path) -> None:
        self.label = label
        try:
            self.digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            self.run = onnx_function(path) if path.suffix == ".onnx" else script_function(path, label == "inception")
        except (OSError, RuntimeError, ValueError) as error:
            raise TrainingError(
                f"--features {label}={path}: not a TorchScript or ONNX file that can be read: {error}"
            ) from error
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf as error:
            raise TrainingError(f"--features {label}={path}: not an ONNX file: {error}") from error

    @property
    def name(self) -> str:
        return f"{self.label} ({self.digest})"

    def __call__(self, pixels: Pixels) -> Floats:
        if self.label == "inception":
            shown = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        else:
            mean, deviation = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
            shown = (resized(pixels, DINO_SIDE) - mean) / deviation
        found: Floats = self.run(shown)
        if found.ndim != 2 or len(found) != len(pixels):
            raise TrainingError(f"--features {self.label}: gives {found.shape} for {len(pixels)} pictures, not (B, D)")
        return found.astype(np.float32)


def onnx_function(path: Path) -> Any:  # noqa: ANN401  # a function of Tensor to array
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda shown: session.run(None, {name: shown.numpy()})[0]


def script_function(path: Path, features: bool) -> Any:  # noqa: ANN401  # a function of Tensor to array
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is old; it is what these weights are published as
        network = torch.jit.load(path, map_location="cpu").eval()  # type: ignore[no-untyped-call]  # torch lacks types
    options = {"return_features": True} if features else {}

    def run(shown: Tensor) -> Floats:
        with torch.no_grad():
            found: Floats = network(shown, **options).numpy()
        return found

    return run


def load_extractor(spec: str) -> FeatureExtractor:
    """ "dinov2=weights.onnx" to its extractor. Raises TrainingError for what is not NAME=FILE or no network."""
    label, equals, path = spec.partition("=")
    if not (label and equals and path):
        raise TrainingError(f"--features: must be NAME=FILE, as in dinov2=weights.onnx, not {spec!r}")
    return FileFeatures(label, Path(path))
