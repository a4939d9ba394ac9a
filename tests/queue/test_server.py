"""A Redis that cannot run our scripts is refused when a program starts, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from tests.support.failover import watched_pair
from tests.support.processes import Program, free_port
from tests.support.unready import CONFIG, WAYS
from tests.support.valkey import Valkey, running_valkey
from unikat.cli.doctor.finding import Level
from unikat.cli.doctor.system import redis
from unikat.queue import server
from unikat.queue.clients import Primary, connect, shown
from unikat.queue.server import problems

MODULES = ["unikat_service", "unikat_worker"]


@dataclass(frozen=True)
class Unfit:
    """Settings of a server, and what a program says of it."""

    settings: dict[str, str]
    told: str
    is_durable: bool = True


# A Valkey without BLPOP, as an old server or one whose operator renamed it.
UNFIT = {
    "cluster": Unfit({"cluster_enabled": "yes"}, "it is a cluster, which wants every key of a script declared"),
    "renamed": Unfit({"rename_command": 'BLPOP ""'}, "it lacks BLPOP. Take `rename-command` out of its configuration"),
    "evicts": Unfit({"maxmemory_policy": "allkeys-lru"}, r"it evicts keys \(allkeys-lru\), and jobs are lost"),
    "volatile": Unfit({}, "it keeps nothing on disk, and jobs are lost when it ends", is_durable=False),
}


@pytest.fixture(scope="module", params=UNFIT)
def unfit(request: pytest.FixtureRequest) -> Iterator[tuple[Valkey, Unfit]]:
    """A server that cannot be used."""
    case = UNFIT[request.param]
    settings = case.settings | ({"cluster_port": str(free_port())} if request.param == "cluster" else {})
    with running_valkey("everysec" if case.is_durable else "", **settings) as valkey:
        yield valkey, case


@pytest.mark.parametrize("module", MODULES)
def test_a_program_does_not_start_with_it_and_says_why(unfit: tuple[Valkey, Unfit], module: str) -> None:
    valkey, case = unfit
    env = {"UNIKAT_REDIS_URL": valkey.url, "UNIKAT_LISTEN": "127.0.0.1:0", "UNIKAT_ALLOW_VOLATILE": "0"}
    with Program(module, env=env) as program:
        program.wait_for_line(f"--redis-url: {case.told}")
        assert program.process.wait(30) == 1
        assert "Traceback" not in program.output


def test_the_doctor_names_it_and_what_to_do(unfit: tuple[Valkey, Unfit], tmp_path: Path) -> None:
    valkey, case = unfit
    found = [each for each in redis(valkey.url, tmp_path) if each.level is Level.PROBLEM and each.what == "Redis"]
    assert re.search(case.told.partition(". ")[0], found[0].found)
    assert found[0].remedy


def test_a_server_that_turns_out_to_be_unfit_later_ends_the_service(valkey: Valkey) -> None:
    valkey.kill()
    env = {"UNIKAT_REDIS_URL": valkey.url, "UNIKAT_LISTEN": "127.0.0.1:0", "UNIKAT_ALLOW_VOLATILE": "0"}
    with Program("unikat_service", env=env | {"UNIKAT_GRACE_S": "0"}) as program:
        program.wait_for_line("waiting for Redis")
        program.wait_for_line("service ready")
        valkey.start()
        program.wait_for_line("--redis-url: it keeps nothing on disk")
        assert program.process.wait(30) == 1


def test_a_sentinel_is_no_server() -> None:
    told = r"it is a Sentinel\. Name the Sentinels and their service: redis\+sentinel"
    with watched_pair() as (_, sentinels):
        sentinel = connect(f"redis://127.0.0.1:{sentinels.ports[0]}", "test")
        with sentinel, pytest.raises(server.Unfit, match=told):
            server.check(sentinel, allow_volatile=False)


@pytest.mark.parametrize("code", ["READONLY", "MISCONF", "NOREPLICAS", "OOM"])
def test_the_doctor_says_in_words_why_it_takes_no_writes(tmp_path: Path, code: str) -> None:
    with running_valkey("everysec", **CONFIG) as valkey, WAYS[code](valkey):
        found = [each.found for each in redis(valkey.url, tmp_path) if each.level is Level.PROBLEM]
    assert re.search(rf"takes no writes: it.*\({code}\)", found[0]), found


@pytest.mark.parametrize(
    ("url", "hidden"),
    [
        ("redis://:secret@host:1/0", "redis://:***@host:1/0"),
        (
            "rediss+sentinel://me:se:cret@a,b:2/s?sentinel_password=secret",
            "rediss+sentinel://me:***@a,b:2/s?sentinel_password=***",
        ),
        ("unix:///var/run/valkey.sock", "unix:///var/run/valkey.sock"),
    ],
)
def test_passwords_in_urls_are_not_shown(url: str, hidden: str) -> None:
    assert shown(url) == hidden


def test_the_url_of_sentinels_is_read() -> None:
    url = "rediss+sentinel://me:p%40ss@one,two:1,[::1]:5/prod/3?sentinel_password=x&ssl_ca_certs=/ca.pem"
    found = Primary.of(url)
    assert found is not None
    assert (found.service, found.sentinels) == ("prod", [("one", 26379), ("two", 1), ("::1", 5)])
    assert found.options == {"username": "me", "password": "p@ss", "db": 3, "ssl": True, "ssl_ca_certs": "/ca.pem"}
    assert found.sentinel_options.items() >= {"ssl": True, "ssl_ca_certs": "/ca.pem", "password": "x"}.items()


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    """A client of a server that works."""
    with valkey.client() as client:
        yield client


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"dragonfly_version": "df-v1.25.0", "redis_version": "7.4.0"}, "it is Dragonfly"),
        ({"redis_version": "6.2.14", "redis_mode": "standalone"}, "it is version 6.2.14; the oldest that works is 7.0"),
        ({"redis_version": "7.2.4", "redis_mode": "standalone"}, None),
    ],
)
def test_other_servers_are_known_by_what_they_say(client: Redis, info: dict[str, object], told: str | None) -> None:
    found = problems(client, info | {"aof_enabled": 1})
    assert found == [] if told is None else told in found[0]
