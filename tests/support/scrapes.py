"""What programs say of themselves to Prometheus, as a scrape finds it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection
from typing import Final

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.processes import Program

ANY_PORT: Final = "127.0.0.1:0"
REQUIRED: Final = "UNIKAT_TEST_PROMTOOL"  # set to 1, tests fail where there is no promtool


@dataclass(frozen=True)
class Scrape:
    """The text of one."""

    text: str

    @cached_property
    def families(self) -> list[Metric]:
        """What Prometheus' own parser reads in it."""
        return list(text_string_to_metric_families(self.text))

    def total(self, name: str, **labels: str) -> float:
        """The sum of the samples of a name that have these labels, whatever others they have."""
        return sum(self.by(name, "", **labels).values())

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The same by the values of a label; samples without it are those of ""."""
        found: dict[str, float] = {}
        for family in self.families:
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    value = sample.labels.get(label, "")
                    found[value] = found.get(value, 0.0) + sample.value
        return found


def port_of(program: Program) -> int:
    """Where a program serves its numbers."""
    return int(program.wait_for_line(r"Numbers for Prometheus are on http://127\.0\.0\.1:(\d+)/metrics")[1])


def scrape(program: Program) -> Scrape:
    """Ask a program that serves its numbers."""
    connection = HTTPConnection("127.0.0.1", port_of(program), timeout=20)
    connection.request("GET", "/metrics")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    assert response.status == 200, text
    assert (response.getheader("content-type") or "").startswith("text/plain")
    return Scrape(text)


@pytest.fixture
def promtool() -> str:
    """The program of that name; without it, the test is left out."""
    found = shutil.which("promtool")
    if found is None:
        if os.environ.get(REQUIRED):
            pytest.fail("there is no promtool: apt install prometheus")
        pytest.skip("there is no promtool (apt install prometheus)")
    return found
