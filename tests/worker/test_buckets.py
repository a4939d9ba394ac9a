"""Batch sizes whose bits agree."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from unikat_worker.buckets import Buckets, Feeds, Limits, Part, Pixels, Rules, candidate_sizes, try_sizes
from unikat_worker.device import CPU, CUDA, Device, DeviceError, choose_device, works
from unikat_worker.session import LATENT, Session, _choose_buckets, _probes
from unikat_worker.settings import DeviceName

PROBES: Feeds = {"latent": np.arange(8, dtype=np.float32)[:, None]}


WIDTHS = {"latent": 8, "condition": 5, "truncation": 1}  # of the tiny model's inputs


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
    assert try_sizes(honest, PROBES, [1, 2, 4, 8], Rules(1.0)).agreeing == {1, 2, 4, 8}
    assert try_sizes(moody_from_4, PROBES, [1, 2, 4, 8], Rules(1.0)).agreeing == {1, 2}
    assert try_sizes(nosy, PROBES, [1, 2, 4], Rules(1.0)).agreeing == {1}


def test_a_cpu_uses_the_sizes_that_agree_and_says_what_it_costs(caplog: pytest.LogCaptureFixture) -> None:
    trial = try_sizes(moody_from_4, PROBES, [1, 2, 4, 8], Rules(1.0))
    with caplog.at_level(logging.WARNING):
        buckets = _choose_buckets(trial, choose_device(DeviceName.CPU), "tiny@1")
    assert buckets.sizes == [1, 2]
    assert not buckets.pads
    assert "bits depend on the batch size" in caplog.text
    assert "more an image" in caplog.text


def test_a_gpu_falls_back_to_one_size_for_everything(caplog: pytest.LogCaptureFixture) -> None:
    trial = try_sizes(moody_from_4, PROBES, [1, 2, 4, 8], Rules(1.0))
    buckets = _choose_buckets(trial, Device(CUDA, threads=4, inference_threads=4, processor="GPU"), "tiny@1")
    assert len(buckets.sizes) == 1
    assert buckets.pads
    assert {part.size for part in buckets.parts(19)} == set(buckets.sizes)
    assert "every batch is padded" in caplog.text


def busy(milliseconds: float) -> None:
    """Take that much time of the processor."""
    end = time.thread_time() + milliseconds / 1000
    while time.thread_time() < end:
        pass


class Costing:
    """A session whose batches cost `once` and `each` (ms); `sizes`: of the batches that were drawn."""

    def __init__(self, once: float, each: float) -> None:
        self._once, self._each = once, each
        self.sizes: set[int] = set()

    def __call__(self, feeds: Feeds) -> Pixels:
        count = len(feeds["latent"])
        self.sizes.add(count)
        busy(self._once + self._each * count)
        return honest(feeds)


CPU_RULES = Rules(seconds=1.0, gain=0.03, clock=time.thread_time)


def test_more_than_4_images_that_gain_nothing_end_the_trial_and_are_not_used() -> None:
    flat = Costing(once=0, each=1)
    assert set(try_sizes(flat, PROBES, [1, 2, 4, 8, 16], CPU_RULES).seconds) == {1, 2, 4}
    assert flat.sizes == {1, 2, 4, 8}


def test_a_size_that_is_slower_an_image_ends_the_trial_and_is_not_used() -> None:
    slow = Costing(once=-1, each=2)  # per image: 1.0, 1.5 ms
    assert set(try_sizes(slow, PROBES, [1, 2, 4, 8], CPU_RULES).seconds) == {1}
    assert slow.sizes == {1, 2}


def test_sizes_are_tried_up_to_the_point_of_gain() -> None:
    # Per image: 3.0, 2.0, 1.5, 1.25 ms.
    assert set(try_sizes(Costing(once=2, each=1), PROBES, [1, 2, 4, 8], CPU_RULES).seconds) == {1, 2, 4, 8}


def test_a_batch_that_would_take_too_long_is_not_tried() -> None:
    slow = Costing(once=4, each=2)  # 6, 8, 12 ms a batch, 16 where 4 images go on at the pace of a pair
    rules = replace(CPU_RULES, seconds=0.007)
    assert set(try_sizes(slow, PROBES, [1, 2, 4, 8], rules).seconds) == {1, 2}
    assert slow.sizes == {1, 2}


def test_bytes_bound_a_batch(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    device = Device(CPU, threads=1, inference_threads=1, processor="")
    free = Session(bundle, device, Limits(64, 1.0, 2**30))
    assert free.image_bytes == 16 * 16 * 3
    assert free.drawing_bytes >= free.image_bytes
    bound = Session(bundle, device, Limits(64, 1.0, 2 * free.drawing_bytes))
    assert bound.buckets.sizes[-1] <= 2
    assert Session(bundle, device, Limits(64, 1.0, 1)).buckets.sizes == [1]


def tried(session: Session, one: Feeds) -> None:
    """A lone image is drawn, and more threads are tried after it."""
    session.draw(one, alone=True)
    eventually(lambda: not session._widening.locked())


TWO_CORES = Device(CPU, threads=2, inference_threads=2, processor="")


def test_all_threads_are_tried_after_the_first_lone_image_and_not_before(tmp_path: Path) -> None:
    session = Session(write_tiny_bundle(tmp_path), TWO_CORES, Limits(4, 1.0, 2**30))
    feeds: Feeds = {name: np.ones((2, width), np.float32) for name, width in WIDTHS.items()}
    session.draw(feeds, alone=True)
    before = session.draw(cut(feeds, 0, 1))
    assert session._next_try == 0.0
    tried(session, cut(feeds, 0, 1))
    pause = session._next_try - time.monotonic()
    assert 30 < pause <= 60  # where there is no session on all threads then, it is tried once more
    tried(session, cut(feeds, 0, 1))
    assert session._next_try - time.monotonic() <= pause
    assert np.array_equal(session.draw(cut(feeds, 0, 1), alone=True), before)


def test_more_threads_whose_bits_differ_are_never_used(tmp_path: Path) -> None:
    session = Session(write_tiny_bundle(tmp_path), TWO_CORES, Limits(4, 1.0, 2**30))
    session._compare_wide(lambda feeds: session._run(feeds) ^ np.uint8(1), _probes(session.model, session.schema))
    assert session._wide is None
    assert session._next_try == float("inf")


def test_more_threads_are_used_as_long_as_they_pay(tmp_path: Path) -> None:
    session = Session(write_tiny_bundle(tmp_path, work=1000), TWO_CORES, Limits(4, 1.0, 2**30))
    one: Feeds = {name: np.ones((1, width), np.float32) for name, width in WIDTHS.items()}
    expected = session.draw(one)
    wide: list[float] = []

    def on_all_threads(feeds: Feeds) -> Pixels:
        busy(wide[-1] if wide else 0.0)
        return session._run(feeds) if not wide else expected

    session._compare_wide(on_all_threads, _probes(session.model, session.schema))
    assert session._wide is not None
    session._wide._clock = time.thread_time  # what `busy` goes by: whatever else the machine does takes no time
    narrow = 1000 * session._wide._narrow  # ms
    wide.append(narrow / 4)
    for _ in range(60):
        assert np.array_equal(session.draw(one, alone=True), expected)
    assert session._wide.pays
    wide.append(narrow * 4)
    for _ in range(60):
        assert np.array_equal(session.draw(one, alone=True), expected)
    assert not session._wide.pays


def test_a_graph_that_was_changed_is_not_taken_for_more_threads(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_tiny_bundle(tmp_path)
    session = Session(bundle, TWO_CORES, Limits(4, 1.0, 2**30))
    other = write_tiny_bundle(tmp_path, version=2, work=1)
    bundle.graph.write_bytes(other.graph.read_bytes())
    one: Feeds = {name: np.ones((1, width), np.float32) for name, width in WIDTHS.items()}
    with caplog.at_level(logging.ERROR):
        tried(session, one)
    assert session._wide is None
    assert "restore the file" in caplog.text


def test_images_are_cut_into_whole_buckets_where_one_nearly_fits() -> None:
    buckets = Buckets({1: 0.011, 2: 0.021, 4: 0.04}, pads=False)
    assert [buckets.images_within(ms / 1000) for ms in (5, 19, 27, 29, 50, 55, 65, 80)] == [0, 1, 2, 4, 4, 4, 8, 8]


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
    session = Session(bundle, choose_device(DeviceName.CPU, threads=threads), Limits(16, 1.0, 2**30))
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
    session = Session(bundle, choose_device(DeviceName.CPU, threads=1), Limits(8, 1.0, 2**30))
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
