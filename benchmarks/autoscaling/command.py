"""`python -m benchmarks autoscaling`: load comes and goes, and workers with it.

Everything is real but two things: workers have GPUs that sleep (benchmarks/curve), so that several fit on the cores of
this machine, and processes stand for pods. The ScaledObject is the file that a cluster gets, a Prometheus answers its
queries, and how many workers follow from that is decided by the rules of Kubernetes, every 15 s.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml

from benchmarks.autoscaling.autoscaler import SYNC_S, Autoscaler, ScaledObject
from benchmarks.autoscaling.cluster import Cluster, running_cluster
from benchmarks.autoscaling.load import Call, Load, Phase
from benchmarks.figures import ROOT, machine, newest, percentile, write
from unikat import Studio
from unikat.bundle import Bundle, key_of

MANIFESTS: Final = ROOT / "deploy" / "kubernetes"
SCALED: Final = MANIFESTS / "autoscaling" / "scaledobject.yaml"
PICTURE: Final = ROOT / "docs" / "images" / "autoscaling.png"
EVERY_S: Final = 1.0  # seconds between readings
BEFORE, RAMP, STEADY, AFTER = "before", "the first minute of load", "the load after it", "after"


@dataclass(frozen=True)
class Reading:
    """At a time (s): workers that are wanted and that leave, jobs in lists, and the last values of the triggers."""

    at: float
    workers: int
    leaving: int
    listed: int
    values: tuple[float | None, ...]


def follow(cluster: Cluster, load: Load, scaled: ScaledObject) -> list[Reading]:
    """Scale until the load has ended."""
    autoscaler, readings = Autoscaler(scaled), list[Reading]()
    values: tuple[float | None, ...] = (None,) * len(scaled.triggers)
    due = SYNC_S
    while load.running:
        if load.now >= due:
            due += SYNC_S
            values = tuple(cluster.prometheus.value(trigger.query) for trigger in scaled.triggers)
            before = len(cluster.workers)
            wanted = autoscaler.decide(load.now, before, values)
            cluster.scale(wanted)
            said = ", ".join(
                f"{t.name} {v if v is None else round(v, 2)}" for t, v in zip(scaled.triggers, values, strict=True)
            )
            print(f"{load.now:6.0f} s  {said}: {before} → {wanted} workers", file=sys.stderr, flush=True)
        cluster.look()
        readings.append(Reading(load.now, len(cluster.workers), len(cluster.leaving), cluster.waiting(), values))
        load.wait(EVERY_S)
    return readings


def table(calls: list[Call], phases: list[Phase], readings: list[Reading]) -> list[str]:
    """Markdown: a row a phase."""
    lines = [
        "| | calls/s | calls | failed | wait p50 s | p95 | longest | workers |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    begins = 0.0
    for phase in phases:
        of = [call for call in calls if call.phase == phase.name]
        ended = begins + phase.seconds
        workers = [reading.workers for reading in readings if begins <= reading.at < ended]
        begins = ended
        waits = [call.waited for call in of]
        cells = [f"{percentile(waits, share):.2f}" if waits else "–" for share in (0.5, 0.95, 1)]
        lines.append(
            f"| {phase.name} | {phase.calls_per_second:g} | {len(of):,} | {sum(call.failed for call in of)} "
            f"| {' | '.join(cells)} | {workers[0]} → {max(workers)} → {workers[-1]} |"
        )
    return lines


def problems(calls: list[Call], phases: list[Phase], cluster: Cluster) -> list[str]:
    """What must not be."""
    found = [f"a call at {call.sent:.1f} s failed: {call.image}" for call in calls if call.failed]
    asked = sum(round(phase.calls_per_second * phase.seconds) for phase in phases)
    images = {call.image for call in calls if not call.failed}
    if len(images) != asked:
        found.append(f"{asked} images were asked for, {len(images)} different ones came")
    found += [f"a worker ended with {leave.code}" for leave in cluster.left if leave.code]
    return found


def sentences(cluster: Cluster, readings: list[Reading], bundle: Bundle, image_ms: float) -> list[str]:
    """What the table does not say."""
    left, busy = cluster.left, [reading for reading in readings if reading.values[0]]
    empty = sum(reading.listed == 0 for reading in busy)
    return [
        f"{machine(bundle)}; a GPU takes {image_ms:g} ms an image: one worker draws {1000 / image_ms:g} a second.",
        "",
        f"{len(left)} workers were told to leave, {sum(leave.jobs > 0 for leave in left)} of them with jobs in hand "
        f"({sum(leave.jobs for leave in left)}); the last had ended after "
        f"{max((leave.seconds for leave in left), default=0):.1f} s. "
        f"Of {len(busy)} readings with work to do, Valkey's lists were empty in {empty}.",
    ]


def autoscaling(
    model: Annotated[str, typer.Option(help="A shipped model, whose images the GPUs show.")] = "emoji",
    calls: Annotated[float, typer.Option(help="Calls a second, of one image each.", min=1)] = 50.0,
    image_ms: Annotated[float, typer.Option(help="Milliseconds that a GPU takes for an image.", min=1)] = 40.0,
    idle: Annotated[float, typer.Option(help="Seconds before the load.", min=0)] = 60.0,
    seconds: Annotated[float, typer.Option(help="Seconds of load.", min=61)] = 300.0,
    after: Annotated[float, typer.Option(help="Seconds after it.", min=1)] = 600.0,
    scaled_object: Annotated[Path, typer.Option(help="What decides; another file for trying.")] = SCALED,
    keep: Annotated[bool, typer.Option("--write", help="Put table and picture into benchmarks/README.md.")] = False,
) -> None:
    """Load steps from 0 to 50 calls a second and back: workers, what calls wait for, and whether one is lost."""
    bundle = newest(ROOT / "models", model)
    scaled = ScaledObject.read(scaled_object)
    phases = [
        Phase(BEFORE, 0, idle),
        Phase(RAMP, calls, 60),
        Phase(STEADY, calls, seconds - 60),
        Phase(AFTER, 0, after),
    ]
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models" / bundle.path.parent.name
        models.mkdir(parents=True)
        (models / bundle.path.name).symlink_to(bundle.path)
        with running_cluster(models.parent, Path(folder), scaled.least, image_ms, deployment()) as cluster:
            key = key_of(bundle.model)
            with Studio(cluster.stack.target) as studio:
                assert len(list(studio.generate(key, count=100))) == 100  # a worker knows its rate by drawing
            load = Load(cluster.stack.target, key, phases)
            readings = follow(cluster, load, scaled)
    lines = [*sentences(cluster, readings, bundle, image_ms), "", *table(load.calls, phases, readings)]
    print("\n".join(lines))
    wrong = problems(load.calls, phases, cluster)
    if keep and not wrong:
        from benchmarks.autoscaling.plot import draw_autoscaling  # with matplotlib

        draw_autoscaling(readings, load.calls, phases, PICTURE)
        write("autoscaling", [*lines, "", f"![Workers, waits and work over the run](../docs/images/{PICTURE.name})"])
    if wrong:
        raise SystemExit("\n".join(wrong[:20]))


def deployment() -> dict[str, Any]:
    """The workers' manifest."""
    every = yaml.safe_load_all((MANIFESTS / "base" / "worker.yaml").read_text(encoding="utf-8"))
    return next(each for each in every if each["kind"] == "Deployment")
