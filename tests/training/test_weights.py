"""Weights stored as fp16: half the file, the images of the rounded weights, and a card that says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper

from tests.training.test_export_presets import CONDITIONS, NAMES, generator
from unikat.bundle import CARD
from unikat.sampling import latents
from unikat_training.errors import TrainingError
from unikat_training.export import Release, export
from unikat_training.graph import check_graph, exported_generator, run_torch, write_graph
from unikat_training.session import open_graph, run_graph
from unikat_training.weights import COMPARED, as_half, measure_rounding, round_weights


def count(path: Path, kind: int) -> int:
    """The number of values stored as this type, of tensors of two and more dimensions."""
    stored = [each for each in onnx.load(path).graph.initializer if each.data_type == kind and len(each.dims) > 1]
    return sum(int(np.prod(each.dims)) for each in stored)


@pytest.mark.parametrize("name", NAMES)
def test_a_graph_with_rounded_weights_draws_what_torch_draws_with_them(name: str, tmp_path: Path) -> None:
    exported = exported_generator(generator(name, 16), CONDITIONS)
    path = tmp_path / "generator.onnx"
    write_graph(exported, path)
    weights = count(path, TensorProto.FLOAT) - exported.centres.numel()
    rounded = round_weights(exported, path)
    assert count(path, TensorProto.FLOAT) == exported.centres.numel()  # nothing else of two dimensions is left
    assert count(path, TensorProto.FLOAT16) == weights
    parity = check_graph(rounded, path, CONDITIONS)
    assert parity.max_grey_levels <= 1
    assert parity.batch_exact
    assert parity.thread_exact
    changed = [
        name
        for (name, before), after in zip(exported.named_parameters(), rounded.parameters(), strict=True)
        if not torch.equal(before, after)
    ]
    assert changed == [name for name, values in exported.named_parameters() if values.dim() > 1]


def test_what_rounding_changes_is_measured(tmp_path: Path) -> None:
    exported = exported_generator(generator("plain-gan", 32), CONDITIONS)
    path = tmp_path / "generator.onnx"
    write_graph(exported, path)
    assert measure_rounding(exported, path, CONDITIONS).mean < 0.001  # nothing is rounded yet
    round_weights(exported, path)
    rounding = measure_rounding(exported, path, CONDITIONS)
    assert rounding.largest >= 1
    latent, condition = latents(1, range(COMPARED), 8), CONDITIONS[np.arange(COMPARED) % len(CONDITIONS)]
    session = open_graph(path)
    apart = [
        np.abs(run_graph(session, latent, condition, psi).astype(int) - run_torch(exported, latent, condition, psi))
        for psi in (1.0, 0.7)
    ]
    assert rounding.mean == np.mean(apart)
    assert [metric.value for metric in rounding.metrics()] == [rounding.largest, rounding.mean]


def test_a_weight_that_fp16_cannot_hold_is_refused(tmp_path: Path) -> None:
    network = generator("plain-gan", 32)
    exported = exported_generator(network, CONDITIONS)
    path = tmp_path / "generator.onnx"
    write_graph(exported, path)
    model = onnx.load(path)
    stored = next(each for each in model.graph.initializer if each.name == "generator.body.0.weight")
    values = numpy_helper.to_array(stored).copy()
    values[1, 1] = 7e4
    stored.CopyFrom(numpy_helper.from_array(values, stored.name))
    onnx.save(model, path)
    before = path.read_bytes()
    with pytest.raises(TrainingError, match=r"generator.body.0.weight has a value of 70000, .*--weights fp32"):
        round_weights(exported, path)
    assert path.read_bytes() == before


def test_the_largest_number_of_fp16_is_held_and_none_beyond() -> None:
    assert as_half("weight", np.array([-65504, 1e-9], dtype=np.float32)).tolist() == [-65504, 0]
    for value in (-7e4, float("inf"), float("nan")):
        with pytest.raises(TrainingError, match="weight has a value of"):
            as_half("weight", np.array([1, value], dtype=np.float32))


def test_a_bundle_is_smaller_and_its_card_says_what_it_cost(conditional_run: Path, tmp_path: Path) -> None:
    bundle = export(conditional_run, tmp_path / "models" / "shapes" / "1", release=Release(weights="fp16"))
    bundle.verify()
    figures = {metric.name: metric for metric in bundle.model.metrics}
    assert figures["parity_max_grey_levels"].value <= 1
    assert 0 < figures["fp16_mean_grey_levels"].value < 1
    card = (bundle.path / CARD).read_text()
    level = figures["fp16_max_grey_levels"].value
    assert f"fp16 weights, computed in fp32 (at most {level:g} of 255 grey levels from fp32 weights)" in card
    assert "| fp16_mean_grey_levels |" in card
    with pytest.raises(TrainingError, match="--weights: must be one of fp32, fp16, not int8"):
        Release(weights="int8")
