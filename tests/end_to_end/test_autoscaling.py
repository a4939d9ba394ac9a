"""What autoscaling rests on: work is seen where lists are empty, a worker that leaves finishes it, the rules decide."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from benchmarks.autoscaling.autoscaler import Autoscaler, Direction, Policy, ScaledObject, Trigger
from benchmarks.autoscaling.command import SCALED, Reading, table
from benchmarks.autoscaling.load import Call, Phase
from benchmarks.autoscaling.plot import draw_autoscaling
from benchmarks.curve.sleeping_worker import BATCH_MS, HOLD, IMAGE_MS
from benchmarks.curve.stack import SLEEPING
from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program, eventually
from tests.support.scrapes import ANY_PORT, promtool, scrape
from tests.support.tiny_model import write_tiny_bundle
from unikat import Studio

__all__ = ["promtool"]  # a fixture

HELD: Final = "hold"  # a file: while it is there, no batch ends


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A service and one worker, whose batches can be held up."""
    write_tiny_bundle(tmp_path / "models")
    with running_stack(tmp_path / "models", workers=0, UNIKAT_METRICS=ANY_PORT) as stack:
        env = stack.env | {BATCH_MS: "0", IMAGE_MS: "20", HOLD: str(tmp_path / HELD)}
        stack.workers.append(Program(SLEEPING, env=env))
        yield stack


def test_work_in_hand_is_seen_and_finished_by_a_worker_that_leaves(stack: Stack, tmp_path: Path) -> None:
    (worker,) = stack.workers
    with Studio(stack.target) as studio, ThreadPoolExecutor() as pool:
        assert len(list(studio.generate("tiny", count=20, seed=1))) == 20  # it knows its rate by drawing
        eventually(lambda: scrape(worker).total("unikat_worker_images_per_second") > 0)
        (tmp_path / HELD).touch()
        call = pool.submit(studio.draw, "tiny", seed=2)
        eventually(lambda: scrape(worker).total("unikat_worker_jobs_in_hand") == 1)
        assert stack.queued() == 0
        assert stack.service is not None
        assert scrape(stack.service).total("unikat_queue_work_seconds") == 0
        assert 0 < scrape(worker).total("unikat_worker_work_seconds", model="tiny@1") < 5
        busy = scrape(worker).total("unikat_worker_busy_seconds_total")
        worker.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            worker.process.wait(1)
        assert scrape(worker).total("unikat_worker_busy_seconds_total") > busy + 0.9
        assert not call.done()
        (tmp_path / HELD).unlink()
        assert worker.wait() == 0
        assert call.result(10).seed == 2  # nobody else could have drawn it
    stack.workers.remove(worker)


def triggers() -> dict[str, str]:
    """The queries of the ScaledObject by their names."""
    return {trigger.name: trigger.query for trigger in ScaledObject.read(SCALED).triggers}


QUEUE, SERVICE = 'unikat_queue_work_seconds{model="a", instance=', "unikat_service_workers"
WORK, BUSY = 'unikat_worker_work_seconds{kind="call", instance=', "unikat_worker_busy_seconds_total{instance="
BATCHES = 'unikat_batches_work_seconds{model="a", instance='
# What is scraped, as it stays or (0+7.5x8) grows from scrape to scrape, and what the query of a trigger makes of it.
ASKED: Final[dict[str, tuple[str, dict[str, str], float | None]]] = {
    "every service says the same of the queue, every worker what it has": (
        "waiting", {QUEUE + '"s1"}': "8", QUEUE + '"s2"}': "8", WORK + '"w1"}': "3", WORK + '"w2"}': "4"}, 15,
    ),
    "shards of batches are not calls": (
        "waiting", {QUEUE + '"s1"}': "8", WORK.replace("call", "shard") + '"w1"}': "9", WORK + '"w1"}': "1"}, 9,
    ),
    "a service is there, and says nothing of the queue": ("waiting", {SERVICE: "1", WORK + '"w1"}': "2"}, 2),
    "no service is scraped": ("waiting", {WORK + '"w1"}': "2"}, None),
    "nothing is scraped": ("waiting", {}, None),
    "two workers, busy for half and for three quarters of the time": (
        "busy", {BUSY + '"w1"}': "0+7.5x8", BUSY + '"w2"}': "3+11.25x8"}, 1.25,
    ),
    "workers that have had no call": ("busy", {SERVICE: "1", BUSY + '"w1"}': "0"}, 0),
    "every service says the same of batches": ("batches", {BATCHES + '"s1"}': "50", BATCHES + '"s2"}': "50"}, 50),
    "no model has a rate": ("batches", {SERVICE: "1"}, 0),
}  # fmt: skip


def test_the_queries_say_what_is_meant(promtool: str, tmp_path: Path) -> None:
    """Series of a sample every 15 s for two minutes, and what the query makes of them."""
    tests: list[dict[str, Any]] = []
    for name, (trigger, series, value) in ASKED.items():
        samples = [] if value is None else [{"labels": "{}", "value": value}]
        tests.append(
            {
                "name": name,
                "interval": "15s",
                "input_series": [
                    {"series": key, "values": values if "x" in values else f"{values}+0x8"}
                    for key, values in series.items()
                ],
                "promql_expr_test": [{"expr": triggers()[trigger], "eval_time": "2m", "exp_samples": samples}],
            }
        )
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"tests": tests}), encoding="utf-8")
    done = subprocess.run([promtool, "test", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def scaled(most: int = 10) -> Autoscaler:
    """Of ten seconds of work a worker; up by four at a time, down by one a minute after five."""
    up, down = Direction(0, (Policy(4, 15, False),)), Direction(300, (Policy(1, 60, False),))
    return Autoscaler(ScaledObject(1, most, up, down, (Trigger("a", "", 10), Trigger("b", "", 0.8))))


def test_the_trigger_that_asks_for_most_is_heard_within_the_limits() -> None:
    assert scaled().decide(0, 1, (31, 0.1)) == 4
    assert scaled().decide(0, 1, (5, 1.7)) == 3
    assert scaled(most=2).decide(0, 1, (31, 0.1)) == 2
    assert scaled().decide(0, 1, (0, 0)) == 1
    assert scaled().decide(0, 3, (32.9, 2.5)) == 3  # within a tenth
    assert scaled().decide(0, 1, (1000, 0)) == 5  # four at a time


def test_what_is_not_known_takes_no_worker_away() -> None:
    assert scaled().decide(0, 3, (0, None)) == 3
    assert scaled().decide(0, 3, (None, None)) == 3
    assert scaled().decide(0, 3, (60, None)) == 6


def test_workers_go_one_a_minute_when_none_was_needed_for_five() -> None:
    autoscaler, workers, at = scaled(), 4, dict[int, int]()
    assert autoscaler.decide(0, 4, (40, 3.2)) == 4
    for now in range(15, 600, 15):
        fewer = autoscaler.decide(now, workers, (0, 0))
        if fewer != workers:
            at[fewer], workers = now, fewer
    assert at == {3: 315, 2: 375, 1: 435}


def test_the_picture_and_the_table_have_every_phase(tmp_path: Path) -> None:
    phases = [Phase("before", 0, 5), Phase("load", 2, 10), Phase("after", 0, 5)]
    calls = [Call("load", 5 + number / 2, 0.1 * number, f"id-{number}", failed=number == 3) for number in range(20)]
    readings = [Reading(at, 1 + (at > 8), int(at > 15), 0, (at / 10, None, 0.0)) for at in range(20)]
    assert table(calls, phases, readings)[2:] == [
        "| before | 0 | 0 | 0 | – | – | – | 1 → 1 → 1 |",
        "| load | 2 | 20 | 1 | 1.00 | 1.90 | 1.90 | 1 → 2 → 2 |",
        "| after | 0 | 0 | 0 | – | – | – | 2 → 2 → 2 |",
    ]
    draw_autoscaling(readings, calls, phases, tmp_path / "autoscaling.png")
    assert (tmp_path / "autoscaling.png").stat().st_size > 0
