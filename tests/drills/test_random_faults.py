"""Random faults into a whole system with calls of every kind in flight: what was acknowledged is delivered.

`--seed` draws the same faults again; their moments are not the same, as processes take their own time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final, cast

import pytest
from redis import Redis

from tests.drills.callers import Callers
from tests.drills.checker import Drawings, violations
from tests.drills.faults import KINDS, Kind, Stage, deck
from tests.drills.history import Accepted, Asked, Event, Fault, History, Image
from tests.drills.recipes import LAST_INDEX, RECIPES, digest_of
from tests.drills.report import Report, Struck
from tests.drills.system import System, running_system
from tests.end_to_end.stack import running_stack
from tests.support.processes import eventually
from unikat import Studio

PIECES: Final = 10
DECKS: Final = 2  # of every kind, at least, in a piece of the long drill
SHORT: Final = 5  # faults
PAIRS: Final = 0.15  # of all faults strike while another one holds
WORST_S: Final = 15.0
GIVE_UP_S: Final = 90.0


@pytest.fixture(scope="module")
def total() -> Report:
    """What all pieces did."""
    return Report()


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("piece", [0, *(pytest.param(n, marks=pytest.mark.long) for n in range(1, PIECES))])
def test_what_was_acknowledged_is_delivered_whatever_breaks(
    total: Report, tmp_path: Path, is_long: bool, drill_seed: int, piece: int
) -> None:
    dice = Random(drill_seed + piece)
    print(f"\n--seed {drill_seed}, piece {piece}")
    kinds = [kind for _ in range(DECKS) for kind in deck(dice)] if is_long else deck(dice)[:SHORT]
    history = History()
    with running_system(tmp_path) as system:
        with Callers(history, [front.target for front in system.fronts], system.out, drill_seed) as callers:
            struck = inject(Stage(system, callers, dice), history, kinds, total)
        left = settled(system)
        if left:
            print(*state(system), sep="\n")
    events = history.events
    found = violations(events, undisturbed(system.models, events))
    total.violations += found
    total.count(events)
    print(*found, *left, "", total.table(), sep="\n", flush=True)
    assert found == []
    assert left == []
    assert len(struck) == len(kinds)
    assert all(each.in_flight > 0 for each in struck)
    assert max(each.recovery_s for each in struck) <= WORST_S


@pytest.mark.long
def test_the_drill_is_as_long_as_the_docs_say(total: Report) -> None:
    assert len(total.struck) >= 1000
    assert all(len(total.by_kind()[kind.name]) >= 20 for kind in KINDS)


def inject(stage: Stage, history: History, kinds: Sequence[Kind], total: Report) -> list[Struck]:
    """Strike with each, some of them two at a time; each strikes when the last is over and all calls have gone on."""
    struck: list[Struck] = []
    left = list(kinds)
    while left:
        now = [left.pop(0)]
        if left and stage.dice.random() < PAIRS and not (now[0].is_exclusive and left[0].is_exclusive):
            now.append(left.pop(0))
        eventually(history.open)
        in_flight = len(history.open())
        over = strike(stage, history, now)
        recovery = recovered(history, over)
        if recovery > WORST_S:
            print(*state(stage.system), sep="\n", flush=True)
        stage.system.wait_until_ready()
        struck += [Struck(kind.name, in_flight, recovery) for kind in now]
        total.struck += struck[-len(now) :]
        print(*struck[-len(now) :], sep="\n", flush=True)
        assert recovery < GIVE_UP_S
        time.sleep(stage.dice.uniform(0.0, 0.3))
    return struck


def strike(stage: Stage, history: History, kinds: Sequence[Kind]) -> float:
    """Strike; the moment from which recovery counts."""
    since = time.monotonic()
    holds = any(kind.holds for kind in kinds)
    with ExitStack() as faults:
        for kind in kinds:
            faults.enter_context(kind.strike(stage))
        if holds:
            time.sleep(stage.dice.uniform(0.2, 1.5))
    for kind in kinds:
        forgotten, stage.forgotten_since = stage.forgotten_since, None
        history.add("", Fault(kind.name, since if forgotten is None else forgotten, forgotten is not None))
    return time.monotonic() if holds else since


def recovered(history: History, since: float) -> float:
    """Seconds from a moment until every call that was open then has gone on."""
    last: set[str] = set()
    until = time.monotonic() + GIVE_UP_S
    while quiet := history.open(quiet_since=since):
        if time.monotonic() > until:
            break
        last = quiet
        time.sleep(0.01)
    recovery = time.monotonic() - since
    if recovery > WORST_S:
        for event in history.events:
            if event.call in last:
                print(f"  {event.at - since:+.2f} s, {event.call}: {event.what}")
    return recovery


def state(system: System) -> Iterator[str]:
    """For who looks for the cause of a slow recovery."""
    yield from leftovers(system)
    redis = system.redis
    yield f"active: {[redis.lrange(key, 0, -1) for key in keys(redis, 'unikat:batches:of:*')]}"
    for key in [*keys(redis, "rq:queue:unikat-batch-*"), *keys(redis, "rq:wip:unikat-batch-*")]:
        fields = redis.hgetall(f"unikat:batch:{key.rpartition('-')[2]}")
        yield f"{key}: { {name: value for name, value in fields.items() if name not in (b'head', b'content')} }"
        begun = cast(list[bytes], redis.zrange(key, 0, -1)) if key.startswith("rq:wip") else []
        for member in begun:
            job = redis.hgetall(f"rq:job:{member.decode().partition(':')[0]}")
            facts = {name: value for name, value in job.items() if name not in (b"data", b"unikat")}
            yield f"  {member!r}: {redis.hgetall('rq:execution:' + member.decode())}, {facts}"
    for key in keys(redis, "rq:worker:*:executions"):
        yield f"{key}: {redis.smembers(key)}"
    yield f"leases: {keys(redis, 'unikat:lease:*')}"
    for program in [*system.services, *system.workers]:
        yield f"{program.name} {program.process.pid}:"
        yield from program.lines[-15:]


def undisturbed(models: Path, events: Sequence[Event]) -> Drawings:
    """Every image of every recipe and model version in a history, drawn by a stack that nothing happens to."""
    recipes = {event.call: event.what.recipe for event in events if isinstance(event.what, Asked)}
    asked = {(event.what.model, recipes[event.call]) for event in events if isinstance(event.what, Accepted)}
    drawn: dict[tuple[str, str], dict[int, Image]] = {}
    with running_stack(models) as stack, Studio(stack.target) as studio:
        for model, name in sorted(asked):
            recipe = RECIPES[name]
            images = studio.generate(model, recipe.where, count=LAST_INDEX, seed=recipe.seed)
            drawn[model, name] = {image.index: Image(image.index, image.id, digest_of(image.data)) for image in images}
    return drawn


def settled(system: System) -> list[str]:
    """What is left behind when all calls have ended and half a minute has passed for it to go."""
    until = time.monotonic() + 30
    while (left := leftovers(system)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


_FOREVER: Final = re.compile(
    r"rq:(queues|workers(:.*)?|clean_registries.*|worker:.*|finished:.*|failed:.*|canceled:.*|queue-key.*)"
    r"|unikat:(models|workers|queues:.*|batch(es)?(:.*)?)"
)


def leftovers(system: System) -> list[str]:
    """Work that is in hand of nobody, leases of callers that are gone, keys for ever, unfinished files."""
    redis = system.redis
    found = [f"a list: {key}" for key in keys(redis, "rq:queue:*") if redis.llen(key)]
    found += [f"begun: {key}" for key in keys(redis, "rq:wip:*") if redis.zcard(key)]
    found += [f"a turn: {key}" for key in keys(redis, "unikat:turns:*")]
    for job, leases in system.leases().items():
        # An older dump brings leases back that were given up: they end with the results of their job.
        found += [f"a lease in {job}: {lease}" for lease in leases - system.returned]
    alive = keys(redis, "unikat:lease:*")
    if len(alive) != len(system.workers):
        found.append(f"leases of workers: {alive}")
    found += [f"for ever: {key}" for key in keys(redis, "*") if redis.ttl(key) == -1 and not _FOREVER.fullmatch(key)]
    return found + [f"a file: {file}" for file in system.out.rglob("*.tmp")]


def keys(redis: Redis, pattern: str) -> list[str]:
    return [key.decode() for key in redis.scan_iter(pattern, count=1000)]
