"""Copies of training pictures are found, and other pictures are not taken for copies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.tiny_model import tiny_graph, tiny_model
from unikat.bundle import CARD, GRAPH, ORIGINALITY, SAMPLES, Bundle, BundleError, read_bundle, write_bundle
from unikat.conditions import Schema
from unikat.originality import Calibration, Index, Neighbours
from unikat.originality.descriptor import Pixels, describe

SIDE = 64
LIMIT = 2.0


def drawings(seed: int, count: int) -> Pixels:
    """Discs and bars of random colours on white, (count, SIDE, SIDE, 3)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    out = np.full((count, SIDE, SIDE, 3), 255, np.uint8)
    for picture in out:
        for _ in range(4):
            y, x, radius = rng.integers(16, 48), rng.integers(16, 48), rng.integers(4, 14)
            picture[(rows - y) ** 2 + (columns - x) ** 2 < radius**2] = rng.integers(0, 256, 3)
        top, left = rng.integers(8, 40, 2)
        picture[top : top + 12, left : left + 6] = rng.integers(0, 256, 3)
    return out


MODEL = tiny_model(size=SIDE)
CONDITIONS = Schema(MODEL).complete_rows([{"style": {"ink": 1.0}}], [0.5])


def index(pictures: Pixels) -> Index:
    distances = np.stack([np.linspace(1, 9, 256), np.linspace(5, 13, 256)]).astype(np.float32)
    limits = np.array([LIMIT, LIMIT + 4], np.float32)
    return Index(describe(pictures), Calibration("style", {"oil": 1}, distances, limits), has_alpha=False)


@pytest.fixture(scope="module")
def training() -> Pixels:
    return drawings(1, 300)


@pytest.fixture(scope="module")
def neighbours(training: Pixels) -> Neighbours:
    return Neighbours(Index.from_bytes(index(training).to_bytes()))


@pytest.mark.parametrize("turn", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_copy_is_found_however_it_is_turned(
    neighbours: Neighbours, training: Pixels, turn: int, mirrored: bool
) -> None:
    copies = np.rot90(training[40:48, :, ::-1] if mirrored else training[40:48], turn, (1, 2))
    found = neighbours.measure(np.ascontiguousarray(copies), CONDITIONS * 8)
    assert found.nearest.tolist() == list(range(40, 48))
    assert found.distance.tolist() == [0] * 8
    assert found.percentile.tolist() == [0] * 8
    assert found.near.all()


@pytest.mark.parametrize("damage", [
    lambda picture: picture[:61, 3:],
    lambda picture: np.roll(picture, (1, -2), (0, 1)),
    lambda picture: np.clip(picture * 0.9, 0, 255).astype(np.uint8),
    lambda picture: np.clip(picture * 1.1, 0, 255).astype(np.uint8),
    lambda picture: np.asarray(Image.fromarray(picture).resize((32, 32), Image.Resampling.BICUBIC)),
    lambda picture: np.asarray(Image.fromarray(picture).resize((256, 256), Image.Resampling.BICUBIC)),
], ids=["cropped", "moved", "darker", "brighter", "halved", "enlarged"])  # fmt: skip
def test_a_damaged_copy_is_found(neighbours: Neighbours, training: Pixels, damage: Callable[[Pixels], Pixels]) -> None:
    found = neighbours.measure(np.stack([damage(each) for each in training[100:116]]), CONDITIONS * 16)
    assert (found.nearest == range(100, 116)).mean() >= 0.9
    assert found.near.mean() >= 0.9


def test_a_copy_of_grey_on_black_is_found_among_many() -> None:
    """Descriptors hold black as a step's middle, which stands out where nothing else does."""
    grey = np.repeat(drawings(7, 3000)[..., :1], 3, axis=3)
    garments = np.where(grey == 255, 0, 40 + grey // 8).astype(np.uint8)
    found = Neighbours(index(garments)).measure(garments[::30], CONDITIONS * 100)
    assert found.nearest.tolist() == list(range(0, 3000, 30))
    assert found.distance.tolist() == [0] * 100


@pytest.fixture(scope="module")
def shades() -> Neighbours:
    """Of 900 pictures: 300 drawings, and each twice more in darker colours on the same white."""
    lightest = drawings(1, 300)
    white = (lightest == 255).all(axis=3, keepdims=True)
    darker = [np.where(white, 255, np.rint(lightest / factor)).astype(np.uint8) for factor in (1.08, 1.16)]
    return Neighbours(index(np.concatenate([lightest, *darker])))


@pytest.mark.parametrize("move", [(-2, -2), (-2, 2), (2, -2), (2, 2)])
def test_a_moved_copy_is_not_looked_for_in_the_colours_of_another(
    shades: Neighbours, training: Pixels, move: tuple[int, int]
) -> None:
    down, right = (np.clip(np.arange(SIDE) + by, 0, SIDE - 1) for by in move)
    copies = training[:100, down][:, :, right]
    found = shades.measure(copies, CONDITIONS * 100)
    assert found.near.all()
    assert (found.nearest == range(100)).mean() >= 0.95  # a few are as near to another shade: brightness is fitted


def test_the_same_is_measured_in_every_batch_and_order_of_memory(neighbours: Neighbours, training: Pixels) -> None:
    drawn = np.concatenate([drawings(6, 5), training[:3]])
    together = neighbours.measure(drawn, CONDITIONS * 8)
    alone = [neighbours.measure(np.asfortranarray(drawn[i : i + 1]), CONDITIONS) for i in range(8)]
    for name in ("distance", "percentile", "near", "nearest"):
        assert [getattr(each, name)[0] for each in alone] == getattr(together, name).tolist()


def test_colours_count(neighbours: Neighbours, training: Pixels) -> None:
    swapped = np.ascontiguousarray(training[20:40, :, :, ::-1])
    assert neighbours.measure(swapped, CONDITIONS * 20).near.mean() <= 0.1


def test_a_copy_on_another_background_is_found_where_the_model_has_alpha(training: Pixels) -> None:
    has_alpha = replace(index(training), has_alpha=True)
    copies = training[50:58].copy()
    copies[(copies == 255).all(axis=3)] = (30, 60, 200)
    assert Neighbours(has_alpha).measure(copies, CONDITIONS * 8).nearest.tolist() == list(range(50, 58))


@pytest.mark.parametrize("has_alpha", [False, True])
def test_a_darker_copy_is_found_among_drawings_in_darker_colours(training: Pixels, has_alpha: bool) -> None:
    """Of a model with alpha, too: the white background is grey then, as one that somebody chose may be."""
    original = training[50]
    white = (original == 255).all(axis=2, keepdims=True)
    darker = np.rint(original * 0.9).astype(np.uint8)
    others = np.repeat(np.where(white, 255, darker)[None], 400, axis=0)
    for number, other in enumerate(others):
        top, left = divmod(number, 20)
        other[3 * top : 3 * top + 4, 3 * left : 3 * left + 4] = 90
    found = Neighbours(replace(index(np.concatenate([others, training])), has_alpha=has_alpha))
    assert found.measure(darker[None], CONDITIONS).nearest.tolist() == [450]


def test_a_copy_on_grey_is_found_where_the_model_has_alpha(training: Pixels) -> None:
    has_alpha = Neighbours(replace(index(training), has_alpha=True))
    copies = training[50:58].copy()
    copies[(copies == 255).all(axis=3)] = 230
    found = has_alpha.measure(copies, CONDITIONS * 8)
    assert found.nearest.tolist() == list(range(50, 58))
    assert found.near.all()


def test_a_sticker_is_seen_on_white(neighbours: Neighbours, training: Pixels) -> None:
    white = (training[60:64] == 255).all(axis=3, keepdims=True)
    stickers = np.concatenate([np.where(white, 0, training[60:64]), np.where(white, 0, 255)], axis=3).astype(np.uint8)
    assert neighbours.measure(stickers, CONDITIONS * 4).distance.tolist() == [0] * 4


def test_new_drawings_are_not_taken_for_copies(neighbours: Neighbours) -> None:
    found = neighbours.measure(drawings(2, 24), CONDITIONS * 24)
    assert not found.near.any()
    assert (found.distance > LIMIT).all()


@pytest.fixture
def bundle(tmp_path: Path, training: Pixels) -> Bundle:
    files: dict[str, Path | bytes] = {
        GRAPH: tiny_graph(SIDE),
        SAMPLES: b"png",
        CARD: b"card",
        ORIGINALITY: index(training).to_bytes(),
    }
    return write_bundle(tmp_path / "shapes" / "1", MODEL, files)


def test_a_bundle_carries_its_index(bundle: Bundle, training: Pixels) -> None:
    found = Neighbours.of(read_bundle(bundle.path))
    assert found is not None
    assert found.measure(training[:3], CONDITIONS * 3).nearest.tolist() == [0, 1, 2]


def test_a_bundle_without_an_index_has_none(tmp_path: Path) -> None:
    files: dict[str, Path | bytes] = {GRAPH: tiny_graph(SIDE), SAMPLES: b"png", CARD: b"card"}
    assert Neighbours.of(write_bundle(tmp_path / "shapes" / "1", MODEL, files)) is None


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data[:500] + b"X" + data[501:]])
def test_a_changed_index_is_refused(bundle: Bundle, change: Callable[[bytes], bytes]) -> None:
    file = bundle.path / ORIGINALITY
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BundleError, match=r"originality\.npz.*restore the file"):
        Neighbours.of(bundle)


@pytest.mark.parametrize("data", [b"", b"no archive", index(drawings(3, 2)).to_bytes()[:-40]])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="is no index"):
        Index.from_bytes(data)


def test_the_same_index_gives_the_same_bytes() -> None:
    assert index(drawings(4, 5)).to_bytes() == index(drawings(4, 5)).to_bytes()


def test_limits_and_percentiles_are_those_of_the_conditions(neighbours: Neighbours) -> None:
    oil, mixed = Schema(MODEL).complete_rows([{"style": {"oil": 1.0}}, {"style": {"ink": 0.4, "oil": 0.6}}], [0.5, 0.5])
    calibration = index(drawings(1, 1)).calibration
    assert [calibration.row(each) for each in (*CONDITIONS, oil, mixed)] == [0, 1, 1]
    drawn = np.repeat(drawings(5, 1), 2, axis=0)
    first, second = neighbours.measure(drawn, [*CONDITIONS, oil]).percentile
    assert first >= second


def test_other_shapes_are_refused(neighbours: Neighbours) -> None:
    with pytest.raises(ValueError, match="pixels: must be uint8"):
        neighbours.measure(np.zeros((1, 8, 8), np.uint8), CONDITIONS)
    with pytest.raises(ValueError, match="conditions: must be one for each of 2"):
        neighbours.measure(np.zeros((2, 8, 8, 3), np.uint8), CONDITIONS)
