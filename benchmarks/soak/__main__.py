"""`python -m benchmarks.soak` (`make soak MINUTES=60`): mixed calls, batches, cancels and drops; nothing may grow.

One service and one worker over one Valkey on this machine. Results are kept for a minute, so that what Valkey holds is
level soon.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import psutil
import typer

from benchmarks.figures import ROOT, percentile, write
from benchmarks.plots import draw_soak
from benchmarks.soak.load import KINDS, Load
from benchmarks.soak.trend import MOST, WARM_UP, Trend, trend
from tests.end_to_end.shop import Shop, running_shop
from tests.support.tiny_model import write_tiny_bundle

EVERY_S: Final = 5.0
MIB: Final = 2**20
PLOT: Final = ROOT / "docs" / "images" / "soak.png"
GUARANTEES: Final = ROOT / "docs" / "guarantees.md"
# What is read, and what may be added to it in any case: smaller steps than that are no leak.
SLACK: Final = {
    "service, MiB": 4.0, "worker, MiB": 8.0, "Valkey, MiB": 1.0, "keys in Valkey": 50.0,
    "service, open handles": 2.0, "worker, open handles": 2.0, "service, threads": 1.0, "worker, threads": 1.0,
}  # fmt: skip

Rows = dict[str, list[float]]


def read(shop: Shop) -> dict[str, float]:
    """A reading of everything in SLACK: resident memory of service and worker, used memory of Valkey."""
    assert shop.stack.service is not None
    found: dict[str, float] = {}
    for name, program in (("service", shop.stack.service), ("worker", shop.stack.workers[0])):
        process = psutil.Process(program.process.pid)
        found[f"{name}, MiB"] = process.memory_info().rss / MIB
        found[f"{name}, open handles"] = process.num_fds()
        found[f"{name}, threads"] = process.num_threads()
    found["Valkey, MiB"] = int(shop.stack.redis.info("memory")["used_memory"]) / MIB
    found["keys in Valkey"] = shop.stack.redis.dbsize()
    return found


def watch(shop: Shop, load: Load, minutes: float) -> Rows:
    """Readings until the minutes are over, and the latency (ms) of calls for one image since the reading before."""
    rows: Rows = {name: [] for name in ("minutes", *SLACK, "p50, ms", "p95, ms")}
    began = time.monotonic()
    while time.monotonic() < began + 60 * minutes and not load.failed:
        time.sleep(EVERY_S)
        latencies, load.latencies = load.latencies, []
        rows["minutes"].append((time.monotonic() - began) / 60)
        for name, value in read(shop).items():
            rows[name].append(value)
        for name, share in (("p50, ms", 0.5), ("p95, ms", 0.95)):
            rows[name].append(1000 * percentile(latencies, share) if latencies else float("nan"))
    return rows


def table(rows: Rows, trends: dict[str, Trend]) -> list[str]:
    """Markdown."""
    lines = [
        "| | at first | median behind the warm-up | trend behind the warm-up |", "| --- | ---: | ---: | ---: |"
    ]  # fmt: skip
    for name, found in trends.items():
        lines.append(
            f"| {name} | {rows[name][0]:.1f} | {found.median:.1f} | {found.growth:+.1f} ({_percent(found):+.1f} %) |"
        )
    return lines


def _percent(found: Trend) -> float:
    return 100 * found.growth / found.median if found.median else 0.0


def main(
    minutes: Annotated[float, typer.Option(help="How long.", min=0.5)] = 60.0,
    load: Annotated[
        float, typer.Option(help="Calls and batches under way at first, on average.", min=0.01, max=5)
    ] = 0.7,
    only: Annotated[str, typer.Option(help=f"One kind of caller, to look for a cause: {', '.join(KINDS)}.")] = "",
    do_write: Annotated[bool, typer.Option("--write", help="Write docs/guarantees.md and its plot.")] = False,
) -> None:
    """Exits with 1 if something grows, or if a caller does not get what it asked for."""
    if only and (only not in KINDS or do_write):
        raise typer.BadParameter(f"one of {', '.join(KINDS)}, without --write", param_hint="--only")
    with tempfile.TemporaryDirectory() as folder:
        models, opened = Path(folder) / "models", Path(folder) / "open"
        write_tiny_bundle(models)
        opened.mkdir()
        with running_shop(models, opened, UNIKAT_RESULT_TTL_S="60") as shop, Load(shop, load, only=only) as callers:
            rows = watch(shop, callers, minutes)
    seconds = [60 * minute for minute in rows["minutes"]]
    trends = {name: trend(seconds, rows[name], slack) for name, slack in SLACK.items()}
    done = ", ".join(f"{number:,} × {name}" for name, number in sorted(callers.done.items()))
    took = f"{rows['minutes'][-1]:.0f} minutes ({WARM_UP:.0%} of them warm-up)"
    lines = [f"{took}, {load:g} calls under way on average at first: {done}.", ""]
    lines += table(rows, trends)
    print("\n".join(lines))
    growing = [name for name, found in trends.items() if found.grows]
    if do_write and not growing:
        write("soak", lines, GUARANTEES)
        draw_soak(rows, list(SLACK), PLOT)
    if growing:
        raise SystemExit(f"more than {MOST:.0%} of the median was added to: {', '.join(growing)}")


if __name__ == "__main__":
    typer.run(main)
