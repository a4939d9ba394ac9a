"""A whole evaluation of generators whose faults are known: each fault is found, and named."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.training.evaluation.generating import (
    QUICK,
    Table,
    evaluated,
    fresh,
    make_bundle,
    make_dataset,
    make_subject,
    write_graph,
)
from tests.training.making import COLOURS, SHAPES, write_dataset
from unikat_training.cli import app
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.errors import TrainingError
from unikat_training.evaluation.evaluate import note_of
from unikat_training.evaluation.report import body, lines, markdown, metrics, titles, write_report
from unikat_training.evaluation.results import Evaluation, low_condition_accuracy
from unikat_training.evaluation.settings import Effort
from unikat_training.evaluation.sheets import Sheets

Found = tuple[Evaluation, Sheets]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def good(data: Dataset, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Of new drawings of the right kind, at two truncations."""
    subject = make_subject(tmp_path_factory.mktemp("good") / "model", data, fresh(600, seed=9), truncation=0.5)
    return evaluated(subject, data, cache)


def test_a_good_generator_is_near_the_limit_in_everything(good: Found) -> None:
    found, limit = good[0].default, good[0].limit
    assert found.similarity[0].coverage > 0.7
    assert found.similarity[0].frechet < 3 * limit.similarity[0].frechet
    assert abs(found.similarity[0].kid) < 0.02
    for each in found.condition_accuracy:
        assert each.real_accuracy > 0.8
        assert each.share > 0.85
        assert each.score > 0.75  # what is learnt from its pictures holds for real ones
    assert found.memorisation.close < 0.3
    assert low_condition_accuracy(good[0]) == []
    assert not [w for w in good[0].warnings if "copies" in w or "collapsed" in w or "too low" in w]


def test_both_truncations_are_reported(good: Found) -> None:
    assert [each.truncation for each in good[0].samples] == [1.0, 0.5]
    names = [metric.name for metric in metrics(good[0])]
    assert len(set(names)) == len(names)
    assert "condition accuracy, shape (truncation 0.5)" in names
    assert "coverage in pooled pixels (truncation 1)" in names
    assert not [name for name in names if "precision" in name]


def test_conditions_are_drawn_in_the_shares_of_the_training_pictures(good: Found) -> None:
    trained = dict(zip(SHAPES, good[0].default.condition_accuracy[0].categories, strict=True))
    total = sum(each.generated_count for each in trained.values())
    assert total == QUICK.samples
    disc = trained["disc"].generated_count / total
    assert 0.5 < disc < 0.75  # red squares are rare, so discs are more than half


def test_a_copying_generator_is_caught(data: Dataset, cache: Path, tmp_path: Path, good: Found) -> None:
    trained = data.split(Shares(test=0.1, together=False)).trained
    table = Table(trained.pixels(np.arange(len(trained))), trained.labels)
    evaluation, _ = evaluated(make_subject(tmp_path / "model", data, table), data, cache)
    found = evaluation.default.memorisation
    assert found.close == 1
    assert found.farther < 0.1
    assert found.authentic == 0
    assert found.near_copies == 1
    assert evaluation.limit.copies.near_copies > 0.8  # the control is caught, too
    assert [w for w in evaluation.warnings if "the model copies" in w]
    assert good[0].default.memorisation.authentic > 0.3


def test_a_generator_that_ignores_its_condition_is_caught(data: Dataset, cache: Path, tmp_path: Path) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9), heeded=False)
    evaluation, _ = evaluated(subject, data, cache)
    colour = evaluation.default.condition_accuracy[1]
    assert colour.accuracy == pytest.approx(1 / len(COLOURS), abs=0.12)  # chance
    assert colour.kappa_share == pytest.approx(0, abs=0.2)
    told = low_condition_accuracy(evaluation)
    assert [sentence.split(":")[0] for sentence in told] == ["shape", "colour"]
    assert "min_condition_accuracy is 0.5" in told[0]
    assert set(told) <= set(evaluation.warnings)
    green = colour.categories[COLOURS.index("green")]
    assert green.generated_mistake is not None
    assert green.generated_mistake.category in ("red", "blue")
    assert 0.15 < green.generated_mistake.share < 0.85  # of all that were asked to be green


def test_a_collapsed_class_is_named(data: Dataset, cache: Path, tmp_path: Path) -> None:
    table = fresh(600, seed=9)
    blue = np.flatnonzero(table.labels[:, 1] == COLOURS.index("blue"))
    kept = [blue[table.labels[blue, 0] == shape][0] for shape in range(len(SHAPES))]
    rows = np.concatenate([np.flatnonzero(table.labels[:, 1] != COLOURS.index("blue")), kept])
    subject = make_subject(tmp_path / "model", data, Table(table.images[rows], table.labels[rows]))
    evaluation, _ = evaluated(subject, data, cache)
    shares = {each.name: each.share for each in evaluation.default.diversity}
    assert shares.pop("colour = blue") == 0
    assert shares.pop("shape = square") < 0.75  # half of them are blue
    assert min(shares.values()) > 0.6
    (told,) = [w for w in evaluation.warnings if "collapsed" in w]
    assert "colour = blue (0.00)" in told
    assert "green" not in told


def test_what_jumps_from_one_category_to_another_is_no_blend(good: Found) -> None:
    assert {each.attribute for each in good[0].blends} == {"shape", "colour"}
    for each in good[0].blends:
        assert each.mixed == 0  # the table has no pictures in between
        assert not each.between


def test_the_same_files_give_the_same_figures(data: Dataset, cache: Path, tmp_path: Path) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9))
    once, again = (evaluated(subject, data, folder) for folder in (cache, tmp_path / "new-cache"))
    assert replace(once[0], seconds=0) == replace(again[0], seconds=0)
    assert once[1].files == again[1].files


def test_what_was_computed_of_real_pictures_is_kept_and_a_broken_file_is_made_again(
    data: Dataset, tmp_path: Path
) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9))
    first, _ = evaluated(subject, data, tmp_path / "cache")
    kept = sorted((tmp_path / "cache").iterdir())
    assert [path.name.split("-")[0] for path in kept] == ["classifier", "pictures"]
    times = [path.stat().st_mtime_ns for path in kept]
    second, _ = evaluated(subject, data, tmp_path / "cache")
    assert [path.stat().st_mtime_ns for path in kept] == times
    for path in kept:
        path.write_bytes(path.read_bytes()[:100])
    third, _ = evaluated(subject, data, tmp_path / "cache")
    assert first.samples == second.samples == third.samples


def test_a_plain_model_is_measured_without_conditions(cache: Path, tmp_path: Path) -> None:
    plain = make_dataset(tmp_path / "plain", plain=True)
    subject = make_subject(tmp_path / "model", plain, fresh(600, seed=9))
    evaluation, sheets = evaluated(subject, plain, cache)
    assert (evaluation.default.condition_accuracy, evaluation.blends) == ((), ())
    assert [each.name for each in evaluation.default.diversity] == ["all pictures"]
    assert low_condition_accuracy(evaluation) == []
    assert sorted(sheets.files) == ["curves.png", "neighbours.png"]
    assert "Blends" not in markdown(evaluation)


def test_a_model_that_saw_the_test_pictures_is_measured_with_a_warning_everywhere(
    data: Dataset, cache: Path, tmp_path: Path
) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9), held_out=None)
    evaluation, sheets = evaluated(subject, data, cache)
    assert not evaluation.data.clean
    write_report(evaluation, sheets, tmp_path / "out")
    for name in ("evaluation.json", "evaluation.md"):
        assert "WAS TRAINED ON THE TEST PICTURES" in (tmp_path / "out" / name).read_text()


def test_another_data_set_can_be_the_test(data: Dataset, cache: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", count=90)
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9), held_out=None)
    evaluation, _ = evaluated(subject, data, cache, test=other.path)
    assert (evaluation.data.trained, evaluation.data.test, evaluation.data.clean) == (400, 90, True)


def test_references_stand_beside_every_figure(data: Dataset, cache: Path, tmp_path: Path) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9))
    worse = make_subject(tmp_path / "worse", data, fresh(600, seed=9), heeded=False)
    worse.model.name = "worse"
    evaluation, _ = evaluated(subject, data, cache, references=[worse])
    accuracy = next(line for line in lines(evaluation) if line.name == "condition accuracy, shape")
    assert accuracy.limit > 0.8
    assert accuracy.values[0] > accuracy.values[1]
    assert "| worse@1, truncation 1 |" in "\n".join(body(evaluation))
    assert low_condition_accuracy(evaluation) == []  # a reference's faults are its own


def test_what_a_reader_must_know_of_a_reference_stands_above_its_figures(
    data: Dataset, cache: Path, tmp_path: Path
) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9))
    saw = make_subject(tmp_path / "saw", data, fresh(600, seed=9), held_out=None)
    baseline = make_subject(tmp_path / "dcgan", data, fresh(600, seed=9))
    baseline.model.training.config = json.dumps({"held_out": 0.2, "preset": "dcgan"})
    elsewhere = make_subject(tmp_path / "elsewhere", data, fresh(600, seed=9))
    elsewhere.model.training.data_digest = "sha256:0"
    for number, each in enumerate((saw, baseline, elsewhere)):
        each.model.version = 2 + number
    evaluation, _ = evaluated(subject, data, cache, references=[saw, baseline, elsewhere])
    assert titles(evaluation) == [
        "table@1, truncation 1",
        "table@2 (trained on these test pictures too), truncation 1",
        "table@3 (preset dcgan), truncation 1",
        "table@4 (of other training data: it may know the test pictures), truncation 1",
    ]
    head = next(row for row in markdown(evaluation).splitlines() if row.startswith("| figure |"))
    assert all(title in head for title in titles(evaluation))
    assert note_of(saw, data, Shares(), other_test=True) == ""  # pictures of another data set were seen by none


def test_a_reference_with_other_attributes_is_refused(data: Dataset, cache: Path, tmp_path: Path) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9))
    fewer = make_subject(tmp_path / "fewer", data, fresh(600, seed=9))
    del fewer.model.attributes[1]
    with pytest.raises(TrainingError, match=r"--reference: table@1 has the attributes \['shape'\], but table@1 has"):
        evaluated(subject, data, cache, references=[fewer])


def test_the_report_has_all_of_it(good: Found, tmp_path: Path) -> None:
    write_report(*good, tmp_path / "out")
    names = ["blends.png", "curves.png", "evaluation.json", "evaluation.md", "neighbours.png"]  # all pairs occur
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    document = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert document["samples"][0]["similarity"][0]["features"] == "pooled pixels"
    assert {"seeds", "versions", "seconds", "effort", "limit", "references", "warnings"} <= document.keys()
    text = (tmp_path / "out" / "evaluation.md").read_text()
    assert "Fréchet distance in pooled pixels" in text
    assert "FID" not in text
    first = text.index("| headline |")
    for name in ("KID in pooled pixels", "Fréchet distance in pooled pixels", "coverage in pooled pixels"):
        assert first < text.index(f"| {name} |") < text.index("| figure |")
    assert all(
        first < text.index(f"| condition accuracy, {a} |") < text.index("| figure |") for a in ("shape", "colour")
    )
    assert text.index("Read neither by itself") < text.index("| precision in pooled pixels |")  # with its caveat, alone
    assert text.count("precision in pooled pixels") == 1
    real = good[0].default.condition_accuracy[0].real_accuracy
    assert f"right for these shares of the {good[0].data.test:,} test pictures: shape {real:.1%} (± " in text
    assert "| real: mostly mistaken for |" in text
    for name in ("neighbours.png", "blends.png", "curves.png"):
        assert min(Image.open(io.BytesIO(good[1].files[name])).size) > 100


def test_data_that_is_not_the_models_is_refused(data: Dataset, cache: Path, tmp_path: Path) -> None:
    subject = make_subject(tmp_path / "model", data, fresh(600, seed=9))
    larger = write_dataset(tmp_path / "larger", count=60, resolution=32)
    with pytest.raises(TrainingError, match="prepare it with --size 16"):
        evaluated(subject, larger, cache)
    with pytest.raises(TrainingError, match="its attribute shape"):
        evaluated(subject, make_dataset(tmp_path / "plain", plain=True), cache)
    with pytest.raises(TrainingError, match="at least 6 are needed"):
        evaluated(subject, write_dataset(tmp_path / "small", count=40), cache)
    with pytest.raises(TrainingError, match="--samples: must be more than 5"):
        Effort(samples=3)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_a_bundle_is_evaluated_by_the_command(data: Dataset, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, data, fresh(600, seed=9))
    write_graph(tmp_path / "features.onnx", fresh(2, seed=1), conditional=False)
    options = [
        "--samples=40",
        "--steps=20",
        f"--out={tmp_path / 'out'}",
        f"--cache={tmp_path / 'cache'}",
        "--no-progress",
    ]
    result = run(bundle.path, "--dataset", data.path, *options)
    assert result.exit_code == 0, result.output
    assert "MobileNetV2 at 64 px" in (tmp_path / "out" / "evaluation.md").read_text()
    assert "Evaluation of table@1" in result.output


def test_wrong_input_is_told_in_a_line(data: Dataset, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path, data, fresh(60, seed=9))
    for arguments, told in (
        ((tmp_path, "--dataset", data.path), "model.json: cannot be read"),
        ((bundle.path, "--dataset", tmp_path / "none"), "no such folder"),
        ((bundle.path, "--dataset", data.path, "--features", "inception"), "must be FILE or NAME=FILE"),
        (
            (bundle.path, "--dataset", data.path, "--judge", "lite"),
            "must be one of mobilenet-v2, efficientnet-lite1, ",
        ),
        ((bundle.path, "--dataset", data.path, "--samples=2"), "--samples: must be more than 5"),
    ):
        result = run(*arguments)
        assert result.exit_code == 2
        assert told in re.sub(r"[\s│]+", " ", result.output)
