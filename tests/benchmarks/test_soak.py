"""The soak: a leak is seen, noise and a warm-up are not, and callers of all kinds are served."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.plots import draw_soak
from benchmarks.soak.__main__ import SLACK, read
from benchmarks.soak.load import Load
from benchmarks.soak.trend import trend
from tests.end_to_end.shop import running_shop
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle

SECONDS = np.arange(0, 3600, 5.0)
NOISE = np.random.default_rng(1).normal(0, 4, len(SECONDS))  # MiB


@pytest.mark.parametrize(
    ("level", "grows"),
    [
        (200 + NOISE, False),
        (200 + NOISE + 30 * (SECONDS % 120 < 30), False),  # a batch is closed now and then
        (200 - 100 * np.exp(-SECONDS / 300) + NOISE, False),  # a warm-up
        (200 + NOISE + SECONDS / 60 * 0.5, True),  # half a MiB a minute
        (200 + NOISE + 15 * (SECONDS // 900), True),  # 15 MiB a quarter of an hour
    ],
)
def test_a_leak_is_told_from_noise_and_a_warm_up(level: np.ndarray, grows: bool) -> None:
    assert trend(list(SECONDS), list(level), slack=8).grows is grows


def test_few_handles_more_are_no_leak_and_many_are() -> None:
    steps = SECONDS // 1200
    assert not trend(list(SECONDS), list(10 + steps), slack=2).grows
    assert trend(list(SECONDS), list(10 + 3 * steps), slack=2).grows


def test_all_kinds_of_callers_are_served_and_everything_is_read(tmp_path: Path) -> None:
    models, opened = tmp_path / "models", tmp_path / "open"
    write_tiny_bundle(models)
    opened.mkdir()
    with running_shop(models, opened) as shop:
        with Load(shop, load=1) as load:
            eventually(lambda: load.failed or len(load.done) == 5, deadline=60)
        found = read(shop)
    assert found.keys() == SLACK.keys()
    assert all(value > 0 for value in found.values())
    assert load.latencies
    assert list(opened.iterdir()) == []


def test_the_plot_has_a_panel_of_each(tmp_path: Path) -> None:
    names = [*SLACK, "minutes", "p50, ms", "p95, ms"]
    draw_soak({name: [1.0, 2.0, 3.0] for name in names}, list(SLACK), tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 0
