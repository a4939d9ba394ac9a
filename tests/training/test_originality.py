"""An index of training pictures is calibrated, measured, and written with a bundle or added to one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.tiny_model import tiny_graph, tiny_model
from tests.training.making import write_dataset
from unikat.bundle import CARD, GRAPH, MANIFEST, ORIGINALITY, SAMPLES, Bundle, digest_of, write_bundle
from unikat.conditions import Schema
from unikat.originality import Index, Neighbours
from unikat.v1.model_pb2 import TrainingRun
from unikat_training.cli import app
from unikat_training.data.dataset import IMAGES, METADATA, Dataset, Shares
from unikat_training.errors import TrainingError
from unikat_training.export import export
from unikat_training.originality import CAUGHT, REFUSED, add_originality, measure_originality

SIDE = 32
SHARES = {"held_out": 0.15, "validation": 0.15}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """800 pictures of random patches; those of discs have colours, those of squares are grey."""
    folder = tmp_path_factory.mktemp("patches") / "patches"
    written = write_dataset(folder, 800, SIDE)
    rng = np.random.default_rng(9)
    patches = rng.integers(0, 256, (800, 8, 8, 3), dtype=np.uint8)
    grey = written.labels[:, 0] == 1
    patches[grey] = patches[grey][..., :1]
    np.save(folder / IMAGES, patches.repeat(SIDE // 8, axis=1).repeat(SIDE // 8, axis=2))
    document = json.loads((folder / METADATA).read_text())
    document["digests"][IMAGES] = digest_of(folder / IMAGES)
    (folder / METADATA).write_text(json.dumps(document))
    return Dataset.load(folder)


@pytest.fixture(scope="module")
def bundle(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Of a model that was trained on it, without an index."""
    model = tiny_model("patches", size=SIDE, conditional=False)
    model.attributes.extend(attribute.message() for attribute in dataset.attributes)
    model.combinations.add(categories=[0, 0], count=1)
    model.training.CopyFrom(TrainingRun(data_digest=dataset.digest, config=json.dumps(SHARES)))
    files: dict[str, Path | bytes] = {
        GRAPH: tiny_graph(SIDE),
        SAMPLES: b"png",
        CARD: b"# patches, version 1\n\nFor tests.\n",
    }
    return write_bundle(tmp_path_factory.mktemp("models") / "patches" / "1", model, files)


@pytest.fixture(autouse=True, scope="module")
def few_copies() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("unikat_training.originality.COPIES", 24)
        yield


@pytest.fixture(scope="module")
def added(bundle: Bundle, dataset: Dataset) -> Bundle:
    return add_originality(bundle.path, dataset.path, bundle.path.parent / "2")


def test_few_held_out_pictures_are_near_and_most_damaged_copies_are_found(added: Bundle) -> None:
    figures = {metric.name: metric.value for metric in added.model.metrics}
    assert figures[REFUSED] <= 0.03
    assert figures[CAUGHT] >= 0.9


def test_an_index_is_added_as_a_later_version(bundle: Bundle, added: Bundle) -> None:
    added.verify()
    assert (added.model.name, added.model.version) == ("patches", 2)
    assert added.graph.read_bytes() == bundle.graph.read_bytes()
    card = (added.path / CARD).read_text()
    assert card.startswith("# patches, version 2\n\nThe graph is that of patches@1 (`sha256:")
    assert card.count("## Originality") == 1


def test_an_index_replaces_an_earlier_one(added: Bundle, dataset: Dataset) -> None:
    again = add_originality(added.path, dataset.path, added.path.parent / "4")
    assert (again.path / ORIGINALITY).read_bytes() == (added.path / ORIGINALITY).read_bytes()
    assert (again.path / CARD).read_text().count("## Originality") == 1
    assert len(again.model.metrics) == len(added.model.metrics)


def test_training_pictures_are_near_under_their_conditions(added: Bundle, dataset: Dataset) -> None:
    neighbours = Neighbours.of(added)
    assert neighbours is not None
    trained = dataset.split(Shares.of(SHARES)).trained
    conditions = Schema(added.model).complete_rows([{"shape": {"disc": 1.0}}] * 8, [0.5] * 8)
    found = neighbours.measure(trained.pixels(np.arange(8)), conditions)
    assert found.near.all()
    assert found.nearest.tolist() == list(range(8))


def test_another_data_set_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other").path
    with pytest.raises(TrainingError, match=r"is not what .* was trained on"):
        add_originality(bundle.path, other, bundle.path.parent / "3")


def test_other_pictures_set_the_limits_where_none_were_held_out(
    bundle: Bundle, dataset: Dataset, tmp_path: Path
) -> None:
    shutil.copytree(bundle.path, tmp_path / "patches" / "1")
    document = json.loads((bundle.path / MANIFEST).read_text())
    document["training"]["config"] = "{}"  # nothing was held out
    (tmp_path / "patches" / "1" / MANIFEST).write_text(json.dumps(document))
    whole, out = tmp_path / "patches" / "1", tmp_path / "patches" / "2"
    with pytest.raises(TrainingError, match="name others with --test"):
        add_originality(whole, dataset.path, out)
    with pytest.raises(TrainingError, match=r"draws 32 x 32, but .*small has pictures of 16 x 16"):
        add_originality(whole, dataset.path, out, write_dataset(tmp_path / "small", 8, 16).path)
    others = write_dataset(tmp_path / "others", 200, SIDE)
    done = CliRunner().invoke(
        app, ["export", str(whole), "--dataset", str(dataset.path), "--test", str(others.path), "--out", str(out)]
    )
    assert done.exit_code == 0, done.output
    found = Index.from_bytes((out / ORIGINALITY).read_bytes())
    assert len(found.pictures) == len(dataset)
    assert f"the {len(dataset)} training pictures" in (out / CARD).read_text()


def test_without_enough_held_out_pictures_there_is_no_index(conditional_run: Path, tmp_path: Path) -> None:
    assert measure_originality(write_dataset(tmp_path / "few").split(Shares(test=0.1)), has_alpha=False) is None
    exported = export(conditional_run, tmp_path / "models" / "shapes" / "1")
    assert ORIGINALITY not in {file.path for file in exported.model.files}
    assert "fewer than 100 pictures were held out" in (exported.path / CARD).read_text()
