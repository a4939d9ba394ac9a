"""Pictures with alpha, from the data set through training to the exported graph and its backgrounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tests.training.making import TINY, operation, write_dataset
from unikat.pictures import on_white
from unikat.sampling import latents
from unikat_training.batches import Batches
from unikat_training.data.dataset import Dataset
from unikat_training.errors import DatasetError
from unikat_training.export import export, load_trained
from unikat_training.graph import ALPHA_MARGIN, exported_generator, run_torch, write_graph
from unikat_training.loop import train
from unikat_training.parity import backgrounds
from unikat_training.session import has_alpha, open_graph, run_graph

Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write_dataset(tmp_path_factory.mktemp("data") / "layers", alpha=True)


@pytest.fixture(scope="module")
def run(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "layers"
    train(dataset, folder, TINY, operation(12))
    return folder


def test_a_data_set_with_alpha_is_seen_on_white_and_trained_on_as_it_is(dataset: Dataset) -> None:
    rows = np.arange(8)
    layers, pixels = dataset.layers(rows), dataset.pixels(rows)
    assert (dataset.channels, layers.shape[-1], pixels.shape[-1]) == (4, 4, 3)
    assert (pixels[layers[..., 3] == 0] == 255).all()
    full = layers[..., 3] == 255
    assert (pixels[full] == layers[full][:, :3]).all()
    assert (on_white(pixels) == pixels).all()


def test_real_pictures_of_a_step_are_on_random_colours(dataset: Dataset) -> None:
    batches = Batches(TINY, dataset, torch.Generator().manual_seed(0))
    part = batches.of_step(0, 1.0)
    assert part.background is not None
    assert part.real.shape == (4, 3, 16, 16)
    corners = part.real[:, :, 0, 0]
    torch.testing.assert_close(corners, part.background[:, :, 0, 0])
    assert len({tuple(corner.tolist()) for corner in corners}) == 4


def test_what_is_neither_rgb_nor_rgba_is_refused(dataset: Dataset, tmp_path: Path) -> None:
    text = (dataset.path / "dataset.json").read_text()
    for name, channels in (("two", "2"), ("three", "3")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "images.npy").write_bytes((dataset.path / "images.npy").read_bytes())
        (folder / "dataset.json").write_text(text.replace('"channels": 4', f'"channels": {channels}'))
    with pytest.raises(DatasetError, match="channels is 2; expected 3, or 4"):
        Dataset.load(tmp_path / "two")
    with pytest.raises(DatasetError, match=r"dataset\.json says"):
        Dataset.load(tmp_path / "three")


def test_the_bundle_takes_a_background_and_says_so(run: Path, tmp_path: Path) -> None:
    bundle = export(run, tmp_path / "models" / "layers" / "1")
    assert bundle.model.channels == 4
    session = open_graph(bundle.graph)
    assert has_alpha(session)
    assert {each.name: each.shape[1] for each in session.get_inputs()}["background"] == 4
    latent, condition = inputs(8)
    white = run_graph(session, latent, condition, 1.0)
    assert white.shape == (8, 16, 16, 3)


def inputs(count: int) -> tuple[Floats, Floats]:
    condition = np.zeros((count, 5), dtype=np.float32)
    condition[:, [0, 3]] = 1
    return latents(0, range(count), 8), condition


def test_where_nothing_is_drawn_the_background_is_exactly_the_colour_asked_for(run: Path, tmp_path: Path) -> None:
    generator = load_trained(run).generator
    with torch.no_grad():  # an alpha of 0 on the left, of 1 on the right, and in between
        generator.to_rgb.get_parameter("weight")[3] *= 40
    latent, condition = inputs(64)
    exported = exported_generator(generator, condition[:1])
    write_graph(exported, tmp_path / "graph.onnx")
    session = open_graph(tmp_path / "graph.onnx")
    levels = np.random.default_rng(0).integers(0, 256, (64, 3))
    opaque = np.concatenate([levels / 255, np.ones((64, 1))], axis=1).astype(np.float32)
    nothing = np.zeros((64, 4), dtype=np.float32)
    shown = run_graph(session, latent, condition, 1.0, opaque)
    alone = run_graph(session, latent, condition, 1.0, nothing)
    empty, full = alone[..., 3] == 0, alone[..., 3] == 255
    assert empty.mean() > 0.1
    assert full.mean() > 0.1
    assert (shown[..., 3] == 255).all()
    # an alpha that is rounded to 0 may still show through by its half grey level
    wanted = np.broadcast_to(levels[:, None, None], (64, 16, 16, 3))
    assert np.abs(shown[..., :3].astype(int) - wanted)[empty].max() <= 1
    exact = run_torch(exported, latent, condition, 1.0, opaque)
    share = (generator(torch.from_numpy(latent), torch.from_numpy(condition))[:, 3].detach().numpy() + 1) / 2
    nearly = share < ALPHA_MARGIN - 1e-4
    assert (share[nearly] > 0).any()
    assert (exact[..., :3][nearly] == wanted[nearly]).all()
    assert (shown[..., :3][nearly] == wanted[nearly]).all()
    assert (alone[..., 3][share > 1 - ALPHA_MARGIN + 1e-4] == 255).all()
    assert np.abs(shown[..., :3].astype(int) - alone[..., :3])[full].max() <= 1


def test_a_half_transparent_background_is_seen_through(run: Path) -> None:
    trained = load_trained(run)
    latent, condition = inputs(6)
    exported = exported_generator(trained.generator, condition[:1])
    behind = backgrounds(6)
    drawn = run_torch(exported, latent, condition, 1.0, behind)
    alone = run_torch(exported, latent, condition, 1.0, np.zeros((6, 4), dtype=np.float32)).astype(float) / 255
    alpha, rest = alone[..., 3:], (1 - alone[..., 3:]) * behind[:, None, None, 3:]
    mixed = (alpha * alone[..., :3] + rest * behind[:, None, None, :3]) / np.maximum(alpha + rest, 1e-9)
    expected = np.concatenate([mixed, alpha + rest], axis=-1) * 255
    assert np.abs(drawn - expected).max() < 3  # from levels that were rounded
