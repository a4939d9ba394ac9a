"""Creatures and scenes: labels that are true of what is drawn, open licences, the same ones every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training.data.preparing import prepare
from unikat_training.data.colours import COLOURS, SHADES, colour_name
from unikat_training.data.creatures import KINDS, WHEEL, fetch, layers
from unikat_training.data.scenes import GENRES


def test_creatures_have_alpha_labels_and_credits(tmp_path: Path) -> None:
    result = prepare(tmp_path / "out", "creatures", "--count", "40", "--size", "32", "--jobs", "1")
    dataset = result.dataset
    assert [attribute.name for attribute in dataset.attributes] == ["kind", "colour"]
    assert dataset.attributes[0].categories == tuple(KINDS)
    assert set(dataset.attributes[1].categories) <= set(COLOURS)
    alpha = dataset.layers(np.arange(len(dataset)))[..., 3]
    assert (alpha[:, 0, 0] == 0).all()
    assert (alpha.max(axis=(1, 2)) == 255).all()
    assert {each.licence for each in dataset.sources} == {"CC-BY-3.0", "CC-BY-4.0"}
    assert all(each.origin == "robohash==2.0" and each.credit for each in dataset.sources)


def test_scenes_have_labels_and_credits(tmp_path: Path) -> None:
    dataset = prepare(tmp_path / "out", "scenes", "--count", "60", "--size", "32", "--jobs", "1").dataset
    assert dataset.channels == 3
    assert dataset.attributes[0].categories == GENRES
    assert {each.licence for each in dataset.sources} == {"CC0-1.0"}


@pytest.mark.parametrize("name", ["creatures", "scenes"])
def test_the_same_seed_draws_the_same_by_any_number_of_processes(name: str, tmp_path: Path) -> None:
    one, two, other = (
        prepare(tmp_path / out, name, "--count", "40", "--size", "16", "--jobs", jobs, "--seed", seed).dataset
        for out, jobs, seed in (("one", "1", "5"), ("two", "2", "5"), ("other", "1", "6"))
    )
    assert one.digest == two.digest != other.digest


def test_parts_are_drawn_in_robohashs_order_and_a_robots_parts_have_one_colour() -> None:
    found = layers(fetch())
    assert [layer.name for layer in found["cat"][0]] == ["00body", "01fur", "02eyes", "03mouth", "04accessories"]
    assert [layer.name for layer in found["robot"][0]] == ["01Body", "02Face", "Accessory", "Eyes", "Mouth"]
    assert len(found["robot"]) == 10
    for family in found["robot"]:
        assert len({name.split("/")[3] for layer in family for name in layer.files}) == 1


@pytest.mark.parametrize(("name", "shade"), [(name, shade) for name, shades in SHADES.items() for shade in shades])
def test_a_plain_colour_has_the_name_of_its_shade(name: str, shade: str) -> None:
    pixels = np.full((8, 8, 3), list(bytes.fromhex(shade[1:])), dtype=np.uint8)
    assert colour_name(pixels) == name


def test_what_is_not_opaque_and_a_white_ground_do_not_name_the_colour() -> None:
    pixels = np.zeros((10, 10, 4), dtype=np.uint8)
    pixels[..., :3] = [217, 43, 43]
    pixels[:2] = [79, 174, 78, 255]
    assert colour_name(pixels) == "green"
    ground = np.full((10, 10, 3), 255, dtype=np.uint8)
    ground[4:6] = [47, 111, 214]
    assert colour_name(ground) == "blue"
    ground[4:6, 4:] = 255
    assert colour_name(ground) == "white"


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / WHEEL.name).write_bytes(b"something else")
    result = prepare(tmp_path / "out", "creatures", "--cache", str(tmp_path))
    assert "is not the wheel that was looked at: delete it" in result.message
