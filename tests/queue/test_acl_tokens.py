"""Who may touch the tokens in Redis: the ACL's users, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from tests.support.valkey import Valkey, running_valkey
from unikat.queue.acl import USERS, acl_file
from unikat.queue.clients import connect
from unikat.queue.tokens import TOKENS_KEY, create, read_all, revoke, rotate


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Valkey]:
    """A server with the users of the ACL file, whose names are their passwords."""
    file = tmp_path / "users.acl"
    file.write_text(acl_file({name: name for name in USERS}))
    with running_valkey(aclfile=str(file)) as valkey:
        yield valkey


def url(valkey: Valkey, user: str) -> str:
    return valkey.tcp_url.replace("//", f"//{user}:{user}@")


def test_the_operator_makes_tokens_and_touches_nothing_else(guarded: Valkey) -> None:
    with connect(url(guarded, "operator"), "test") as redis:
        create(redis, "anna", ["generate"], 60.0)
        assert rotate(redis, "anna", 0.0) is not None
        assert len(revoke(redis, "anna")) == 1
        assert [token.name for token in read_all(redis)] == ["anna", "anna"]
        for forbidden in (("GET", "unikat:worker:w"), ("HDEL", TOKENS_KEY, "x"), ("DEL", TOKENS_KEY), ("KEYS", "*")):
            with pytest.raises(NoPermissionError):
                redis.execute_command(*forbidden)


def test_the_service_reads_tokens_and_the_worker_does_not_see_them(guarded: Valkey) -> None:
    with connect(url(guarded, "service"), "test") as service, connect(url(guarded, "worker"), "test") as worker:
        assert service.hlen(TOKENS_KEY) == 0
        assert service.hmget(TOKENS_KEY, ["x"]) == [None]
        with pytest.raises(NoPermissionError):
            create(service, "mallory", ["admin"], None)
        for act in (lambda: worker.hget(TOKENS_KEY, "x"), lambda: create(worker, "mallory", ["admin"], None)):
            with pytest.raises(NoPermissionError):
                act()
