"""Who is acknowledged waits for a replica, where there is one or has to be one."""

from __future__ import annotations

import pytest

from tests.support.failover import running_pair
from tests.support.valkey import Valkey
from unikat.queue.clients import connect
from unikat.queue.replicas import wait_for_replica
from unikat.queue.unready import Unready


def test_a_server_without_replicas_is_not_waited_for(valkey: Valkey) -> None:
    with connect(valkey.url, "test") as redis:
        redis.set("taken", "1")
        wait_for_replica(redis, "taken")


def test_a_primary_that_lost_its_replica_after_it_took_a_write_acknowledges_nothing(valkey: Valkey) -> None:
    """As one that hung, and wakes up when the replica is the primary."""
    with connect(valkey.url, "test") as redis:
        redis.set("taken", "1")
        redis.config_set("min-replicas-to-write", 1)
        with pytest.raises(Unready):
            wait_for_replica(redis, "taken")


def test_a_replica_that_has_it_is_enough() -> None:
    with running_pair(min_replicas_to_write="1") as pair:
        pair.wait_for_replica()
        with connect(pair.primary.url, "test") as redis:
            redis.set("taken", "1")
            wait_for_replica(redis, "taken")
