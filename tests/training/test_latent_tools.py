"""What latents can be used for: directions, ways between images, mixed styles, of every preset's generator."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.latent_models import CONDITIONS, LATENT, ROWS, described, generator
from unikat.bundle import Bundle, write_bundle
from unikat.conditions import Schema
from unikat.directions import read_directions
from unikat.sampling import latents
from unikat_training.graph import ExportedGenerator, exported_generator, run_torch, write_graph
from unikat_training.latent_tools.directions import factorise
from unikat_training.latent_tools.drawing import GraphSampler
from unikat_training.latent_tools.paths import Point, between, moved, slerp
from unikat_training.latent_tools.sheets import mixed, offsets
from unikat_training.latent_tools.tools import LatentTools, latent_tools, points_of
from unikat_training.pictures import Row
from unikat_training.session import open_graph, run_graph

DOCS = Path(__file__).parents[2] / "docs" / "training.md"
PRESETS = ("projected", "r3gan", "dcgan", "plain-gan")


@dataclass(frozen=True)
class Exported:
    module: ExportedGenerator
    graph: Path
    tools: LatentTools

    @property
    def mixes(self) -> bool:
        return self.module.generator.separate_style


@pytest.fixture(scope="module", params=PRESETS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    module = exported_generator(generator(request.param), CONDITIONS)
    graph = tmp_path_factory.mktemp(request.param) / "generator.onnx"
    write_graph(module, graph)
    return Exported(module, graph, latent_tools(module, graph, described(), ROWS))


@pytest.mark.parametrize("preset", PRESETS)
@torch.no_grad()
def test_the_latent_enters_by_the_first_weights_and_nowhere_else(preset: str) -> None:
    network = generator(preset)
    latent, condition = torch.randn(4, LATENT), torch.rand(1, 5).expand(4, -1)
    before = network(latent, condition)
    assert not torch.allclose(before[0], before[1])
    for weight in network.first_weights():
        assert weight.shape[1] == LATENT
        weight.zero_()
    after = network(latent, condition)
    torch.testing.assert_close(after[1:], after[:1].expand(3, -1, -1, -1))


@pytest.mark.parametrize("preset", PRESETS)
def test_directions_are_orthonormal_in_falling_order_and_always_the_same(preset: str) -> None:
    found = factorise(generator(preset))
    np.testing.assert_allclose(found.vectors @ found.vectors.T, np.eye(LATENT), atol=1e-6)
    assert list(found.eigenvalues) == sorted(found.eigenvalues, reverse=True)
    assert np.mean(found.eigenvalues) == pytest.approx(1, abs=1e-3)
    again = factorise(generator(preset))
    assert (again.vectors.tobytes(), again.eigenvalues) == (found.vectors.tobytes(), found.eigenvalues)
    assert len(factorise(generator(preset), 3)) == 3


@pytest.mark.parametrize("preset", PRESETS)
def test_an_eigenvalue_is_how_much_the_first_weights_make_of_its_direction(preset: str) -> None:
    network = generator(preset)
    found = factorise(network)
    shares = [
        np.square(found.vectors @ weight.numpy().T).sum(axis=1) / np.square(weight.numpy()).sum()
        for weight in network.first_weights()
    ]
    np.testing.assert_allclose(LATENT * np.mean(shares, axis=0), found.eigenvalues, rtol=1e-3, atol=1e-3)


def test_the_first_direction_changes_images_more_than_the_last(exported: Exported) -> None:
    document = json.loads(exported.tools.files["directions.json"])
    strengths = [row["strength"] for row in document["directions"]]
    assert strengths[0] > strengths[-1] >= 0
    assert document["latent_strength"] > document["random_strength"] > 0


def test_every_preset_gets_its_files_and_only_a_generator_with_a_style_gets_mixing(exported: Exported) -> None:
    common = {"directions.json", "directions.png", "interpolation.png"}
    assert set(exported.tools.files) == common | ({"mixing.png"} if exported.mixes else set())
    for name, content in exported.tools.files.items():
        assert len(content) < 400_000
        assert name in exported.tools.section
        if name.endswith(".png"):
            assert min(Image.open(io.BytesIO(content)).size) > 300
    assert ("no sheet of style mixing" in exported.tools.section) is not exported.mixes
    assert "They have no names" in exported.tools.section


@pytest.mark.parametrize("exported", ["projected"], indirect=True)
def test_the_same_model_gets_the_same_bytes(exported: Exported) -> None:
    assert latent_tools(exported.module, exported.graph, described(), ROWS) == exported.tools


def test_the_ends_of_an_interpolation_and_the_middle_of_a_strip_are_the_images_themselves(exported: Exported) -> None:
    one, other, *_ = points_of(described(), ROWS)
    sampler = GraphSampler(open_graph(exported.graph), 0.8)
    plain = [run_graph(sampler.session, p.latent[None], p.condition[None], 0.8)[0] for p in (one, other)]
    way = between(one, other, 9)
    drawn = sampler.draw(way.latents, way.conditions)
    assert np.array_equal(drawn[0], plain[0])
    assert np.array_equal(drawn[-1], plain[1])
    assert len({image.tobytes() for image in drawn}) > 5  # and a way lies between
    strip = moved(one, factorise(exported.module.generator).vectors[0], offsets(4, 9))
    assert np.array_equal(sampler.draw(strip.latents, strip.conditions)[4], plain[0])


def test_points_are_images_of_the_sample_seed_under_different_conditions() -> None:
    points = points_of(described(), ROWS)
    assert np.array_equal([point.latent for point in points], latents(0, range(len(points)), LATENT))
    assert all(a.described != b.described for a, b in pairwise(points))


def test_an_arc_keeps_the_length_of_a_latent_where_a_line_would_cut_it_short() -> None:
    one, other = np.eye(LATENT, dtype=np.float32)[:2] * 3
    arc = slerp(one, other, np.linspace(0, 1, 5))
    np.testing.assert_allclose(np.linalg.norm(arc, axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(arc[2], (one + other) / 2**0.5, rtol=1e-6)
    for parallel in (one * 2, -one, one * 0):  # no arc: a line, and no number that is none
        line = slerp(one, parallel, np.linspace(0, 1, 3))
        np.testing.assert_allclose(line, [one, (one + parallel) / 2, parallel], atol=1e-6)


def test_mixing_draws_the_plain_image_where_row_and_column_are_the_same() -> None:
    exported = exported_generator(generator("projected"), CONDITIONS)
    points = points_of(described(), ROWS)[:4]
    latent, condition = (np.stack([getattr(point, name) for point in points]) for name in ("latent", "condition"))
    plain = run_torch(exported, latent, condition, 0.8)
    grid = np.stack([mixed(point, points, 0.8, exported) for point in points])  # (row, column, H, H, 3)
    for index in range(4):
        assert np.array_equal(grid[index, index], plain[index])
        assert len({image.tobytes() for image in grid[index]}) == 4  # styles differ along a row
        assert len({image.tobytes() for image in grid[:, index]}) == 4  # latents along a column


def test_a_generator_without_conditions_gets_them_too(tmp_path: Path) -> None:
    exported = exported_generator(generator("projected", conditions=0), np.zeros((1, 0), dtype=np.float32))
    write_graph(exported, tmp_path / "generator.onnx")
    nothing = np.zeros(0, dtype=np.float32)
    tools = latent_tools(exported, tmp_path / "generator.onnx", described(conditions=False), [Row("", nothing)] * 16)
    assert set(tools.files) == {"directions.json", "directions.png", "interpolation.png", "mixing.png"}
    latent = latents(0, [0, 1], LATENT)
    points = [Point(f"image {index}", each, nothing) for index, each in enumerate(latent)]
    plain = run_torch(exported, latent, np.zeros((2, 0), dtype=np.float32), 0.8)
    assert np.array_equal(mixed(points[0], points, 0.8, exported)[0], plain[0])


def bundle_in(folder: Path) -> Bundle:
    """`folder`/models/my-art/1."""
    exported, model = exported_generator(generator("plain-gan"), CONDITIONS), described()
    model.name = "my-art"
    write_graph(exported, folder / "graph")
    files: dict[str, Path | bytes] = {"generator.onnx": folder / "graph", "samples.png": b"", "MODEL_CARD.md": b""}
    files |= latent_tools(exported, folder / "graph", model, ROWS).files
    return write_bundle(folder / "models" / "my-art" / "1", model, files)


def test_the_docs_code_draws_an_image_moved_along_a_direction_as_workers_read_it(tmp_path: Path) -> None:
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "directions.json" in block
    ]
    bundle = bundle_in(tmp_path)
    found = read_directions(bundle)
    assert np.array_equal([each.vector for each in found], factorise(generator("plain-gan")).vectors)
    with contextlib.chdir(tmp_path):
        exec(compile(code, str(DOCS), "exec"), {})  # noqa: S102  # the docs' own code, which is what is tested
    schema, (place,) = Schema(bundle.model), latents(7, [3], LATENT)
    condition = schema.vectors(schema.complete({}, 7, [3]))
    latent = (place + 2.5 * found[0].vector.astype(np.float64)).astype(np.float32)[None]
    expected, plain = (run_graph(open_graph(bundle.graph), each, condition, 0.8)[0] for each in (latent, place[None]))
    edited = np.asarray(Image.open(tmp_path / "edited.png"))
    assert edited.shape == (16, 16, 3)
    assert np.abs(edited.astype(int) - expected).max() <= 1
    assert np.abs(edited.astype(int) - plain).mean() > 1
