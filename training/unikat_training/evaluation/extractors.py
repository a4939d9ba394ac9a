"""What turns pictures into features. Every figure names the features that it was measured in."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unikat_training.errors import TrainingError
from unikat_training.evaluation.mobilenet import MobileNetV2
from unikat_training.features import DEEPER_STAGES, Lite1

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Halves = npt.NDArray[np.float16]
Network = Callable[[Tensor], Floats]  # (B, 3, S, S) -> (B, D) or (B, D, h, w)

LEAST_SIDE = 64  # pixels, below which the coarsest map of a network is a single place
MOBILENET_SIDE, LITE1_SIDE, FILE_SIDE = 224, 240, 224  # pixels that they were trained at
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_DEVIATION = (0.229, 0.224, 0.225)


class FeatureExtractor(Protocol):
    """Pictures uint8 (B, H, W, 3) to float32 features (B, D), each picture by itself."""

    @property
    def name(self) -> str:
        """What figures are reported in; features of the same name are the same."""
        ...

    def __call__(self, pixels: Pixels) -> Floats: ...


class StagedFeatures:
    """Pooled features (B, D) of a network that was trained on ImageNet: what its classifier sees.

    Pictures are shown at `side`, a function of their resolution; `see` gives the features of images (B, 3, S, S) in
    [0, 1]. `stages` are the layers at whose ends `with_levels` looks, too.
    """

    def __init__(self, label: str, side: int, see: Callable[[Tensor], Tensor], stages: Iterable[nn.Module]) -> None:
        self.name, self.side, self.see = f"{label} at {side} px", side, see
        self.noted: list[Tensor] = []  # of the maps of the last pass, (B, C) each
        for stage in stages:
            stage.register_forward_hook(self.note)

    def note(self, block: nn.Module, inputs: object, maps: Tensor) -> None:
        deviation, mean = torch.std_mean(maps, dim=(2, 3), correction=0)
        self.noted += [mean, deviation]

    @torch.no_grad()
    def __call__(self, pixels: Pixels) -> Floats:
        images = resized(pixels, self.side).contiguous(memory_format=torch.channels_last)
        self.noted.clear()
        features: Floats = self.see(images).numpy()
        return features

    def with_levels(self, pixels: Pixels) -> tuple[Floats, Halves]:
        """The same, and the mean and deviation of each channel after each stage, (B, L)."""
        features = self(pixels)
        return features, torch.cat(self.noted, dim=1).half().numpy()


class MobileNetFeatures(StagedFeatures):
    """MobileNetV2's, (B, 1280), with levels (B, 1424): the default judge, whose features no discriminator here has."""

    def __init__(self, resolution: int) -> None:
        network = self.network = MobileNetV2()
        stages = (network.features[last] for last in network.stages)
        side = min(max(resolution, LEAST_SIDE), MOBILENET_SIDE)
        super().__init__("MobileNetV2", side, lambda images: network(normalised(images)), stages)


class Lite1Features(StagedFeatures):
    """EfficientNet-Lite1's, (B, 1280), with levels (B, 1568).

    A cousin of Lite0, which discriminators look through: of the same family, authors and training. Evaluations up to
    format 2 were measured in it.
    """

    def __init__(self, resolution: int) -> None:
        network = Lite1().eval()
        stages = (network.blocks[end - 1] for end in accumulate(stage.blocks for stage in DEEPER_STAGES))
        side = min(max(resolution, LEAST_SIDE), LITE1_SIDE)
        super().__init__("EfficientNet-Lite1", side, lambda images: network.pooled(network(images * 2 - 1)[-1]), stages)


def with_levels(extractor: FeatureExtractor, pixels: Pixels) -> tuple[Floats, Halves]:
    """Features (B, D), and what is seen at all levels (B, L), which of a network in a file is the same."""
    if isinstance(extractor, StagedFeatures):
        return extractor.with_levels(pixels)
    features = extractor(pixels)
    return features, features.astype(np.float16)


def normalised(images: Tensor) -> Tensor:
    """Images (B, 3, H, W) in [0, 1], by ImageNet's mean and deviation."""
    mean, deviation = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_DEVIATION))
    return (images - mean) / deviation


def resized(pixels: Pixels, side: int) -> Tensor:
    """Images (B, 3, side, side) in [0, 1], bicubic, with antialiasing where they shrink."""
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255  # (B, 3, H, H)
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, (side, side), mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)


class FileFeatures:
    """Features by a network in a file: TorchScript (.pt), or ONNX (.onnx), whose first output counts.

    `inception` is shown uint8 (B, 3, H, H), as the TorchScript of StyleGAN's authors wants it, which resizes by itself;
    everything else (B, 3, S, S), normalised by ImageNet's mean and deviation, with the S of the ONNX file's input, or
    else 224. Outputs (B, D) are the features; maps (B, D, h, w) are averaged over their places.
    """

    def __init__(self, label: str, path: Path) -> None:
        self.label, self.side = label, FILE_SIDE
        try:
            self.digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            if path.suffix == ".onnx":
                self.run, self.side = onnx_function(path)
            else:
                self.run = script_function(path, label == "inception")
        except (OSError, RuntimeError, ValueError) as error:
            raise TrainingError(f"{path}: not a TorchScript or ONNX file that can be read: {error}") from error
        except onnxruntime.capi.onnxruntime_pybind11_state.InvalidProtobuf as error:
            raise TrainingError(f"{path}: not an ONNX file: {error}") from error

    @property
    def name(self) -> str:
        return f"{self.label} ({self.digest})"

    def __call__(self, pixels: Pixels) -> Floats:
        if self.label == "inception":
            shown = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
        else:
            shown = normalised(resized(pixels, self.side))
        found = self.run(shown)
        if found.ndim == 4:
            found = found.mean(axis=(2, 3))
        if found.ndim != 2 or len(found) != len(pixels):
            raise TrainingError(f"{self.label}: gives {found.shape} for {len(pixels)} pictures, not (B, D)")
        return found.astype(np.float32)


def onnx_function(path: Path) -> tuple[Network, int]:
    """The network, and the side of the pictures that it wants."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    wanted = session.get_inputs()[0]
    side = wanted.shape[-1] if len(wanted.shape) == 4 and isinstance(wanted.shape[-1], int) else FILE_SIDE

    def run(shown: Tensor) -> Floats:
        found: Floats = session.run(None, {wanted.name: shown.numpy()})[0]
        return found

    return run, side


def script_function(path: Path, features: bool) -> Network:
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
    """ "dinov2=weights.onnx" or "weights.onnx" to its extractor. Raises TrainingError for what is no network."""
    label, _, file = spec.rpartition("=")
    path = Path(file)
    if not path.is_file():
        raise TrainingError(f"{spec!r}: must be FILE or NAME=FILE, as in dinov2=weights.onnx; there is no file {path}")
    return FileFeatures(label or path.stem, path)


def load_judge(spec: str, resolution: int) -> FeatureExtractor:
    """In whose features everything is measured: one of `JUDGES`, or what `load_extractor` takes."""
    if spec in JUDGES:
        return JUDGES[spec](resolution)
    try:
        return load_extractor(spec)
    except TrainingError as error:
        raise TrainingError(f"--judge: must be one of {', '.join(JUDGES)}, or a file: {error}") from error


JUDGES: dict[str, Callable[[int], FeatureExtractor]] = {
    "mobilenet-v2": MobileNetFeatures,
    "efficientnet-lite1": Lite1Features,
}
JUDGE = "mobilenet-v2"
JUDGE_HELP = f"In whose features everything is measured: {', '.join(JUDGES)}, or FILE or NAME=FILE (ONNX, TorchScript)."
