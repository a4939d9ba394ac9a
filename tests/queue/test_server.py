"""A Redis that cannot run our scripts is refused when a program starts, with the reason."""

from __future__ import annotations

import pytest
from redis import Redis

from tests.end_to_end.stack import free_port
from tests.support.processes import Program, eventually
from tests.support.valkey import running_valkey
from unikat.queue.server import problems


@pytest.mark.parametrize("module", ["unikat_service", "unikat_worker"])
def test_a_program_does_not_start_on_a_cluster(module: str) -> None:
    with running_valkey(cluster_enabled="yes", cluster_port=str(free_port())) as valkey:
        env = {"UNIKAT_REDIS_URL": valkey.url, "UNIKAT_LISTEN": "127.0.0.1:0"}
        with Program(module, env=env) as program:
            assert program.process.wait(30) == 1
            eventually(lambda: "it is a cluster, which wants every key of a script declared" in program.output)


@pytest.mark.parametrize(
    ("info", "told"),
    [
        ({"dragonfly_version": "df-v1.25.0", "redis_version": "7.4.0"}, "it is Dragonfly"),
        ({"redis_version": "6.2.14", "redis_mode": "standalone"}, "it is version 6.2.14; the oldest that works is 7.0"),
        ({"redis_version": "7.2.4", "redis_mode": "standalone"}, None),
    ],
)
def test_other_servers_are_known_by_what_they_say(redis: Redis, info: dict[str, object], told: str | None) -> None:
    found = problems(redis, info | {"aof_enabled": 1})
    assert found == [] if told is None else told in found[0]
