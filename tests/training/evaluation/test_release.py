"""What export asks of evaluation: who disobeys is not published, and a card says what was measured."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.training.evaluation.generating import QUICK, PooledPixels, make_dataset
from tests.training.making import TINY, operation
from unikat.bundle import CARD, Bundle, read_bundle
from unikat.v1.model_pb2 import Model
from unikat_training.cli import app
from unikat_training.errors import TrainingError
from unikat_training.evaluation.release import previous_version, references
from unikat_training.evaluation.settings import EvaluationSettings
from unikat_training.evaluation.subject import Subject
from unikat_training.export import export
from unikat_training.loop import train


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has not learned yet what its conditions mean."""
    folder = tmp_path_factory.mktemp("untrained")
    train(make_dataset(folder / "shapes"), folder / "run", TINY, operation(8))
    return folder / "run"


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory: pytest.TempPathFactory) -> EvaluationSettings:
    return EvaluationSettings(
        cache=tmp_path_factory.mktemp("cache"), effort=QUICK, judge=PooledPixels.name, progress=False
    )


@pytest.fixture(scope="module")
def forced(untrained: Path, evaluation: EvaluationSettings, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Its bundle, shapes@2, measured and published all the same."""
    out = tmp_path_factory.mktemp("forced") / "models" / "shapes" / "2"
    return export(untrained, out, evaluation=replace(evaluation, force=True))


def test_a_model_of_low_condition_accuracy_is_not_exported(
    untrained: Path, evaluation: EvaluationSettings, tmp_path: Path
) -> None:
    out = tmp_path / "models" / "shapes" / "1"
    with pytest.raises(TrainingError, match=r"colour: condition accuracy is too low.*--force"):
        export(untrained, out, evaluation=evaluation)
    assert not out.exists()


def test_it_is_with_force_and_its_card_says_so(forced: Bundle) -> None:
    forced.verify()
    card = (forced.path / CARD).read_text()
    assert "Published with `--force`, although its condition accuracy is too low" in card
    assert "colour: condition accuracy is too low" in card
    assert card.index("| headline | real pictures |") < card.index("| KID in pooled pixels |")
    assert "| Fréchet distance in pooled pixels |" in card
    assert "precision in" not in card
    assert "![neighbours](neighbours.png)" in card
    assert "was not measured" not in card


def test_figures_and_sheets_are_part_of_the_bundle(forced: Bundle) -> None:
    files = {file.path for file in read_bundle(forced.path).model.files}
    assert {"evaluation.json", "neighbours.png", "blends.png"} <= files
    figures = {metric.name: metric for metric in forced.model.metrics}
    accuracy = figures["condition accuracy, colour (truncation 1)"]
    assert "real pictures: " in accuracy.description
    document = json.loads((forced.path / "evaluation.json").read_text())
    assert document["model"] == "shapes@2"
    assert document["samples"][0]["condition_accuracy"][1]["accuracy"] == accuracy.value
    assert figures["parity_max_grey_levels"].value <= 1


def test_the_version_before_is_measured_beside_the_new_one(
    untrained: Path, evaluation: EvaluationSettings, forced: Bundle, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    versions = tmp_path / "models" / "shapes"
    shutil.copytree(forced.path, versions / "2")
    asked = replace(evaluation, force=True)
    card = (export(untrained, versions / "4", evaluation=asked).path / CARD).read_text()
    assert (
        "| figure | real pictures (limit) | shapes@4, truncation 1 | shapes@2 (preset projected), truncation 1 |"
        in card
    )
    fifth = Subject(versions / "5", model_of(versions / "4", version=5))
    assert [each.name for each in references(fifth, asked, versions)] == ["shapes@4"]
    assert references(fifth, replace(asked, previous=False), versions) == []
    shutil.copytree(versions / "4", versions / "5")
    (versions / "5" / "generator.onnx").write_bytes(b"broken")
    assert previous_version(Subject(versions / "6", model_of(versions / "4", version=6)), versions) is None
    assert "5 is not measured beside the new version" in caplog.text


def test_a_version_before_of_another_kind_is_passed_over(forced: Bundle, caplog: pytest.LogCaptureFixture) -> None:
    versions = forced.path.parent
    model = model_of(forced.path, version=3)
    found = previous_version(Subject(versions / "3", model), versions)
    assert found is not None
    assert found.name == "shapes@2"
    third = Subject(versions / "3", model_of(forced.path, version=3))
    named = EvaluationSettings(reference=(forced.path,))
    assert [each.name for each in references(third, named, versions)] == ["shapes@2"]  # once
    del model.attributes[0].categories[1]
    assert previous_version(Subject(versions / "3", model), versions) is None
    assert "it has other attributes or another size" in caplog.text
    assert previous_version(Subject(forced.path, model_of(forced.path, version=2)), versions) is None


def model_of(bundle: Path, version: int) -> Model:
    """The manifest of a bundle, as if of another version."""
    model = read_bundle(bundle).model
    model.version = version
    return model


def test_with_too_few_pictures_to_measure_on_the_card_says_that_nothing_was_measured(
    conditional_run: Path, evaluation: EvaluationSettings, tmp_path: Path
) -> None:
    bundle = export(conditional_run, tmp_path / "models" / "shapes" / "1", evaluation=evaluation)
    card = (bundle.path / CARD).read_text()
    assert "Nothing was measured of this version" in card
    assert "at least 6 are needed" in card
    assert "The accuracy of the conditions was not measured." in card


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def test_the_command_measures_unless_it_is_told_not_to(
    untrained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    out = tmp_path / "models" / "shapes" / "1"
    refused = run(untrained, "--out", out, "--samples=40", "--steps=40", "--judge=efficientnet-lite1")
    assert refused.exit_code == 2, refused.output
    assert "is too low" in re.sub(r"[\s│]+", " ", refused.output)
    assert not out.exists()
    assert run(untrained, "--out", out, "--no-evaluate").exit_code == 0
    card = (out / CARD).read_text()
    assert "it was exported with `--no-evaluate`" in card
    assert "The quality of the images was not measured by any metric" in card
