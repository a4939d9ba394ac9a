"""What `python -m benchmarks.training` is made of; the measuring itself takes hours and is run by hand."""

from __future__ import annotations

import io
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.figures import write
from benchmarks.training import results, speed
from benchmarks.training.budget import Stopwatch, stopping_after
from benchmarks.training.comparison import GUIDE
from benchmarks.training.evaluator import Evaluator
from benchmarks.training.ours import scheduled
from benchmarks.training.peer import OnTheCpu
from benchmarks.training.race import Raced
from benchmarks.training.results import REAL, Result
from benchmarks.training.table import COLUMNS, alike, picture, table
from tests.training.evaluation.generating import PooledPixels, fresh, make_dataset, make_subject
from tests.training.making import TINY, operation, tiny, write_dataset
from unikat_training.data.dataset import Dataset, Shares
from unikat_training.evaluation.material import FeaturePipeline
from unikat_training.evaluation.settings import Effort
from unikat_training.evaluation.subject import Subject
from unikat_training.trainer import Computing

BLANK = Result(
    contender="dcgan",
    digest="sha256:d",
    minutes=10.0,
    samples=5000,
    steps=2000,
    classifier=1,
    features="features",
    trained=900,
    test=100,
    images=2560,
    images_per_second=4.2,
    frechet=31.0,
    recall=0.25,
    accuracy={"style": 0.4},
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return make_dataset(tmp_path_factory.mktemp("data") / "shapes")


@pytest.fixture(scope="module")
def good(data: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return make_subject(tmp_path_factory.mktemp("good") / "model", data, fresh(300, seed=9))


def test_a_result_is_found_by_what_it_was_measured_under_and_a_new_one_takes_its_place(tmp_path: Path) -> None:
    path = tmp_path / "emoji.jsonl"
    for each in (BLANK, replace(BLANK, contender="r3gan"), replace(BLANK, frechet=29.0)):
        results.keep(path, each)
    assert [each.contender for each in results.read(path)] == ["r3gan", "dcgan"]
    assert results.find(results.read(path), BLANK.conditions) == replace(BLANK, frechet=29.0)
    others = ({"minutes": 5.0}, {"samples": 60}, {"classifier": 2}, {"digest": "sha256:e"})
    for other in (replace(BLANK, **changed) for changed in others):
        assert results.find(results.read(path), other.conditions) is None


def test_the_table_has_real_pictures_first_and_the_best_of_each_figure_in_bold() -> None:
    real = replace(BLANK, contender=REAL, frechet=9.0, coverage=0.9, accuracy={"style": 0.95})
    plain = replace(BLANK, contender="lightweight-gan", frechet=80.0, recall=0.5, accuracy={})
    lines = table([plain, BLANK, real], ["dcgan", "lightweight-gan"])
    assert lines[0] == "|  | images shown | images/s | Fréchet distance | coverage | recall | style |"
    assert lines[2:] == [
        "| real pictures | – | – | 9.0 | 0.90 | 0.25 | 0.95 |",
        "| `dcgan` | 2,560 | 4.2 | **31.0** | – | 0.25 | **0.40** |",
        "| `lightweight-gan` | 2,560 | 4.2 | 80.0 | – | **0.50** | – |",
    ]


def test_the_guide_has_a_place_for_every_table(tmp_path: Path) -> None:
    copy = tmp_path / "training.md"
    copy.write_text(GUIDE.read_text(encoding="utf-8"), encoding="utf-8")
    for name in ("compared", "penalties", "precision"):
        write(name, [f"| measured {name} |"], copy)
        assert f"-->\n\n| measured {name} |\n\n<!-- end of {name} -->" in copy.read_text(encoding="utf-8")


def test_time_is_over_when_the_cpu_time_is_used_up_and_not_before() -> None:
    received: list[float] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(watch.seconds))
    try:
        watch = Stopwatch()
        deadline = time.monotonic() + 60
        with stopping_after(0.2):
            while not received and time.monotonic() < deadline:
                sum(range(10_000))
    finally:
        signal.signal(signal.SIGTERM, before)
    assert 0.15 < received[0] < 1.0


def test_what_is_asked_of_cuda_is_done_on_the_cpu() -> None:
    with OnTheCpu():
        moved = torch.nn.Linear(2, 2).cuda()(torch.ones(1, 2).cuda())
        assert torch.zeros([], device=torch.device("cuda:0")).device.type == moved.device.type == "cpu"


def test_a_schedule_ends_with_the_budget_and_a_preset_without_one_stays_as_it_is(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    short, long = (scheduled(tiny("r3gan", lazy=2), dataset, operation(1), seconds).decay_to for seconds in (10, 1000))
    assert 20 * short < long < 500 * short
    assert scheduled(TINY, dataset, operation(1), 10) == TINY


def test_a_model_is_measured_as_evaluation_measures_it(data: Dataset, good: Subject, tmp_path: Path) -> None:
    parts = data.split(Shares(test=0.1, together=False))
    trained, held_out = parts.trained, parts.test
    assert held_out is not None
    pipeline = FeaturePipeline([PooledPixels()], tmp_path)
    evaluator = Evaluator(
        trained,
        pipeline,
        pipeline.extract_dataset(trained),
        pipeline.extract_dataset(held_out),
        Effort(samples=120, steps=40),
    )
    limit = evaluator.limit(evaluator.blank(REAL, 10.0))
    found = evaluator.measure(good, Raced(images=640, cpu_seconds=80.0), evaluator.blank("dcgan", 10.0))
    assert (found.images, found.images_per_second, found.samples) == (640, 8.0, 120)
    assert (found.trained, found.test) == (len(trained), len(held_out))
    assert found.frechet < 5 * limit.frechet
    assert found.coverage is not None
    assert found.coverage > 0.6
    for name in ("shape", "colour"):
        assert min(found.accuracy[name], limit.accuracy[name]) > 0.6


def test_the_picture_has_a_row_of_real_pictures_and_one_of_each_model(data: Dataset, good: Subject) -> None:
    sheet = Image.open(io.BytesIO(picture(data, {"good": good, "again": good})))
    rows = np.asarray(sheet)[:-4].reshape(3, -1, sheet.width, 3)
    left = sheet.width - 6 - COLUMNS * (rows.shape[1])  # behind the names
    assert np.array_equal(rows[1, :, left:], rows[2, :, left:])
    assert not np.array_equal(rows[0, :, left:], rows[1, :, left:])


def test_the_real_pictures_beside_drawn_ones_are_of_the_same_conditions() -> None:
    labels = np.array([[0, 0], [1, 1], [1, 0], [1, 1]])
    assert alike(labels, np.array([[1, 1], [1, 1], [0, 1]])).tolist() == [1, 3, 0]
    assert alike(labels, np.zeros((2, 0), dtype=np.int64)).tolist() == [0, 1]


def test_speed_is_the_median_of_rounds_in_turn(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "shapes")
    variants = [speed.variant(TINY, dataset), speed.variant(TINY, dataset, Computing(channels_last=True))]
    assert all(0 < time_of < 1000 for time_of in speed.measured(variants, rounds=2, steps=1))
    assert [each.step for each in variants] == [3, 3]
