"""A server that cannot serve for a while, in each way that there is, with calls and a batch in flight: all go on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.drills.callers import Callers
from tests.drills.checker import violations
from tests.drills.history import Fault, History
from tests.drills.report import Report, Struck
from tests.drills.test_random_faults import WORST_S, recovered, undisturbed
from tests.end_to_end.stack import Stack
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.support.unready import CONFIG, WAYS
from tests.support.valkey import running_valkey

MANY: Final = 10  # times each, in the long drill
HOLDS_S: Final = 2.0


@pytest.fixture(scope="module")
def total() -> Iterator[Report]:
    """All of them, printed at the end."""
    report = Report()
    yield report
    print("", report.table(), sep="\n")


@pytest.mark.timeout(1800)
def test_what_passes_is_waited_out(total: Report, tmp_path: Path, is_long: bool) -> None:
    write_tiny_bundle(tmp_path / "models", work=200)
    out = tmp_path / "out"
    out.mkdir()
    history = History()
    with ExitStack() as exits:
        valkey = exits.enter_context(running_valkey("always", **CONFIG))
        settings = {"UNIKAT_REDIS_URL": valkey.tcp_url, "UNIKAT_DESTINATIONS": f"file://{out}"}
        stack = Stack(valkey, tmp_path / "models", **settings)
        exits.callback(stack.close)
        stack.start(2)
        programs = [stack.service, *stack.workers]
        with Callers(history, [stack.target], out, seed=1):
            for code, way in WAYS.items():
                for _ in range(MANY if is_long else 1):
                    eventually(lambda: len(history.open()) >= 4)
                    in_flight, since = len(history.open()), time.monotonic()
                    with way(valkey):
                        time.sleep(HOLDS_S if is_long else HOLDS_S / 4)
                    history.add("", Fault(code, since))
                    over = time.monotonic()
                    recovery = recovered(history, over)
                    total.struck.append(Struck(code, in_flight, recovery))
                    print(f"{code}: {in_flight} in flight, {recovery:.2f} s", flush=True)
        assert all(program is not None and program.process.poll() is None for program in programs), "none has ended"
    events = history.events
    total.violations += violations(events, undisturbed(tmp_path / "models", events))
    total.count(events)
    assert total.violations == []
    assert total.worst_s <= WORST_S
