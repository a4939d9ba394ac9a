"""Batch sizes whose bits agree."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.tiny_model import write_tiny_bundle
from unikat_worker.buckets import Buckets, Feeds, Part, Pixels, candidate_sizes, try_sizes
from unikat_worker.device import CPU, CUDA, Device, DeviceError, choose_device, works
from unikat_worker.session import LATENT, Session, _choose_buckets
from unikat_worker.settings import DeviceName

PROBES: Feeds = {"latent": np.arange(8, dtype=np.float32)[:, None]}


def honest(feeds: Feeds) -> Pixels:
    """A row's pixels depend on the row alone."""
    return feeds["latent"].astype(np.uint8)


def moody_from_4(feeds: Feeds) -> Pixels:
    """From 4 rows on, another kernel is used, and the last bit differs."""
    return honest(feeds) + np.uint8(len(feeds["latent"]) >= 4)


def nosy(feeds: Feeds) -> Pixels:
    """The last row of a pair sees its neighbour."""
    pixels = honest(feeds)
    pixels[-1] = pixels.sum()
    return pixels


def test_candidates_are_powers_of_two_and_the_limit() -> None:
    assert candidate_sizes(1) == [1]
    assert candidate_sizes(8) == [1, 2, 4, 8]
    assert candidate_sizes(12) == [1, 2, 4, 8, 12]


def test_sizes_that_agree_are_found() -> None:
    assert try_sizes(honest, PROBES, [1, 2, 4, 8], 1.0).agreeing == {1, 2, 4, 8}
    assert try_sizes(moody_from_4, PROBES, [1, 2, 4, 8], 1.0).agreeing == {1, 2}
    assert try_sizes(nosy, PROBES, [1, 2, 4], 1.0).agreeing == {1}


def test_a_cpu_uses_the_sizes_that_agree_and_says_what_it_costs(caplog: pytest.LogCaptureFixture) -> None:
    trial = try_sizes(moody_from_4, PROBES, [1, 2, 4, 8], 1.0)
    with caplog.at_level(logging.WARNING):
        buckets = _choose_buckets(trial, choose_device(DeviceName.CPU), "tiny@1")
    assert buckets.sizes == [1, 2]
    assert not buckets.pads
    assert "bits depend on the batch size" in caplog.text
    assert "more an image" in caplog.text


def test_a_gpu_falls_back_to_one_size_for_everything(caplog: pytest.LogCaptureFixture) -> None:
    trial = try_sizes(moody_from_4, PROBES, [1, 2, 4, 8], 1.0)
    buckets = _choose_buckets(trial, Device(CUDA, threads=4, lanes=4, processor="GPU"), "tiny@1")
    assert len(buckets.sizes) == 1
    assert buckets.pads
    assert {part.size for part in buckets.parts(19)} == set(buckets.sizes)
    assert "every batch is padded" in caplog.text


def test_a_cpu_splits_and_a_gpu_pads() -> None:
    seconds = {1: 0.01, 2: 0.02, 4: 0.04}
    assert Buckets(seconds, pads=False).parts(7) == [Part(0, 4, 4), Part(4, 6, 2), Part(6, 7, 1)]
    assert Buckets(seconds, pads=True).parts(3) == [Part(0, 3, 4)]
    assert Buckets(seconds, pads=True).parts(6) == [Part(0, 4, 4), Part(4, 6, 2)]
    assert Buckets({4: 0.04}, pads=True).parts(1) == [Part(0, 1, 4)]


def test_a_batch_is_cut_to_the_time_it_may_take() -> None:
    buckets = Buckets({1: 0.01, 2: 0.02, 4: 0.04}, pads=False)
    assert [buckets.largest_within(seconds) for seconds in (0.001, 0.025, 1.0)] == [1, 2, 4]
    assert buckets.gain == pytest.approx(1.0)
    for _ in range(50):
        buckets.observe(4, 0.02)  # it was a busy moment when it was measured
    assert buckets.largest_within(0.025) == 4


@pytest.mark.parametrize("threads", [1, 2])
def test_every_count_gives_the_same_images(tmp_path: Path, threads: int) -> None:
    bundle = write_tiny_bundle(tmp_path, work=3)
    session = Session(bundle, choose_device(DeviceName.CPU, threads=threads), max_batch=16, budget=1.0)
    rng = np.random.default_rng(1)
    feeds = {
        "latent": rng.normal(size=(40, 8)).astype(np.float32),
        "condition": rng.random((40, 5)).astype(np.float32),
        "truncation": np.full((40, 1), 0.7, np.float32),
    }
    alone = np.concatenate([session.draw(cut(feeds, row, row + 1), alone=True) for row in range(40)])
    assert alone.shape == (40, 16, 16, 3)
    for count in (2, 3, 5, 16, 31, 40):
        drawn = [session.draw(cut(feeds, start, start + count)) for start in range(0, 40, count)]
        assert np.array_equal(np.concatenate(drawn), alone)


def test_padding_changes_no_image(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    session = Session(bundle, choose_device(DeviceName.CPU, threads=1), max_batch=8, budget=1.0)
    feeds = {
        "latent": np.ones((5, 8), np.float32) * np.arange(5, dtype=np.float32)[:, None],
        "condition": np.ones((5, 5), np.float32),
        "truncation": np.ones((5, 1), np.float32),
    }
    split = session.draw(feeds)
    session.buckets = Buckets({8: 0.1}, pads=True)
    assert np.array_equal(session.draw(feeds), split)


def test_cuda_that_is_not_there_is_an_error_that_says_what_to_install() -> None:
    assert works(CPU)
    if works(CUDA):
        assert choose_device(DeviceName.AUTO) == choose_device(DeviceName.CUDA)
        return
    assert choose_device(DeviceName.AUTO).provider == CPU
    with pytest.raises(DeviceError, match=r"worker-gpu|nvidia-smi"):
        choose_device(DeviceName.CUDA)


def cut(feeds: Feeds, start: int, stop: int) -> dict[str, npt.NDArray[np.float32]]:
    """Some rows."""
    assert LATENT in feeds
    return {name: values[start:stop] for name, values in feeds.items()}
