"""What a cluster would run, as processes: Valkey, a service, workers that come and go, and a Prometheus."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks.curve.sleeping_worker import BATCH_MS, IMAGE_MS
from benchmarks.curve.stack import SLEEPING
from benchmarks.figures import ROOT
from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program
from tests.support.prometheus import Prometheus, running_prometheus
from tests.support.scrapes import ANY_PORT, scrape

CONFIGURATION: Final = ROOT / "deploy" / "observability" / "prometheus.yml"


@dataclass(frozen=True)
class Leave:
    """A worker that was told to leave with `jobs` in hand, and what came of it: seconds, and its exit code."""

    jobs: int
    seconds: float
    code: int


class Cluster:
    """`workers` are wanted, the oldest first; those that leave are in `leaving` until they have ended."""

    def __init__(self, stack: Stack, prometheus: Prometheus, image_ms: float, grace_s: float) -> None:
        """A worker takes `image_ms` for an image; one that leaves is killed after `grace_s`."""
        self.stack = stack
        self.prometheus = prometheus
        self.workers: list[Program] = []
        self.leaving: list[tuple[Program, int, float]] = []  # with jobs in hand, since when
        self.left: list[Leave] = []
        self._env = stack.env | {BATCH_MS: "0", IMAGE_MS: str(image_ms)}
        self._grace_s = grace_s

    def scale(self, count: int) -> None:
        """Start workers, or tell the newest to leave; returns when those that started have said their address."""
        while len(self.workers) > count:
            worker = self.workers.pop()
            jobs = round(scrape(worker).total("unikat_worker_jobs_in_hand"))
            worker.process.send_signal(signal.SIGTERM)
            self.leaving.append((worker, jobs, time.monotonic()))
        new = [Program(SLEEPING, env=self._env) for _ in range(count - len(self.workers))]
        self.workers += new
        for worker in new:
            worker.wait_for_line("worker ready", 60)
        assert self.stack.service is not None
        self.prometheus.watch({"pods": [self.stack.service, *self.workers]})

    def look(self) -> None:
        """What has become of those that leave."""
        for each in list(self.leaving):
            worker, jobs, since = each
            seconds = time.monotonic() - since
            if worker.process.poll() is None:
                if seconds > self._grace_s:
                    worker.signal_group(signal.SIGKILL)
                continue
            self.leaving.remove(each)
            self.left.append(Leave(jobs, seconds, worker.wait()))

    def waiting(self) -> int:
        """The length of the lists of jobs: what a scaler that looks at them would see."""
        return self.stack.queued()

    def close(self) -> None:
        """Kill what still runs."""
        for worker in (*self.workers, *(worker for worker, _, _ in self.leaving)):
            worker.kill()


@contextmanager
def running_cluster(
    models: Path, folder: Path, workers: int, image_ms: float, worker: dict[str, Any]
) -> Iterator[Cluster]:
    """With `workers` workers that are ready; `worker` is the manifest of their Deployment."""
    grace_s = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    with ExitStack() as exits:
        stack = exits.enter_context(running_stack(models, 0, fsync="everysec", UNIKAT_METRICS=ANY_PORT))
        intervals = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["global"]
        prometheus = exits.enter_context(running_prometheus(folder, intervals))
        cluster = Cluster(stack, prometheus, image_ms, grace_s)
        exits.callback(cluster.close)
        cluster.scale(workers)
        yield cluster
