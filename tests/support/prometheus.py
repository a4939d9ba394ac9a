"""A real Prometheus that scrapes programs which serve their numbers (`apt install prometheus`)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from tests.support.processes import Program, eventually, free_port
from tests.support.scrapes import port_of


class Prometheus:
    """One that runs; whom it scrapes is in a file."""

    def __init__(self, port: int, targets: Path) -> None:
        self._port = port
        self._targets = targets
        self.watch({})

    def watch(self, jobs: Mapping[str, Sequence[Program]]) -> None:
        """From here on these programs are scraped, by the names of their jobs, and no others."""
        told = [
            {"labels": {"job": job}, "targets": [f"127.0.0.1:{port_of(each)}" for each in programs]}
            for job, programs in jobs.items()
        ]
        new = self._targets.with_suffix(".new")
        new.write_text(json.dumps(told), encoding="utf-8")
        os.replace(new, self._targets)

    def ask(self, path: str, **query: str) -> Any:  # noqa: ANN401  # JSON
        """The data of an answer of its API, of what is below /api/v1."""
        with urlopen(f"http://127.0.0.1:{self._port}/api/v1/{path}?{urlencode(query)}", timeout=20) as response:
            return json.load(response)["data"]

    def value(self, query: str) -> float | None:
        """The first value of a query; None where there is none."""
        result = self.ask("query", query=query)["result"]
        return float(result[0]["value"][1]) if result else None

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return self.ask("query", query="1") is not None
        except URLError:  # HTTP's errors as well: it is not ready before it has read its data
            return False


@contextmanager
def running_prometheus(folder: Path, intervals: Mapping[str, str], rules: Path | None = None) -> Iterator[Prometheus]:
    """One that keeps its files in `folder`, and is ready.

    `intervals` are those of Prometheus' section `global`; `rules` is a file of alerts. Raises FileNotFoundError where
    there is no Prometheus.
    """
    program = shutil.which("prometheus")
    if program is None:
        raise FileNotFoundError("there is no prometheus: apt install prometheus")
    targets, port = folder / "targets.json", free_port()
    found = {"job_name": "programs", "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}]}
    told = {"global": dict(intervals), "scrape_configs": [found], "rule_files": [str(rules)] if rules else []}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(told), encoding="utf-8")
    prometheus = Prometheus(port, targets)
    process = subprocess.Popen(
        [
            program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
        ]
    )  # fmt: skip
    try:
        eventually(prometheus.is_ready, deadline=60, pause=0.2)
        yield prometheus
    finally:
        process.terminate()
        process.wait()
