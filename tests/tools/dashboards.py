"""What the dashboards show while things go wrong: `python -m tests.tools.dashboards --write`.

Prometheus, with the alerts of deploy/observability, scrapes a service and two workers under load every second. A worker
is killed, Valkey is filled, a batch's destination takes no files; each ends again. What is drawn are panels of the
dashboards: their own expressions, answered by that Prometheus.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.figures import ROOT
from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually, stopped
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.scrapes import ANY_PORT
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio
from unikat.errors import UnikatError

FOLDER: Final = ROOT / "deploy" / "observability"
PICTURE: Final = ROOT / "docs" / "images" / "dashboards.png"
INTERVALS: Final = {"scrape_interval": "1s", "evaluation_interval": "1s"}
RATE: Final = "10s"  # what Grafana makes of $__rate_interval: four scrapes at least
CALM, KILLED, FULL, BLOCKED = "", "a worker is killed", "Valkey is full", "a destination fails"
COLOURS: Final = {KILLED: "#b23a48", FULL: "#e09f3e", BLOCKED: "#3d5a80"}
PANELS: Final = (
    ("service", "Calls by how they ended"), ("service", "First image"), ("service", "Workers by model"),
    ("service", "Recovered, retried, given up"), ("service", "Redis memory"), ("service", "Refused because of a limit"),
    ("studio", "Images left by model"), ("studio", "Images written an hour"), ("studio", "Paused"),
)  # fmt: skip


@dataclass
class Course:
    """What happened: phases with their beginnings (Unix time, s), the alerts of each, and the panels' series."""

    phases: list[tuple[str, float]] = field(default_factory=list)
    alerts: dict[str, set[str]] = field(default_factory=dict)
    panels: dict[str, list[tuple[str, list[float], list[float]]]] = field(default_factory=dict)
    end: float = 0.0

    def of(self, title: str, phase: str) -> list[float]:
        """All values of a panel in a phase."""
        names = [name for name, _ in self.phases]
        starts = [*(start for _, start in self.phases), self.end]
        spans = [(starts[i], starts[i + 1]) for i, name in enumerate(names) if name == phase]
        return [
            value
            for _, moments, values in self.panels[title]
            for at, value in zip(moments, values, strict=True)
            if any(begin <= at < end for begin, end in spans)
        ]


def course(folder: Path, seconds: float) -> Course:
    """The whole of it, `seconds` a phase."""
    write_tiny_bundle(folder / "models", work=2000)
    (folder / "out").mkdir()
    found = Course()
    settings = {"UNIKAT_METRICS": ANY_PORT, "UNIKAT_DESTINATIONS": str(folder / "out")}
    with ExitStack() as exits:
        stack = exits.enter_context(running_stack(folder / "models", 2, **settings))
        prometheus = exits.enter_context(running_prometheus(folder, INTERVALS, FOLDER / "alerts.yml"))
        assert stack.service is not None
        service = {"unikat-service": [stack.service]}
        prometheus.watch(service | {"unikat-worker": stack.workers})
        eventually(lambda: prometheus.value("sum(up)") == 3)
        exits.enter_context(_load(stack))
        studio = exits.enter_context(Studio(stack.target))
        studio.create_batch("tiny", to=folder / "out" / "long", count=200_000, shard_size=500)

        def phase(name: str) -> None:
            found.phases.append((name, time.time()))  # as Prometheus has it
            time.sleep(seconds)
            seen = prometheus.ask("alerts")["alerts"]  # that fire, or would if what they see lasted
            found.alerts.setdefault(name, {alert["labels"]["alertname"] for alert in seen})  # the first calm's

        phase(CALM)
        lost = stack.workers[0]
        stack.kill(lost)
        prometheus.watch(service | {"unikat-worker": [lost, *stack.workers]})
        phase(KILLED)
        stack.start_worker().wait_for_line("worker ready")
        prometheus.watch(service | {"unikat-worker": stack.workers})
        phase(CALM)
        used = int(stack.redis.info("memory")["used_memory"])
        stack.redis.config_set("maxmemory", int(used / 0.9))
        phase(FULL)
        stack.redis.config_set("maxmemory", 0)
        phase(CALM)
        with stopped(*stack.workers):  # they would make the folder again in between
            (folder / "out" / "long").rename(folder / "away")
            (folder / "out" / "long").write_bytes(b"a file where the folder was")
        phase(BLOCKED)
        with stopped(*stack.workers):
            (folder / "out" / "long").unlink()
            (folder / "away").rename(folder / "out" / "long")
        phase(CALM)
        found.end = time.time()
        for dashboard, title in PANELS:
            found.panels[title] = list(_panel(prometheus, dashboard, title, found))
    return found


def _panel(
    prometheus: Prometheus, dashboard: str, title: str, found: Course
) -> Iterator[tuple[str, list[float], list[float]]]:
    loaded = json.loads((FOLDER / "grafana" / "dashboards" / f"{dashboard}.json").read_text(encoding="utf-8"))
    (panel,) = (each for each in loaded["panels"] if each["title"] == title)
    for target in panel["targets"]:
        expression = target["expr"].replace("$__rate_interval", RATE).replace("$model", ".*")
        span = {"start": str(found.phases[0][1]), "end": str(found.end), "step": "1"}
        for each in prometheus.ask("query_range", query=expression, **span)["result"]:
            labels, moments = each["metric"], [float(at) for at, _ in each["values"]]
            values = [float(value) for _, value in each["values"]]
            name = re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), target.get("legendFormat", ""))  # noqa: B023
            yield name.strip(), moments, values


@contextmanager
def _load(stack: Stack) -> Iterator[None]:
    """Two callers of Generate and one of Draw until the end of the block."""
    stopped = threading.Event()

    def call(draw: Callable[[Studio], object]) -> None:
        with Studio(stack.target) as studio:
            while not stopped.wait(0.2):
                with suppress(UnikatError):
                    draw(studio)

    kinds: list[Callable[[Studio], object]] = [lambda studio: list(studio.generate("tiny", count=20))] * 2
    threads = [threading.Thread(target=call, args=(kind,)) for kind in [*kinds, lambda studio: studio.draw("tiny")]]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def draw(found: Course, path: Path) -> None:
    """The panels, with what went wrong shaded."""
    import matplotlib as mpl  # with the picture only

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    begin = found.phases[0][1]
    figure, grid = plt.subplots(3, 3, figsize=(15, 9.5), layout="constrained")
    for axes, (_, title) in zip(grid.flat, PANELS, strict=True):
        for name, moments, values in found.panels[title]:
            label = name if any(values) else None
            axes.plot([at - begin for at in moments], values, label=label, linewidth=1.4)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_ylim(bottom=0)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(0, 1.01), ncols=3)
            axes.set_ylim(top=axes.get_ylim()[1] * 1.15)
        ends = [*(start for _, start in found.phases[1:]), found.end]
        for (phase, start), end in zip(found.phases, ends, strict=True):
            if phase:
                axes.axvspan(start - begin, end - begin, color=COLOURS[phase], alpha=0.12, label=phase)
    shades = [each for each in zip(*grid[0, 0].get_legend_handles_labels(), strict=True) if each[1] in COLOURS]
    figure.legend(*zip(*shades, strict=True), loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    figure.supxlabel("seconds", fontsize=9)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main() -> None:
    """Run it, print the alerts, and write the picture where asked to."""
    parser = argparse.ArgumentParser(prog="python -m tests.tools.dashboards", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0, help="of a phase")
    parser.add_argument("--write", action="store_true", help=f"draw {PICTURE.relative_to(ROOT)}")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = course(Path(folder), options.seconds)
    for phase, alerts in found.alerts.items():
        print(f"{phase or 'all is well'}: {', '.join(sorted(alerts)) or 'no alert'}")
    if options.write:
        draw(found, PICTURE)


if __name__ == "__main__":
    main()
