"""What a cluster would run, as processes: Valkey, a service, workers that come and go, and a Prometheus."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import yaml

from benchmarks.curve.sleeping_worker import BATCH_MS, IMAGE_MS
from benchmarks.curve.stack import SLEEPING
from benchmarks.figures import ROOT
from tests.end_to_end.stack import Stack, free_port, running_stack
from tests.support.processes import Program, eventually
from tests.support.scrapes import ANY_PORT, scrape

CONFIGURATION: Final = ROOT / "deploy" / "observability" / "prometheus.yml"


@dataclass(frozen=True)
class Leave:
    """A worker that was told to leave with `jobs` in hand, and what came of it: seconds, and its exit code."""

    jobs: int
    seconds: float
    code: int


class Prometheus:
    """The real one, with the intervals of deploy/observability; whom it asks is in a file."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("prometheus")
        if found is None:
            raise SystemExit("there is no prometheus: apt install prometheus")
        self._targets = folder / "targets.json"
        self.tell([])
        told = yaml.safe_load(CONFIGURATION.read_text(encoding="utf-8"))["global"]
        config = {
            "global": told,
            "scrape_configs": [{"job_name": "pods", "file_sd_configs": [{"files": [str(self._targets)]}]}],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        self._port = free_port()
        self._process = subprocess.Popen(
            [
                found, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=error",
            ]
        )  # fmt: skip
        eventually(self._is_ready, deadline=60, pause=0.2)

    def tell(self, ports: list[int]) -> None:
        """From here on these are asked, and no others."""
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps([{"targets": [f"127.0.0.1:{port}" for port in ports]}]), encoding="utf-8")
        os.replace(new, self._targets.with_suffix(".json"))

    def ask(self, query: str) -> float | None:
        """The one value of a query, as KEDA reads it; None where there is none."""
        result = json.loads(self._get(f"/api/v1/query?query={quote(query)}"))["data"]["result"]
        return float(result[0]["value"][1]) if result else None

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()

    def _is_ready(self) -> bool:
        try:
            return b"Ready" in self._get("/-/ready")
        except OSError:
            return False

    def _get(self, path: str) -> bytes:
        connection = HTTPConnection("127.0.0.1", self._port, timeout=20)
        try:
            connection.request("GET", path)
            return connection.getresponse().read()
        finally:
            connection.close()


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
        self.prometheus.tell([_port(each) for each in (self.stack.service, *self.workers)])

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


def _port(program: Program) -> int:
    return int(program.wait_for_line(r"Numbers for Prometheus are on http://127\.0\.0\.1:(\d+)/metrics")[1])


@contextmanager
def running_cluster(
    models: Path, folder: Path, workers: int, image_ms: float, worker: dict[str, Any]
) -> Iterator[Cluster]:
    """With `workers` workers that are ready; `worker` is the manifest of their Deployment."""
    grace_s = worker["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    with ExitStack() as exits:
        stack = exits.enter_context(running_stack(models, 0, fsync="everysec", UNIKAT_METRICS=ANY_PORT))
        prometheus = Prometheus(folder)
        exits.callback(prometheus.close)
        cluster = Cluster(stack, prometheus, image_ms, grace_s)
        exits.callback(cluster.close)
        cluster.scale(workers)
        yield cluster
