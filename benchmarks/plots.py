"""The pictures of the README and docs/, drawn from the rows of the last runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import matplotlib

matplotlib.use("Agg")  # no display

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from benchmarks.curve.costs import Cost
from benchmarks.peers.table import MANY, Line, Row, lines_of, models_of, share_of

OURS: Final = "#0b6e4f"
OTHERS: Final = "#9db4c0"
COUNTS: Final = np.unique(np.geomspace(1, 1000, 60).astype(int))
PART_COLOURS: Final = {"Valkey": "#b23a48", "service": "#3d5a80", "worker": OURS}


def draw_peers(rows: Sequence[Row], path: Path) -> None:
    """Bars: the share of the limit at many clients, a panel a model; an asterisk where other programs disturbed it."""
    models = models_of(rows)
    figure, panels = plt.subplots(1, len(models), figsize=(4.6 * len(models), 2.9), squeeze=False, layout="constrained")
    for axes, model in zip(panels[0], models, strict=True):
        _bars(axes, [line for line in lines_of(rows, model) if line.closed(share_of, MANY)], model)
    figure.suptitle(
        f"Images a second, of plain ONNX Runtime's, {MANY} clients, one image a call (*: disturbed by other programs)",
        fontsize=10,
    )
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _bars(axes: Axes, lines: Sequence[Line], model: str) -> None:
    shares = [line.closed(share_of, MANY) or 0.0 for line in lines]
    names = [line.title.replace("*", "").replace("`", "") for line in lines]
    colours = [OURS if line.contender == "unikat" else OTHERS for line in lines]
    places = range(len(lines))
    axes.barh(places, shares, color=colours)
    for place, share, line in zip(places, shares, lines, strict=True):
        text = f"{share:.2f}{line.mark(MANY)}"
        axes.text(share - 0.015, place, text, va="center", ha="right", fontsize=8, color="white")
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlim(0, max(1.08, *(share + 0.05 for share in shares)))
    axes.set_title(model, fontsize=9)
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def draw_curve(costs: dict[str, Cost], rows: Sequence[Row], path: Path) -> None:
    """Lines: images a second that one core of each part carries, by images a call; dots: what ran here."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for part, colour in PART_COLOURS.items():
        carried = [costs[part].images_per_second(count) for count in COUNTS]
        axes.plot(COUNTS, carried, color=colour, label=f"one core of {part}")
    counts = [row["count"] for row in rows]
    axes.scatter(
        counts,
        [row["images_per_second"] for row in rows],
        s=14,
        color="black",
        zorder=3,
        label="measured, all together",
    )
    axes.set(xscale="log", yscale="log", xlabel="images a call", ylabel="images/s")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(visible=True, which="major", linewidth=0.3)
    axes.legend(fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_soak(rows: Mapping[str, Sequence[float]], names: Sequence[str], path: Path) -> None:
    """A panel each of `names` over the minutes, and one of the latency of calls for one image."""
    figure, panels = plt.subplots(3, 3, figsize=(9.6, 6.4), sharex=True, layout="constrained")
    for axes, name in zip(panels.flat, names, strict=False):
        axes.plot(rows["minutes"], rows[name], color=OURS, linewidth=0.9)
        axes.set_title(name, fontsize=9)
        axes.set_ylim(0, 1.15 * max(rows[name]))
    latency = panels.flat[len(names)]
    for name, colour in (("p50, ms", OURS), ("p95, ms", OTHERS)):
        latency.plot(rows["minutes"], rows[name], color=colour, linewidth=0.9, label=name.removesuffix(", ms"))
    latency.set(title="one image, ms", yscale="log")
    latency.title.set_fontsize(9)
    latency.legend(fontsize=8)
    for axes in panels.flat:
        axes.tick_params(labelsize=8)
        axes.grid(visible=True, linewidth=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[-1]:
        axes.set_xlabel("minutes", fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
