"""The picture of benchmarks/README.md: load and workers, what calls waited for, and what two scalers would see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import pyplot as plt

from benchmarks.autoscaling.load import Call, Phase
from benchmarks.figures import percentile
from benchmarks.plots import OTHERS, OURS

if TYPE_CHECKING:
    from benchmarks.autoscaling.command import Reading

_EVERY_S = 5.0  # seconds of calls whose p95 is a point


def draw_autoscaling(readings: Sequence[Reading], calls: Sequence[Call], phases: Sequence[Phase], path: Path) -> None:
    """Three panels over the seconds of the run."""
    figure, (workers, waits, work) = plt.subplots(3, 1, figsize=(7.2, 6.0), sharex=True, layout="constrained")
    seconds = [reading.at for reading in readings]
    workers.step(seconds, [reading.workers for reading in readings], where="post", color=OURS, label="workers")
    workers.step(
        seconds, [reading.leaving for reading in readings], where="post", color="#b23a48", label="workers that leave"
    )
    begins = np.cumsum([0.0, *(phase.seconds for phase in phases)])
    rates = [*(phase.calls_per_second for phase in phases), phases[-1].calls_per_second]
    asked = workers.twinx()
    asked.step(begins, rates, where="post", color=OTHERS, linestyle="--", label="calls/s (right)")
    asked.set_ylim(bottom=0)
    workers.set_ylim(bottom=0)
    lines = [*workers.get_legend_handles_labels()[0], *asked.get_legend_handles_labels()[0]]
    workers.legend(lines, [line.get_label() for line in lines], fontsize=8)
    waits.scatter(
        [call.sent for call in calls], [call.waited for call in calls], s=1, color=OTHERS, label="a call's wait, s"
    )
    groups: dict[float, list[float]] = {}
    for call in calls:
        groups.setdefault(call.sent // _EVERY_S * _EVERY_S, []).append(call.waited)
    waits.step(
        sorted(groups),
        [percentile(groups[at], 0.95) for at in sorted(groups)],
        where="post",
        color=OURS,
        label="p95 of 5 s",
    )
    waits.legend(fontsize=8)
    work.step(
        seconds,
        [reading.values[0] or 0 for reading in readings],
        where="post",
        color=OURS,
        label="seconds of work, as queried",
    )
    work.plot(
        seconds, [reading.listed for reading in readings], color=OTHERS, linewidth=0.8, label="jobs in Valkey's lists"
    )
    work.legend(fontsize=8)
    work.set_xlabel("s", fontsize=8)
    for axes in (workers, waits, work):
        axes.grid(visible=True, linewidth=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
