"""A replica takes the primary's place with calls and batches in flight, found by Sentinels or by an address that moves.

Replication does not wait, and what the replica had not got is gone. A batch is acknowledged when a replica has it;
images are drawn again from where the stream ends, and a call whose job is gone is sent again by the client library.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.drills.callers import Callers
from tests.drills.checker import violations
from tests.drills.history import Ended, Fault, History, How
from tests.drills.report import Report, Struck
from tests.drills.test_random_faults import WORST_S, recovered, undisturbed
from tests.end_to_end.stack import Stack
from tests.support.failover import Pair, Sentinels, running_pair, watched_pair
from tests.support.processes import eventually
from tests.support.proxy import Proxy, running_proxy
from tests.support.tiny_model import write_tiny_bundle

MANY: Final = 5  # failovers of a kind, in the long drill
LAG_S: Final = 0.3  # by which a replica is behind that takes over


@pytest.fixture(scope="module")
def total() -> Iterator[Report]:
    """All failovers, printed at the end."""
    report = Report()
    yield report
    print("", report.table(), sep="\n")


def die(pair: Pair, sentinels: Sentinels) -> None:
    pair.primary.kill()
    sentinels.wait_for_failover()
    pair.start_replica()


def hang(pair: Pair, sentinels: Sentinels) -> None:
    pair.primary.signal(signal.SIGSTOP)
    sentinels.wait_for_failover()
    pair.replica.signal(signal.SIGCONT)
    pair.follow()  # Sentinels would see to it in the end


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strike", [die, pytest.param(hang, marks=pytest.mark.long)])
def test_sentinels_name_another_primary_and_nothing_is_lost(
    total: Report, tmp_path: Path, is_long: bool, strike: Callable[[Pair, Sentinels], None]
) -> None:
    # One that wakes up is a primary until it is told otherwise, and without its replica it must take nothing.
    config = {"min_replicas_to_write": "1"} if strike is hang else {}
    with watched_pair(**config) as (pair, sentinels), system(pair, sentinels.url, tmp_path) as (_, history):
        for _ in range(MANY if is_long else 1):
            sentinels.wait_for_replica()
            begin(total, history, f"Sentinel, the primary {strike.__name__}s", lambda: strike(pair, sentinels))
    judge(total, history, tmp_path)


def move(pair: Pair, address: Proxy) -> None:
    """The one that was the primary lives on as a replica."""
    pair.promote()
    address.lead_to(f"127.0.0.1:{pair.primary.port}")
    pair.follow()


def move_behind(pair: Pair, address: Proxy) -> None:
    """The replica has not got the last of what the primary took, and the primary dies."""
    pair.promote()
    time.sleep(LAG_S)
    pair.replica.kill()
    address.lead_to(f"127.0.0.1:{pair.primary.port}")
    pair.start_replica()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("strike", [move, pytest.param(move_behind, marks=pytest.mark.long)])
def test_the_address_moves_to_the_replica_and_nothing_is_lost(
    total: Report, tmp_path: Path, is_long: bool, strike: Callable[[Pair, Proxy], None]
) -> None:
    # A primary from which its replica has departed takes nothing more.
    with running_pair(min_replicas_to_write="1") as pair, running_proxy(f"127.0.0.1:{pair.primary.port}") as address:
        with system(pair, f"redis://{address.target}", tmp_path) as (_, history):
            for _ in range(MANY if is_long else 1):
                pair.wait_for_replica()
                begin(total, history, f"address: {strike.__name__}".replace("_", " "), lambda: strike(pair, address))
        judge(total, history, tmp_path)


@contextmanager
def system(pair: Pair, url: str, folder: Path) -> Iterator[tuple[Stack, History]]:
    """A service and two workers that know Redis by `url`, with callers until the end of the block."""
    write_tiny_bundle(folder / "models", work=200)
    out = folder / "out"
    out.mkdir()
    with ExitStack() as exits:
        settings = {"UNIKAT_REDIS_URL": url, "UNIKAT_DESTINATIONS": f"file://{out}", "UNIKAT_ALLOW_VOLATILE": "0"}
        stack = Stack(pair.primary, folder / "models", **settings)
        exits.callback(stack.close)
        stack.start(2)
        history = History()
        exits.enter_context(Callers(history, [stack.target], out, seed=len(url)))
        yield stack, history


def begin(total: Report, history: History, kind: str, strike: Callable[[], None]) -> None:
    """A failover with calls in flight, and every one of them has gone on."""
    eventually(lambda: len(history.open()) >= 4)
    in_flight, since = len(history.open()), time.monotonic()
    strike()
    # A connection that hangs shows that there is another primary when it is given up.
    history.add("", Fault(kind, since, forgets=True))
    recovery = recovered(history, since)
    total.struck.append(Struck(kind, in_flight, recovery))
    print(f"{kind}: {in_flight} in flight, {recovery:.2f} s", flush=True)


def judge(total: Report, history: History, folder: Path) -> None:
    """Every image once, in order, the right bytes; and soon enough."""
    events = history.events
    failed = [event for event in events if isinstance(event.what, Ended) and event.what.how is How.FAILED]
    assert failed == [], "what was acknowledged is never forgotten"
    found = violations(events, undisturbed(folder / "models", events))
    total.violations += found
    total.count(events)
    assert found == []
    assert total.worst_s <= WORST_S
