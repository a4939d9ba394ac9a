from __future__ import annotations

import imagehash
import numpy as np
import pytest
from PIL import Image

from unikat.likeness import Look, Looks, cropped_distance, distances
from unikat.watermark import Watermark


def picture(seed: int, size: int = 64) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """With shapes of all sizes, (size, size, 3)."""
    generator = np.random.default_rng(seed)
    layers = [np.kron(generator.integers(0, 256, (n, n, 3)), np.ones((size // n, size // n, 1))) for n in (4, 8, 16)]
    mixed: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = np.mean(layers, axis=0).astype(np.uint8)
    return mixed


def arrays(*looks: Look) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], ...]:
    return tuple(
        np.stack([np.frombuffer(part, np.uint8) for part in parts])
        for parts in zip(*((look.hash, look.colours) for look in looks), strict=True)
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_hash_is_the_one_of_imagehash(seed: int) -> None:
    """ImageHash leaves out the factor by which the first row and column differ; bits are compared with the median."""
    theirs = imagehash.phash(Image.fromarray(picture(seed)), hash_size=16).hash.reshape(-1)
    assert np.unpackbits(np.frombuffer(Look.of(picture(seed)).hash, np.uint8)).tolist() == theirs.tolist()


def test_a_marked_or_mirrored_picture_is_a_near_copy_and_another_one_is_none() -> None:
    pixels = picture(1)
    marked = Watermark(bytes(32)).embed(pixels[None], [bytes(range(32))])[0]
    found = distances(Looks.of(pixels), *arrays(Look.of(marked), Look.of(pixels[:, ::-1]), Look.of(picture(2))))
    assert [each.is_near_copy for each in found] == [True, True, False]
    assert [each.mirrored for each in found][:2] == [False, True]


def test_colours_tell_apart_what_has_the_same_shapes() -> None:
    pixels = picture(3)
    red = np.clip(pixels.astype(int) + np.array([30, -10, -20]), 0, 255).astype(np.uint8)
    (found,) = distances(Looks.of(pixels), *arrays(Look.of(red)))
    assert found.bits <= 32
    assert not found.is_near_copy


def test_a_part_is_nearer_to_its_whole_than_another_part() -> None:
    pixels = picture(4)
    part = pixels[3:62, 2:60]
    assert cropped_distance(Looks.of(part), pixels).is_near_copy
    assert not cropped_distance(Looks.of(part), picture(5)).is_near_copy
    (as_it_is,) = distances(Looks.of(part), *arrays(Look.of(pixels)))
    assert not as_it_is.is_near_copy


def test_what_is_transparent_is_seen_on_white() -> None:
    pixels = picture(6)
    sticker = np.dstack([pixels, np.full((64, 64), 255, np.uint8)])
    sticker[:32, :, 3] = 0
    white = pixels.copy()
    white[:32] = 255
    assert Look.of(sticker) == Look.of(white)
