"""What a run writes to be read: figures, curves, a report, and warnings that are loud and early."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.training.making import TINY, operation, tiny, write_dataset
from unikat_training.checkpoint import BEST, Progress, best_figure, checkpoints
from unikat_training.data.dataset import Dataset
from unikat_training.evaluation.similarity import frechet_distance
from unikat_training.loop import train
from unikat_training.metrics import WARNINGS, read_metrics, read_rows
from unikat_training.pictures import Row, choose_rows
from unikat_training.quality import RandomFrechet
from unikat_training.report import write_timelapse
from unikat_training.trainer import Trainer
from unikat_training.watch import Watch, of_condition, warnings_of_data, warnings_of_figures, warnings_of_sheet

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("read")
    config = tiny("r3gan", ada_target=0.6, lazy=2)
    train(write_dataset(folder / "shapes"), folder / "run", config, operation(32, sheet_images=8, keep=2))
    return folder / "run"


def test_every_line_has_the_figures_that_one_asks_for(run: Path) -> None:
    rows = read_metrics(run)
    assert [row["images"] for row in rows] == [4, 8, 12, 16, 20, 24, 28, 32]
    for row in rows:
        assert row["images_per_second"] > 0
        assert 50 < row["memory_mb"] < 100_000
        assert row["generator_norm"] > 0
        assert {"real", "fake", "overfitting", "augment", "learning_rate", "gamma"} <= row.keys()
    assert [row["penalty"] > 0 for row in rows] == [True, False] * 4
    assert ["random_frechet" in row for row in rows] == [False, False, True, False, True, False, True, False]


def test_tensorboard_reads_the_same_figures(run: Path) -> None:
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    rows = read_metrics(run)
    written = {event.step: event.tensor_proto.float_val[0] for event in events.Tensors("discriminator")}
    assert written == pytest.approx({row["images"]: row["discriminator"] for row in rows}, rel=1e-6)


def test_the_report_is_one_page_with_everything_in_it(run: Path) -> None:
    page = (run / "report.html").read_text()
    assert not re.search(r'(src|href)="(?!data:)', page)
    pictures = re.findall(r"data:image/(\w+);base64,([^\"]+)", page)
    assert [kind for kind, _ in pictures] == ["png", "webp", "png"]
    assert base64.b64decode(pictures[2][1]) == (run / "loss.png").read_bytes()
    for words in ("r3gan", "images_per_second", "learning_rate", "CPU, 1 core", "The best checkpoint is"):
        assert words in page


def test_the_timelapse_goes_from_the_first_sheet_to_the_last(tmp_path: Path) -> None:
    sheets = [tmp_path / f"{index}.png" for index in range(90)]
    for index, path in enumerate(sheets):
        picture = Image.new("RGB", (900 if index == 89 else 450, 60), (2 * index, 0, 255 - 2 * index))
        picture.paste("white", (4 * index, 0, 4 * index + 30, 60))  # or the format would join frames
        picture.save(path)
    write_timelapse(sheets, tmp_path / "timelapse.webp")
    with Image.open(tmp_path / "timelapse.webp") as film:
        assert film.size == (640, 43)
        assert getattr(film, "n_frames", 1) == 60
        film.seek(59)
        assert np.asarray(film.convert("RGB"))[:, :200].mean(axis=(0, 1)) == pytest.approx([178, 0, 77], abs=6)


def test_the_best_checkpoint_is_kept_beside_the_last(run: Path) -> None:
    measured = [row["random_frechet"] for row in read_metrics(run) if "random_frechet" in row]
    assert len(checkpoints(run, BEST)) == 1
    figure = best_figure(run)
    assert figure is not None
    assert figure <= min(measured)
    assert len(checkpoints(run)) == 1


def test_the_figure_of_the_best_tells_good_from_bad_and_is_the_same_each_time(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes", count=300)
    metric = RandomFrechet(dataset, None, torch.device("cpu"))
    trainer = Trainer(TINY, dataset, torch.device("cpu"))
    noise = metric.distance(trainer.average)
    assert noise == metric.distance(trainer.average)
    images = torch.from_numpy(dataset.pixels(np.arange(300))).permute(0, 3, 1, 2).float() / 127.5 - 1
    again = metric.features_of([images[150:]])
    assert frechet_distance(metric.real, again) < noise / 10


def told(tmp_path: Path, plain: bool = False, **changes: float) -> str:
    return " / ".join(warnings_of_data(write_dataset(tmp_path / "data", plain=plain), replace(TINY, **changes)))  # type: ignore[arg-type]  # numbers of both kinds


def test_labels_that_cannot_work_and_small_cells_are_told_before_the_first_step(tmp_path: Path) -> None:
    assert "pictures of (square, red): with fewer than 20" in told(tmp_path / "small")
    assert "leaves all of them out" in told(tmp_path / "dropped", condition_dropout=1.0)
    assert told(tmp_path / "plain", plain=True, condition_dropout=1.0) == ""
    dataset = write_dataset(tmp_path / "one")
    only = dataset.part(dataset.labels[:, 0] == 0)
    shape = replace(only.attributes[0], categories=("disc",), counts=only.attributes[0].counts[:1])
    single = replace(only, attributes=(shape, *only.attributes[1:]))
    assert "every picture has shape=disc" in " / ".join(warnings_of_data(single, TINY))


def rows(**figures: list[float]) -> list[dict[str, float]]:
    usual = {"discriminator": 1.0, "generator": 1.0, "overfitting": 0.5}
    count = max(len(values) for values in figures.values())
    return [{**usual, **{name: values[i] for name, values in figures.items()}} for i in range(count)]


def test_a_discriminator_that_overfits_and_losses_that_explode_are_told() -> None:
    assert warnings_of_figures(rows(overfitting=[0.5] * 20)) == {}
    assert warnings_of_figures(rows(overfitting=[1.0] * 4)) == {}
    assert "discriminator overfits" in warnings_of_figures(rows(overfitting=[0.5] * 9 + [1.0] * 5))
    assert "discriminator overfits" not in warnings_of_figures(rows(overfitting=[1.0] * 9 + [0.5]))
    assert warnings_of_figures(rows(generator=[1.0] * 12 + [15.0])) == {}
    assert "divergence" in warnings_of_figures(rows(generator=[1.0] * 12 + [-30.0]))


def sheet(dataset: Dataset, draw: str) -> dict[str, str]:
    """Warnings of a sheet that shows real pictures of each row, one of them again and again, or the first row's."""
    chosen = choose_rows(dataset)
    strips = [of_condition(dataset, row)[:12] for row in chosen]
    if draw == "one":
        strips = [strip[:1].repeat(12, axis=0) for strip in strips]
    if draw == "the same":
        strips = [strips[0]] * len(chosen)
    return warnings_of_sheet(chosen, strips, dataset)


def test_collapse_and_labels_without_effect_are_told_from_the_sheet(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes", count=200)
    assert sheet(dataset, "real") == {}
    assert sheet(dataset, "one").keys() == {"collapse"}
    assert sheet(dataset, "the same").keys() == {"labels unused"}
    plain = write_dataset(tmp_path / "plain", plain=True)
    still = plain.pixels(np.zeros(12, dtype=np.int64))
    assert "all pictures" in warnings_of_sheet([Row("", np.zeros(0, np.float32))], [still], plain)["collapse"]


def test_a_warning_is_told_once_and_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(tmp_path)
    for step in (3, 4):
        watch.tell({"collapse": "everything is the same"}, Progress(step, step * 4, 1.0))
    assert caplog.text.count("COLLAPSE (after 12 images): everything is the same") == 1
    (row,) = read_rows(tmp_path / WARNINGS)
    assert json.dumps(row) == '{"step": 3, "images": 12, "kind": "collapse", "message": "everything is the same"}'
