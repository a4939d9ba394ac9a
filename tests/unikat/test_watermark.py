from __future__ import annotations

import hashlib
import io
import json
import math
import time
import tracemalloc
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from unikat.watermark import FALSE_ALARM, MIN_PRESENCE, Watermark, code, geometry, jpeg, visibility
from unikat.watermark.chance import evidence, log_chances
from unikat.watermark.embedding import Marker, _pooled
from unikat.watermark.layout import BANDS, UNDONE, basis, carriers, halved, pooled
from unikat.watermark.matting import on_white

Pixels = NDArray[np.uint8]

KEY, OTHER = bytes(range(32)), bytes(32)
VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "watermark.json").read_text(encoding="utf-8"))
MARK = Watermark(KEY)


def digests(count: int) -> list[bytes]:
    return [hashlib.sha256(b"artwork %d" % number).digest() for number in range(count)]


@lru_cache
def drawn(height: int, width: int, count: int) -> Pixels:
    """Faces of flat colours, drawn without libraries' antialiasing: the same pixels everywhere."""
    pictures = []
    for number in range(count):
        random = np.random.Generator(np.random.Philox(number))
        picture = Image.new("RGB", (width, height), _colour(random))
        draw = ImageDraw.Draw(picture)
        for _ in range(9):
            x, y, w, h = random.uniform(0, 1, 4) * (width, height, width / 2, height / 2)
            draw.rectangle((x - w / 2, y - h / 2, x + w / 2, y + h / 2), _colour(random), outline=(20, 20, 30))
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def _colour(random: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = random.integers(0, 256, 3).tolist()
    return red, green, blue


def through(pixels: Pixels, kind: str, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def scaled(pixels: Pixels, factor: float) -> Pixels:
    size = (round(pixels.shape[1] * factor), round(pixels.shape[0] * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def noisy(pixels: Pixels) -> Pixels:
    noise = np.random.default_rng(1).normal(0, 5, pixels.shape)
    return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)


ATTACKS: dict[str, Callable[[Pixels], Pixels]] = {
    "none": lambda p: p,
    "JPEG 90": lambda p: through(p, "JPEG", 90),
    "JPEG 75": lambda p: through(p, "JPEG", 75),
    "half the size": lambda p: scaled(p, 0.5),
    "noise": noisy,
    "twice the size": lambda p: scaled(p, 2),
    "screenshot": lambda p: through(scaled(p, 3), "JPEG", 85),
    "mirrored": lambda p: p[:, ::-1],
    "crop of 5%": lambda p: p[p.shape[0] // 40 :, : -p.shape[1] // 32],
    "darker": lambda p: np.rint(p * 0.8).astype(np.uint8),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_payload_survives(attack: str) -> None:
    names = digests(3)
    for marked, digest in zip(MARK.embed(drawn(64, 64, 3), names), names, strict=True):
        found = MARK.detect(ATTACKS[attack](marked))
        assert found.payload == digest[:4]
        assert len(found.payload or b"") == 4
        assert found.found


@pytest.mark.parametrize(("size", "payload"), [(64, 4), (128, 4), (256, 8), (320, 8)])
def test_larger_pictures_carry_longer_payloads(size: int, payload: int) -> None:
    (digest,) = digests(1)
    found = MARK.detect(MARK.embed(drawn(size, size, 1), [digest])[0])
    assert found.payload == digest[:payload]
    assert len(found.payload or b"") == payload


@pytest.mark.parametrize("shape", [(64, 97), (131, 64), (67, 71), (255, 129)])
def test_pictures_of_any_shape_carry_a_payload(shape: tuple[int, int]) -> None:
    (digest,) = digests(1)
    marked = MARK.embed(drawn(*shape, 1), [digest])[0]
    assert marked.shape == (*shape, 3)
    assert MARK.detect(marked).payload == digest[:4]


@pytest.mark.parametrize("size", [28, 32, 48])
def test_a_small_picture_says_only_that_it_is_marked(size: int) -> None:
    pixels = drawn(size, size, 3)
    for plain, marked in zip(pixels, MARK.embed(pixels, digests(3)), strict=True):
        found = MARK.detect(marked)
        assert found.payload is None
        assert found.found
        assert not MARK.detect(plain).found


def test_a_tiny_picture_stays_as_it_is() -> None:
    pixels = drawn(MIN_PRESENCE - 1, 64, 1)
    assert (MARK.embed(pixels, digests(1)) == pixels).all()
    assert MARK.detect(pixels[0]).chance == 1


@pytest.mark.parametrize(("size", "channels"), [(32, 3), (64, 3), (64, 4), (128, 3), (256, 3)])
def test_a_picture_is_marked_alike_in_every_batch(size: int, channels: int) -> None:
    count = 16 if size < 128 else 4
    pixels = drawn(size, size, count)
    if channels == 4:
        alpha = np.random.default_rng(2).choice(
            np.array([0, 90, 255], np.uint8), (count, size, size, 1), p=[0.2, 0.1, 0.7]
        )
        pixels = np.concatenate([pixels, alpha], axis=3)
    names = digests(count)
    together = MARK.embed(pixels, names)
    order = np.random.default_rng(3).permutation(count)
    assert (MARK.embed(pixels[order], [names[i] for i in order]) == together[order]).all()
    for number in range(count):
        assert (MARK.embed(pixels[number : number + 1], names[number : number + 1])[0] == together[number]).all()


@pytest.mark.parametrize("size", [32, 64, 96, 128, 256, 300])
def test_products_in_float32_are_those_in_whole_numbers(size: int) -> None:
    for band in BANDS:
        rows = carriers(KEY, band).rows
        if rows > size:
            continue
        random = np.random.default_rng(size)
        cells = pooled(rows, size, Marker(carriers(KEY, band), size, size).pool)
        tables = [basis(rows, size), cells, *([halved(rows, size)] if band.hardening else [])]
        for vectors, matrix in (
            each
            for table in tables
            for each in (
                (random.choice([-table.over_pixels, 1, table.over_pixels], (40, table.table.shape[1])), table.table.T),
                (random.choice([-table.over_rows, 1, table.over_rows], (40, rows)), table.table),
            )
        ):
            exact = np.einsum("ni,ij->nj", vectors.astype(np.int64), matrix.astype(np.int64))
            assert (vectors.astype(np.float32) @ matrix == exact).all()
        assert all(table.over_pixels >= 255 for table in tables)  # whole grey levels, less their mean
        if size <= 128:
            assert all(table.over_pixels >= 2 * visibility.MOST for table in tables)


@pytest.mark.parametrize("name", VECTORS["pictures"])
def test_marked_pixels_are_those_of_the_vectors(name: str) -> None:
    height, width, channels = (int(part) for part in name.split("x"))
    assert (
        hashlib.sha256(MARK.embed(gradient(height, width, channels), digests(2)).tobytes()).hexdigest()
        == VECTORS["pictures"][name]
    )


def gradient(height: int, width: int, channels: int) -> Pixels:
    """Two pictures of whole-number arithmetic alone."""
    n, y, x, c = np.ogrid[:2, :height, :width, :channels]
    pixels = (x * (3 + c) + y * (5 - c) + (x * y // 7) * (n + 1) + 40 * (x // 9 % 2)) % 256
    if channels == 4:
        pixels[..., 3] = np.where((x + y)[..., 0] % (width // 2) < width // 8, 0, 255)
    whole: Pixels = pixels.astype(np.uint8)
    return whole


def test_code_words_are_those_of_the_vectors() -> None:
    for payload, bits in VECTORS["words"].items():
        word = code.word(bytes.fromhex(payload), len(bits))
        assert "".join(map(str, word)) == bits
        assert code.payloads(code.decode(word[None] * np.float32(2) - 1)) == [bytes.fromhex(payload)]


def test_a_code_word_survives_wrong_bits() -> None:
    random = np.random.default_rng(1)
    payloads = [random.bytes(4) for _ in range(50)]
    words = np.stack([code.word(payload, 120) for payload in payloads]) * 2.0 - 1
    soft = (words + random.normal(0, 0.8, words.shape)).astype(np.float32)
    assert ((soft > 0) != (words > 0)).sum(axis=1).mean() > 8
    assert np.mean([a == b for a, b in zip(code.payloads(code.decode(soft)), payloads, strict=True)]) > 0.9


def test_flat_colours_move_by_one_grey_level_at_most() -> None:
    flat = np.array([[[60, 90, 200]], [[255, 255, 255]], [[0, 0, 0]], [[230, 200, 40]]], np.uint8)
    pixels = np.broadcast_to(flat[:, :, None], (4, 64, 64, 3)).copy()
    moved = np.abs(MARK.embed(pixels, digests(4)).astype(int) - pixels)
    assert moved.max(axis=(1, 2, 3)).tolist() == [1, 1, 2, 1]  # black may move by two


def test_limits_are_those_of_each_pixels_surroundings() -> None:
    """Computed in whole rows at once; here pixel by pixel."""
    grey = np.random.default_rng(1).integers(100, 130, (2, 9, 11), np.uint8)
    grey[1] = np.arange(11) * 6
    padded = np.pad(grey.astype(int), ((0, 0), (2, 2), (2, 2)), mode="edge")
    found = visibility.visibility(grey)
    for n, y, x in np.ndindex(grey.shape):
        spans = [np.ptp(padded[n, y + i : y + i + 3, x + j : x + j + 3]) for i in range(3) for j in range(3)]
        beside = min(visibility.FLAT + max(max(spans) - 2, 0), visibility.BESIDE)
        uneven = 6 * max(min(spans) - 5, 0)
        black = visibility.FLAT + max(8 - int(grey[n, y, x]), 0)
        assert found[n, y, x] == max(min(beside + uneven, visibility.MOST), black)


def test_no_pixel_moves_by_more_than_its_surroundings_hide() -> None:
    pixels = drawn(64, 64, 8)
    moved = np.abs(MARK.embed(pixels, digests(8)).astype(int) - pixels).max(axis=3)
    limit = visibility.visibility(visibility.luma(visibility.planes(pixels)))
    assert (moved <= limit / visibility.FINE + 0.5).all()
    assert np.mean(moved.astype(float) ** 2) < 255**2 / 10**3.6


@pytest.mark.parametrize("pool", [2, 16, 32, 64])
def test_cells_of_any_size_have_the_mean_of_their_pixels(pool: int) -> None:
    values = np.random.default_rng(pool).integers(100, 161, (2, 2 * pool + 1, 3 * pool), dtype=np.uint16)
    cells = np.pad(values, ((0, 0), (0, pool - 1), (0, 0))).astype(float).reshape(2, 3, pool, 3, pool)
    assert np.array_equal(_pooled(values, pool), cells.mean(axis=(2, 4)).astype(np.float32))


def test_unmarked_pictures_have_no_mark() -> None:
    pictures = [
        *drawn(64, 64, 6),
        *drawn(256, 256, 2),
        np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8),
    ]
    for picture in pictures:
        found = MARK.detect(picture)
        assert found.payload is None
        assert not found.found


def test_another_key_finds_nothing() -> None:
    marked = MARK.embed(drawn(64, 64, 3), digests(3))
    for picture, digest in zip(marked, digests(3), strict=True):
        assert not Watermark(OTHER).detect(picture).found
        assert not Watermark(OTHER).matches(picture, digest).found


def test_a_picture_matches_its_artwork_alone() -> None:
    first, second = digests(2)
    damaged = through(MARK.embed(drawn(64, 64, 1), [first])[0], "JPEG", 40)
    assert MARK.matches(damaged, first).chance < FALSE_ALARM
    assert not MARK.matches(damaged, second).found


@pytest.mark.parametrize("weights", [(1.0,) * 40, (0.3, 0.7, 1.3, 1.7) * 10])
def test_chance_bounds_what_random_phases_give(weights: tuple[float, ...]) -> None:
    angles = np.random.default_rng(1).uniform(0, 2 * np.pi, (200_000, len(weights)))
    sums = evidence(np.cos(angles)) @ np.array(weights)
    for total in (4.0, 8.0, 12.0):
        chance = np.exp(log_chances(np.array([total]), weights)[0])
        assert (sums >= total).mean() <= chance <= 1.3 * (sums >= total).mean()


def test_jpeg_in_whole_numbers_is_libjpegs() -> None:
    grey = np.random.default_rng(1).normal(128, 30, (1, 44, 52)).cumsum(axis=2) % 256 // 1
    found = jpeg.rounded(grey.astype(np.float32))[0]
    buffer = io.BytesIO()
    Image.fromarray(grey[0].astype(np.uint8)).save(buffer, "JPEG", quality=50)
    theirs = np.asarray(Image.open(buffer)).astype(np.float64)
    assert np.abs(found - theirs).mean() < 0.05 * np.abs(theirs - grey[0]).mean()  # where a coefficient lay halfway


def test_no_sum_of_jpegs_products_is_rounded() -> None:
    extremes = np.random.default_rng(1).choice(np.array([0, 255], np.float32), (50, 64, 64))
    table = jpeg._TABLE.astype(np.int64)
    longest = 128 * 8 + math.hypot(*jpeg._STEPS.tolist()) / 2
    assert longest * np.sqrt((table * table).sum(axis=0).max()) < 2**24
    assert (jpeg.rounded(extremes)[7] == jpeg.rounded(extremes[7:8])[0]).all()


def test_a_table_of_half_the_size_sees_what_scaling_leaves() -> None:
    size = 64
    smooth = np.cos(np.pi * 9 * (np.arange(size) + 0.5) / size) * 100 + 128
    half = np.asarray(Image.fromarray(smooth[None].repeat(size, 0).astype(np.float32)).resize((32, 32), 3))[0]
    raised = 1 + UNDONE * (np.arange(25) / 32) ** 2
    expected = basis(25, 32).table @ half * raised * 2
    assert np.abs(halved(25, size).table @ smooth - expected).max() < 0.01 * np.abs(expected).max()


def sticker() -> Pixels:
    pixels = np.concatenate([drawn(64, 64, 1), np.zeros((1, 64, 64, 1), np.uint8)], axis=3)
    y, x = np.mgrid[:64, :64] - 31.5
    pixels[..., 3] = np.clip((28 - np.hypot(x, y)) * 255, 0, 255)
    return pixels


def on(colour: int, rgba: Pixels) -> Pixels:
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.rint(rgba[..., :3] * alpha + colour * (1 - alpha)).astype(np.uint8)


def test_a_sticker_keeps_its_alpha_and_what_is_not_opaque() -> None:
    pixels = sticker()
    marked = MARK.embed(pixels, digests(1))
    assert (marked[..., 3] == pixels[..., 3]).all()
    unlike = (marked != pixels).any(axis=3)
    assert unlike.any()
    assert not unlike[pixels[..., 3] < 255].any()


@pytest.mark.parametrize("background", [None, 255])
def test_a_sticker_is_found_alone_and_on_white(background: int | None) -> None:
    (digest,) = digests(1)
    marked = MARK.embed(sticker(), [digest])[0]
    assert MARK.detect(marked if background is None else on(background, marked)).payload == digest[:4]


def test_a_maze_of_background_takes_no_longer_than_its_sides_allow() -> None:
    maze = np.full((600, 600, 3), 200, np.uint8)
    maze[[0, -1]] = maze[:, [0, -1]] = 100  # the border, and one way in, 178,000 pixels long
    maze[2:-2:2, 2:-2] = maze[1, 2] = 100
    maze[3:-3:4, -3] = maze[5:-3:4, 2] = 100
    begun = time.process_time()
    white = on_white(maze)
    assert time.process_time() - begun < 8  # half a minute for all of the way
    assert white is not None
    assert (white[2, 2:-2] == 255).all()


def test_windows_of_a_long_picture_leave_no_memory_behind() -> None:
    grey = np.random.default_rng(1).integers(0, 256, (64, 8192)).astype(np.float64)
    tracemalloc.start()
    for windows in geometry.crops(*grey.shape):
        geometry.blocks(grey, 20, windows)
    left, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert left < 30e6  # bytes: tables of five lengths, not of a hundred windows


@pytest.mark.parametrize(
    ("pixels", "names", "message"),
    [
        (np.zeros((64, 64, 3), np.uint8), digests(1), "uint8 of shape"),
        (np.zeros((1, 64, 64, 2), np.uint8), digests(1), "3 or 4"),
        (np.zeros((1, 64, 64, 3), np.float32), digests(1), "not float32"),
        (np.zeros((2, 64, 64, 3), np.uint8), digests(1), "need as many digests"),
        (np.zeros((1, 64, 64, 3), np.uint8), [b"short"], "32 bytes"),
    ],
)
def test_malformed_input_is_refused(pixels: Pixels, names: list[bytes], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MARK.embed(pixels, names)


def test_a_key_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Watermark(b"short")
