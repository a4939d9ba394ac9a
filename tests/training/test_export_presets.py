"""Every preset's generator becomes a graph of the same kind, that draws what torch draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.training.making import tiny
from unikat.sampling import latents
from unikat_training.graph import check_graph, exported_generator, run_torch, write_graph
from unikat_training.networks.base import Generator
from unikat_training.networks.build import build_generator
from unikat_training.session import open_graph, run_graph

NAMES = ("projected", "r3gan", "dcgan", "plain-gan")
CONDITIONS = np.array([[1, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0.5, 0.5, 0, 0, 1]], dtype=np.float32)


def generator(name: str, resolution: int) -> Generator:
    """With weights that are not those of the beginning: of the residual network's blocks nothing would be seen."""
    torch.manual_seed(0)
    network = build_generator(tiny(name, resolution), resolution, 5)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        network.train()(torch.randn(8, 8), torch.rand(8, 5))  # so that the statistics of batch norms are not 0 and 1
    return network.eval()


@pytest.mark.parametrize("name", NAMES)
def test_torch_and_the_graph_agree_at_every_batch_size(name: str, tmp_path: Path) -> None:
    exported = exported_generator(generator(name, 32), CONDITIONS)
    write_graph(exported, tmp_path / "generator.onnx")
    parity = check_graph(exported, tmp_path / "generator.onnx", CONDITIONS)  # batches of 1 to 32, two truncations
    assert parity.max_grey_levels <= 1
    graph = onnx.load(tmp_path / "generator.onnx").graph
    assert {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in graph.input} == {
        "latent": 8,
        "condition": 5,
        "truncation": 1,
    }
    assert not {node.op_type for node in graph.node} & {"RandomNormal", "RandomUniform", "Dropout"}
    drawn = run_graph(open_graph(tmp_path / "generator.onnx"), latents(0, range(3), 8), CONDITIONS, 1.0)
    assert drawn.shape == (3, 32, 32, 3)
    assert drawn.std() > 1  # not one grey


@pytest.mark.parametrize(
    ("name", "resolution"), [("r3gan", 64), ("dcgan", 128), ("projected", 256), ("plain-gan", 256)]
)
def test_larger_ones_are_graphs_too(name: str, resolution: int, tmp_path: Path) -> None:
    exported = exported_generator(generator(name, resolution), CONDITIONS)
    write_graph(exported, tmp_path / "generator.onnx")
    latent = latents(0, range(3), 8)
    drawn = run_graph(open_graph(tmp_path / "generator.onnx"), latent, CONDITIONS, 0.7)
    assert drawn.shape == (3, resolution, resolution, 3)
    assert np.abs(drawn.astype(int) - run_torch(exported, latent, CONDITIONS, 0.7)).max() <= 1
