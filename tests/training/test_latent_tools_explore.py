"""`unikat explore`, which reads a bundle only, and what the docs say of drawing an edited image."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.training.latent_models import CONDITIONS, LATENT, ROWS, described, generator
from unikat.bundle import Bundle, BundleError, read_bundle, write_bundle
from unikat.conditions import Schema
from unikat.sampling import latents
from unikat_training.cli import app
from unikat_training.graph import exported_generator, write_graph
from unikat_training.latent_tools.command import points_of
from unikat_training.latent_tools.directions import factorise, read_directions
from unikat_training.latent_tools.tools import latent_tools
from unikat_training.session import open_graph, run_graph

DOCS = Path(__file__).parents[2] / "docs" / "training.md"


def make_bundle(folder: Path, conditions: int, tools: bool = True) -> Bundle:
    """`folder`/models/my-art/1; without `tools` as bundles were before there were any."""
    rows = CONDITIONS if conditions else np.zeros((1, 0), dtype=np.float32)
    exported, model = exported_generator(generator("plain-gan", conditions), rows), described(bool(conditions))
    model.name = "my-art"
    write_graph(exported, folder / "graph")
    files: dict[str, Path | bytes] = {"generator.onnx": folder / "graph", "samples.png": b"", "MODEL_CARD.md": b""}
    if tools:
        files |= latent_tools(exported, folder / "graph", model, ROWS).files
    return write_bundle(folder / "models" / "my-art" / "1", model, files)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("explore"), 5)


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("before"), 0, tools=False)


def explore(bundle: Bundle | Path, out: Path, *arguments: str) -> Result:
    path = bundle.path if isinstance(bundle, Bundle) else bundle
    return CliRunner().invoke(app, ["explore", str(path), "--out", str(out), "--no-progress", *arguments])


def pixels(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(file))


def test_the_sheets_of_a_bundle_are_drawn_and_always_the_same(bundle: Bundle, tmp_path: Path) -> None:
    options = ("--image=7", "--image=7:3", "--where=shape=disc", "--direction=8", "--strength=2", "--steps=5")
    for name in ("one", "again"):
        result = explore(bundle, tmp_path / name, *options)
        assert result.exit_code == 0, result.output
        assert result.stdout.split() == [
            str(tmp_path / name / f"{sheet}.png") for sheet in ("directions", "interpolation")
        ]
    for sheet in ("directions.png", "interpolation.png"):
        drawn = (tmp_path / "one" / sheet).read_bytes()
        assert drawn == (tmp_path / "again" / sheet).read_bytes()
        assert drawn != (bundle.path / sheet).read_bytes()


@pytest.mark.parametrize(
    "option", ["--strength=1", "--direction=2", "--truncation=0.3", "--where=colour=red", "--image=8"]
)
def test_every_option_changes_what_is_drawn(bundle: Bundle, tmp_path: Path, option: str) -> None:
    for name, options in (("plain", ["--image=7"]), ("other", ["--image=7", option])):
        assert explore(bundle, tmp_path / name, "--steps=3", "--direction=1", *options).exit_code == 0
    plain, other = (pixels(tmp_path / name / "directions.png") for name in ("plain", "other"))
    assert not np.array_equal(plain, other)


def test_the_images_are_those_that_the_service_draws(bundle: Bundle) -> None:
    schema = Schema(bundle.model)
    first, second = points_of(bundle.model, ["7", "9:3"], ["shape=disc"])
    for point, seed, index in ((first, 7, 0), (second, 9, 3)):
        complete = schema.complete({"shape": {"disc": 1.0}}, seed, [index])
        assert np.array_equal(point.latent, latents(seed, [index], LATENT)[0])
        assert np.array_equal(point.condition, schema.vectors(complete)[0])
        assert point.name == f"image {seed}:{index}"
        assert point.described.startswith("disc ")


def test_one_image_goes_to_another_condition(bundle: Bundle, tmp_path: Path) -> None:
    alone = explore(bundle, tmp_path / "alone", "--image=7", "--steps=3")
    assert alone.stdout.split() == [str(tmp_path / "alone" / "directions.png")]
    result = explore(bundle, tmp_path / "to", "--image=7", "--steps=3", "--where=shape=disc", "--to=shape=square")
    assert (tmp_path / "to" / "interpolation.png").exists(), result.output


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--where=shap=disc", '--where shap=disc: unknown attribute "shap"; did you mean "shape"?'),
        ("--where=shape=disk", '--where shape=disk: unknown category "disk"; did you mean "disc"?'),
        ("--to=shape=disk", '--to shape=disk: unknown category "disk"; did you mean "disc"? Choose'),
        ("--to=shape", "--to shape: it needs an attribute and a category"),
        ("--direction=9", "--direction: must be 1 to 8, not 9"),
        ("--direction=0", "--direction: must be 1 to 8, not 0"),
        ("--image=x", '--image: must be SEED or SEED:INDEX, as 7 or 7:3, not "x"'),
        ("--image=7:", "--image: must be SEED or SEED:INDEX"),
        ("--image=99999999999999999999", "--image: seeds are 0 to 18446744073709551615"),
        ("--strength=nan", "--strength: must be 0.01 to 100, not nan"),
        ("--steps=4", "--steps: must be odd"),
        ("--truncation=3", "--truncation: must be 0 to 2, not 3"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_named_with_what_can(bundle: Bundle, tmp_path: Path, option: str, told: str) -> None:
    result = explore(bundle, tmp_path / "out", option)
    assert result.exit_code == 2
    assert told in re.sub(r"[\s│]+", " ", result.output)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_named(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = explore(bundle, tmp_path / "file" / "out")
    assert result.exit_code == 2
    assert "--out" in result.output


def test_a_bundle_from_before_there_were_directions_has_interpolations(before: Bundle, tmp_path: Path) -> None:
    assert read_directions(before) is None
    result = explore(before, tmp_path / "out")
    assert result.stdout.split() == [str(tmp_path / "out" / "interpolation.png")], result.output
    for options, told in ((["--direction=1"], "has no directions"), (["--image=3"], "name a second one")):
        refused = explore(before, tmp_path / "none", *options)
        assert refused.exit_code == 2
        assert told in re.sub(r"\s+", " ", refused.output)
    assert "this model has none" in explore(before, tmp_path / "none", "--where=a=b").output


def test_directions_are_read_as_they_were_written(bundle: Bundle, tmp_path: Path) -> None:
    found = read_directions(bundle)
    expected = factorise(generator("plain-gan"))
    assert found is not None
    assert np.array_equal(found.vectors, expected.vectors)
    assert found.eigenvalues == expected.eigenvalues
    copy = read_bundle(Path(shutil.copytree(bundle.path, tmp_path / "1")))
    for content in ("{", "[]", "{}", '{"format": 2}', json.dumps({"format": 1, "directions": [{"vector": [1]}]})):
        (copy.path / "directions.json").write_text(content)
        with pytest.raises(BundleError, match=r"directions\.json"):
            read_directions(copy)
        assert "bytes, but model.json says" in explore(copy.path, tmp_path / "out").output


def test_the_docs_code_draws_an_edited_image(bundle: Bundle, tmp_path: Path) -> None:
    (code,) = [
        block for block in re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.S) if "directions.json" in block
    ]
    shutil.copytree(bundle.path, tmp_path / "models" / "my-art" / "1")
    with contextlib.chdir(tmp_path):
        exec(compile(code, str(DOCS), "exec"), {})  # noqa: S102  # the docs' own code, which is what is tested
    found = read_directions(bundle)
    assert found is not None
    (point,) = points_of(bundle.model, ["7:3"], [])
    latent = (point.latent + 2.5 * found.vectors[:1].astype(np.float64)).astype(np.float32)
    expected = run_graph(open_graph(bundle.graph), latent, point.condition[None], 0.8)[0]
    edited = pixels(tmp_path / "edited.png")
    assert edited.shape == (16, 16, 3)
    assert np.abs(edited.astype(int) - expected).max() <= 1
    plain = run_graph(open_graph(bundle.graph), point.latent[None], point.condition[None], 0.8)[0]
    assert np.abs(edited.astype(int) - plain).mean() > 1
