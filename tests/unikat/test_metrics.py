"""A histogram that takes a batch's values at once, as Prometheus reads it."""

from __future__ import annotations

import math
import threading

import pytest
import typer
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from unikat.metrics import SECONDS, Histogram, new_registry, served
from unikat.observed import NotServed, Observed


def read(histogram: Histogram) -> dict[tuple[str, str], float]:
    """(name, upper bound) -> value of every sample."""
    text = generate_latest(new_registry(histogram)).decode()
    families = [family for family in text_string_to_metric_families(text) if family.name == "wait_seconds"]
    return {
        (sample.name, sample.labels.get("le", "")): sample.value for family in families for sample in family.samples
    }


def test_values_are_in_the_first_bucket_that_is_not_below_them() -> None:
    histogram = Histogram("wait_seconds", "Of something.")
    histogram.labels().observe(0.0)
    histogram.labels().observe(0.001, times=3)
    histogram.labels().observe(0.0011)
    histogram.labels().observe(1e6, times=2)
    found = read(histogram)
    buckets = [found["wait_seconds_bucket", str(bound)] for bound in SECONDS]
    assert buckets == [4, *[5] * (len(SECONDS) - 1)]
    assert found["wait_seconds_bucket", "+Inf"] == found["wait_seconds_count", ""] == 7
    assert found["wait_seconds_sum", ""] == pytest.approx(0.003 + 0.0011 + 2e6)


def test_no_value_is_lost_where_threads_observe_at_once() -> None:
    histogram = Histogram("wait_seconds", "Of something.", ("model",))

    def observe() -> None:
        for _ in range(2000):
            histogram.labels("tiny@1").observe(0.5, times=2)

    threads = [threading.Thread(target=observe) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read(histogram)["wait_seconds_count", ""] == 16_000
    assert read(histogram)["wait_seconds_sum", ""] == 8_000


def test_bounds_ascend() -> None:
    assert list(SECONDS) == sorted(set(SECONDS))
    assert all(map(math.isfinite, SECONDS))


@pytest.mark.parametrize("address", ["9464", ":9464", "localhost:", "localhost:http", "localhost:65536", "localhost:²"])
def test_an_address_that_is_none_is_said(address: str) -> None:
    with pytest.raises(typer.BadParameter, match="host:port"):
        Observed(metrics=address)


def test_a_port_that_is_taken_is_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with served("127.0.0.1:0", new_registry()):
        port = caplog.text.partition("http://127.0.0.1:")[2].partition("/")[0]
        with pytest.raises(NotServed, match=f"--metrics 127.0.0.1:{port}"), served(f"127.0.0.1:{port}", new_registry()):
            pass
