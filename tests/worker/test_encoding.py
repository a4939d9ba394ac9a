"""Encoders: bytes pinned by vectors, whatever the batch, the thread and what was encoded before; lossless formats."""

from __future__ import annotations

import io
import json
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from tests.tools.encoder_vectors import PATH
from unikat.encoders import ENCODERS, FORMAT_OF, WITH_ALPHA, newest_encoder
from unikat.v1.studio_pb2 import ImageFormat
from unikat_worker import encoding
from unikat_worker.encoding import EncoderError, Pixels, encode, verify

NAMES = sorted(FORMAT_OF)
LOSSLESS = [name for name in NAMES if FORMAT_OF[name] in WITH_ALPHA]
MODES = {1: "L", 3: "RGB", 4: "RGBA"}
VECTORS: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))


def drawings(count: int, height: int, width: int, channels: int = 3, seed: int = 1) -> Pixels:
    """Noise on flat areas: streams with long matches, short ones and literals."""
    rng = np.random.default_rng(seed)
    flat = rng.integers(0, 256, (count, 4, 4, channels), dtype=np.uint8)
    flat = flat.repeat(-(-height // 4), axis=1).repeat(-(-width // 4), axis=2)[:, :height, :width]
    noise = rng.integers(0, 4, flat.shape, dtype=np.uint8) * (rng.random(flat.shape) < 0.2)
    return (flat + noise).astype(np.uint8)


def decoded(file: bytes, channels: int) -> Pixels:
    with Image.open(io.BytesIO(file)) as image:
        image.load()  # checks the checksums
        return np.asarray(image.convert(MODES[channels])).reshape(image.height, image.width, channels)


@st.composite
def batches(draw: st.DrawFn) -> Pixels:
    shape = draw(st.tuples(*(st.integers(1, n) for n in (3, 40, 40)), st.sampled_from([1, 3, 4])))
    values = draw(st.sampled_from([st.integers(0, 255), st.sampled_from([0, 255]), st.integers(100, 103)]))
    return draw(arrays(np.uint8, shape, elements=values, fill=st.integers(0, 255)))


@pytest.mark.parametrize("name", LOSSLESS)
@settings(deadline=None, max_examples=60)
@given(pixels=batches())
def test_png_and_webp_keep_every_pixel_and_its_transparency(name: str, pixels: Pixels) -> None:
    files = encode(pixels, name)
    assert len(files) == len(pixels)
    for image, file in zip(pixels, files, strict=True):
        assert np.array_equal(decoded(file, image.shape[2]), image)


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_of_a_name_are_the_ones_of_its_vector(name: str) -> None:
    vector = VECTORS["encoders"][name]
    assert verify(name) == vector["fingerprint"]
    for channels, file in vector["files"].items():
        picture = VECTORS["pictures"][channels]
        pixels = np.frombuffer(b64decode(picture["pixels"]), np.uint8).reshape(1, *picture["shape"])
        assert encode(pixels, name) == [b64decode(file)]


def test_every_name_has_a_vector_and_an_encoder() -> None:
    assert sorted(VECTORS["encoders"]) == NAMES == sorted(encoding._ENCODERS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [(1, 1), (17, 33), (64, 64), (128, 128)])
def test_an_images_bytes_do_not_depend_on_its_batch(name: str, size: tuple[int, int]) -> None:
    pixels = drawings(8, *size)
    alone = [encode(pixels[i : i + 1], name)[0] for i in range(8)]
    assert encode(pixels, name) == alone
    assert encode(pixels[::-1], name) == alone[::-1]
    assert encode(pixels[2:5], name) == alone[2:5]
    assert encode(np.asfortranarray(pixels), name) == alone
    assert encode(pixels[:0], name) == []


@pytest.mark.parametrize("name", NAMES)
def test_threads_that_encode_together_get_the_bytes_of_one_alone(name: str) -> None:
    many = [drawings(6, 20 + 30 * k, 90, seed=k) for k in range(4)]
    expected = [encode(pixels, name) for pixels in many]
    begin = Barrier(len(many))

    def again(number: int) -> bool:
        begin.wait(timeout=30)
        return all(encode(many[number], name) == expected[number] for _ in range(10))

    with ThreadPoolExecutor(len(many)) as threads:
        assert all(threads.map(again, range(len(many))))


def test_png_streams_do_not_depend_on_what_memory_held_before() -> None:
    pixels = drawings(2, 96, 96)
    expected = encode(pixels, "png-3")
    for seed in range(50):
        encode(drawings(3, 8 + 5 * seed, 100, channels=4, seed=seed), "png-3")
        assert encode(pixels, "png-3") == expected


@pytest.mark.parametrize("name", ENCODERS[ImageFormat.IMAGE_FORMAT_JPEG])
def test_jpeg_has_colour_in_every_pixel_and_is_close(name: str) -> None:
    pixels = np.ascontiguousarray(drawings(1, 64, 64).repeat(2, axis=1).repeat(2, axis=2))
    file = encode(pixels, name)[0]
    with Image.open(io.BytesIO(file)) as image:
        assert all(component[1:3] == (1, 1) for component in image.layer)  # type: ignore[attr-defined]  # set by the reader
    assert np.abs(decoded(file, 3).astype(int) - pixels[0]).mean() < 2


@pytest.mark.parametrize("name", ENCODERS[ImageFormat.IMAGE_FORMAT_JPEG])
def test_jpeg_refuses_transparency(name: str) -> None:
    with pytest.raises(ValueError, match="ask for PNG or WebP"):
        encode(drawings(1, 8, 8, channels=4), name)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 8, 2), np.uint8), np.zeros((1, 0, 8, 3), np.uint8),
        np.zeros((1, 8, 8, 3), np.float32),
    ],
)  # fmt: skip
def test_what_is_no_batch_of_images_is_refused(pixels: Pixels) -> None:
    with pytest.raises(ValueError, match="pixels: must be uint8"):
        encode(pixels, "png-3")


def test_a_name_that_the_worker_does_not_know_is_an_error() -> None:
    with pytest.raises(EncoderError, match=r"no encoder 'png-99' in this worker \(it has png-3, .*update the worker"):
        encode(drawings(1, 8, 8), "png-99")


@pytest.mark.parametrize("name", NAMES)
def test_a_library_with_other_bytes_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "png-3" if name == "webp-2" else "webp-2"
    known = encoding._ENCODERS[name]
    changed = encoding.Encoder(encoding._ENCODERS[other].write, known.library, known.fingerprint)
    monkeypatch.setitem(encoding._ENCODERS, name, changed)
    verify.cache_clear()
    with pytest.raises(EncoderError, match=rf"{name}: \w+ [\d.]+.* gives other bytes .*constraints.txt"):
        encode(drawings(1, 8, 8), name)
    verify.cache_clear()


def test_new_jobs_get_the_newest_encoder() -> None:
    assert newest_encoder(ImageFormat.IMAGE_FORMAT_UNSPECIFIED) == newest_encoder(ImageFormat.IMAGE_FORMAT_PNG)
    for number, names in ENCODERS.items():
        assert newest_encoder(number) == names[-1]
    with pytest.raises(ValueError, match="must be one of"):
        newest_encoder(99)
