"""From a picture to a recipe that draws something like it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from unikat.bundle import TRAINING, Bundle
from unikat.conditions import Schema
from unikat.metadata import read_statement
from unikat.recipes.artwork import parse_link
from unikat.recipes.latents import mix_latents
from unikat.recipes.text import parse_mix
from unikat.sampling import latents
from unikat_training.cli import app
from unikat_training.export import Release, export
from unikat_training.inversion.command import Effort, invert_picture
from unikat_training.session import open_graph, run_graph

EFFORT = Effort(points=32, steps=30, progress=False)
Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def bundle(conditional_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return export(
        conditional_run, tmp_path_factory.mktemp("models") / "shapes" / "1", release=Release(originality=False)
    )


@pytest.fixture(scope="module")
def own(bundle: Bundle) -> Pixels:
    """A drawing of the bundle's, of a seed that is not searched."""
    return drawn(bundle, latents(99, [3], bundle.model.latent_size), {"shape": {"disc": 1.0}, "colour": {"red": 1.0}})


def drawn(
    bundle: Bundle, latent: np.ndarray[tuple[int, ...], np.dtype[np.float32]], where: dict[str, dict[str, float]]
) -> Pixels:
    pixels: Pixels = run_graph(open_graph(bundle.graph), latent, Schema(bundle.model).vectors([where]), 1.0)[0]
    return pixels


def invert(picture: Path, *arguments: str | Path) -> Result:
    few = ("--points", "8", "--steps", "2", "--no-progress")
    return CliRunner().invoke(app, ["invert", str(picture), *few, *map(str, arguments)])


def test_an_own_drawing_is_met_more_nearly_than_by_the_nearest_point(bundle: Bundle, own: Pixels) -> None:
    found = invert_picture(bundle, ("own.png", own), {}, EFFORT)
    assert found.optimised is not None
    before, after = found.nearest.distance, found.optimised.distance
    assert after.features < before.features
    assert after.grey_levels < before.grey_levels
    assert found.nearest.mix.place is not None
    assert found.nearest.mix.place[0] == EFFORT.seed


def test_the_recipe_draws_what_is_shown(bundle: Bundle, own: Pixels) -> None:
    found = invert_picture(bundle, ("own.png", own), {"colour": {"blue": 1.0}}, replace(EFFORT, steps=3))
    for recipe in (found.recipe, parse_link(found.recipe.link)):
        latent = mix_latents([recipe.mix], bundle.model.latent_size, {})
        where = {name: {str(category): 1.0} for name, category in recipe.where.items()}
        assert np.array_equal(drawn(bundle, latent, where), found.found.drawing)
        assert (recipe.where["colour"], recipe.truncation) == ("blue", 1.0)
        assert list(recipe.where) == ["shape", "colour"]


def test_without_training_weights_it_is_the_nearest_point(bundle: Bundle, own: Pixels, tmp_path: Path) -> None:
    shutil.copytree(bundle.path, tmp_path / "shapes" / "1")
    (tmp_path / "shapes" / "1" / TRAINING).unlink()
    Image.fromarray(own).save(tmp_path / "own.png")
    said = invert(tmp_path / "own.png", "--model", "shapes", "--models", tmp_path, "-o", tmp_path / "found.png")
    assert said.exit_code == 0, said.output
    assert "shapes@1 has no training weights here, so this is the nearest point only" in said.output
    document = json.loads((tmp_path / "found.json").read_text())
    assert document["optimised"] is None
    assert document["recipe"] == document["nearest"]["recipe"]
    assert parse_mix(document["recipe"]).place is not None
    statement = read_statement((tmp_path / "found.png").read_bytes())
    assert statement is not None
    assert statement.is_ours


def test_what_cannot_be_inverted_is_refused_by_its_flag(bundle: Bundle, own: Pixels, tmp_path: Path) -> None:
    Image.fromarray(own).save(tmp_path / "own.png")
    (tmp_path / "text.png").write_text("no picture")
    for arguments, said in (
        ((tmp_path / "own.png", "--model", "cats", "--models", tmp_path), "--model: cats is no bundle's folder"),
        ((tmp_path / "text.png", "--model", bundle.path), "text.png: not a picture that can be read"),
        ((tmp_path / "none.png", "--model", bundle.path), "none.png: No such file"),
        ((tmp_path / "own.png", "--model", bundle.path, "--where", "colour=pink"), "--where colour=pink"),
        ((tmp_path / "own.png", "--model", bundle.path, "--where", "color=red"), 'did you mean "colour"?'),
        ((tmp_path / "own.png", "--model", bundle.path, "--where", "colour"), "it needs an attribute and a category"),
        ((tmp_path / "own.png", "--model", bundle.path, "-o", "a.webp"), "--out: the name must end in .png"),
    ):
        result = invert(*arguments)
        assert result.exit_code == 2, result.output
        assert said in result.output
