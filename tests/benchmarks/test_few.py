"""What `python -m benchmarks.training few` is made of; the trainings take half an hour and are run by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.training.few.course import NOTHING, PARENT, config_of, courses
from benchmarks.training.few.data import CATEGORIES, COUNTS, SIZE, STYLE, few
from benchmarks.training.few.measure import REAL, Result, table
from tests.training.making import TINY, operation, write_dataset
from unikat_training.data.build import Output, Picture, Recipe, build
from unikat_training.data.dataset import Attribute
from unikat_training.data.emoji.styles import CATALOGUE_SOURCE, STYLES
from unikat_training.data.split import group_of
from unikat_training.loop import train
from unikat_training.warm_start.parent import parent_from_run


def write_emoji(path: Path) -> None:
    """340 pictures of the style and 60 of another, whose emoji are among those; as `all_styles` makes them."""
    rng = np.random.default_rng(0)

    def pictures() -> Iterator[Picture]:
        for index in range(400):
            style, point = (STYLE, index) if index < 340 else ("noto", 2 * (index - 340))
            pixels = rng.integers(0, 256, (SIZE, SIZE, 4), dtype=np.uint8)
            labels = (style, CATEGORIES[point % 5])
            yield Picture(f"{style}/{0x1F300 + point:x} thing {point}", labels, pixels, str(index).encode())

    attributes = (Attribute("style"), Attribute("category", "", CATEGORIES))
    sources = (*(style.source for style in STYLES), CATALOGUE_SOURCE)
    build(Recipe("all", SIZE, attributes, sources, channels=4), pictures(), Output(path))


def test_smaller_sets_are_parts_of_larger_ones_and_no_test_picture_is_among_them(tmp_path: Path) -> None:
    write_emoji(tmp_path / "all")
    found = few(tmp_path)
    items = {count: set(data.items) for count, data in found.trained.items()}
    assert [len(items[count]) for count in COUNTS] == [50, 100, 300]
    assert items[50] < items[100] < items[300]
    assert len(found.test) == 40
    tested = {group_of(item) for item in found.test.items}
    assert not tested & {group_of(item) for item in found.judged.items}
    assert items[300] < set(found.judged.items)
    assert any(item.startswith("noto/") for item in found.judged.items)
    assert found.test.channels == 4
    assert [attribute.name for attribute in found.test.attributes] == ["category"]
    assert {source.name for source in found.test.sources} == {STYLE, "labels"}
    place = found.test.items.index(next(iter(found.test.items)))
    assert found.test.attributes[0].categories[found.test.labels[place, 0]] in CATEGORIES


def test_both_ways_train_networks_of_the_same_size_on_every_picture(tmp_path: Path) -> None:
    train(write_dataset(tmp_path / "shapes"), tmp_path / "run", TINY, operation(4))
    parent = parent_from_run(tmp_path / "run")
    begun, nothing = config_of(PARENT, parent, 16), config_of(NOTHING, parent, 16)
    assert (begun.preset, nothing.preset) == ("finetune", "projected")
    for name in ("width", "max_width", "fine_tap", "wide_mixing", "feature_size", "latent", "held_out", "validation"):
        assert getattr(begun, name) == getattr(nothing, name), name
    assert begun.held_out == begun.validation == 0
    assert len({course.folder for course in courses(tmp_path, 5)}) == 6


def test_the_table_has_a_line_a_training_and_what_real_pictures_reach() -> None:
    real = Result(REAL, 0, 0, 308.8, 0.0205, 0.0211, 1.0, 0.8404, 0.0, 0.016, 0.82)
    drawn = Result(PARENT, 50, 11_000, 700.2, 1.2, 0.05, 0.5, 0.4, 0.03, 0.016, 0.82, "portraits@1")
    head, rule, *lines = table([real, drawn])
    assert head.count("|") == rule.count("|") == lines[0].count("|") == 11
    assert lines == [
        "| 300 | real pictures | – | 309 | 0.021 ± 0.021 | 1.00 | 84% | – | 2% | 82% |",
        "| 50 | from portraits@1 | 11,000 | 700 | 1.200 ± 0.050 | 0.50 | 40% | 3% | 2% | 82% |",
    ]
