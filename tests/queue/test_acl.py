"""The users of the ACL file: with them everything works, and each is refused what it does not need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from tests.support.batch_calls import BatchCalls
from tests.support.processes import Program, eventually, stopped
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey, running_valkey
from unikat import Studio
from unikat.queue.acl import USERS, acl_file
from unikat.queue.clients import connect
from unikat.v1 import batches_pb2 as pb


@dataclass
class Guarded:
    """A server with the users, whose names are their passwords."""

    valkey: Valkey
    admin: Redis

    def url(self, user: str, password: str | None = None) -> str:
        return self.valkey.tcp_url.replace("//", f"//{user}:{password or user}@")

    def refused(self) -> list[tuple[str, str, str]]:
        """User, command and key that were refused."""
        log = cast("list[dict[str, Any]]", self.admin.acl_log())
        return [(entry["username"], entry["reason"], entry["object"]) for entry in log]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    file = tmp_path_factory.mktemp("acl") / "users.acl"
    file.write_text(acl_file({name: name for name in (*USERS, "admin")}))
    with (
        running_valkey("everysec", aclfile=str(file)) as valkey,
        Redis(port=valkey.port, username="admin", password="admin", decode_responses=True) as admin,
    ):
        yield Guarded(valkey, admin)


def test_the_whole_path_and_batches_work_with_them(guarded: Guarded, tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "models", work=200)
    out = tmp_path / "out"
    out.mkdir()
    env = {"UNIKAT_LISTEN": "127.0.0.1:0", "UNIKAT_MODELS": str(tmp_path / "models"), "UNIKAT_THREADS": "1"}
    env |= {"UNIKAT_DESTINATIONS": f"file://{out}", "UNIKAT_LEASE_S": "1", "UNIKAT_ALLOW_VOLATILE": "0"}
    with ExitStack() as exits:
        service = exits.enter_context(Program("unikat_service", env=env | {"UNIKAT_REDIS_URL": guarded.url("service")}))
        worker_env = env | {"UNIKAT_REDIS_URL": guarded.url("worker")}
        worker = exits.enter_context(Program("unikat_worker", env=worker_env))
        target = "127.0.0.1:" + service.wait_for_line(r"service ready: .*:(\d+) ")[1]
        worker.wait_for_line("worker ready")
        studio = exits.enter_context(Studio(target))
        assert len(list(studio.generate("tiny", count=20, seed=1))) == 20
        assert studio.draw("tiny", seed=1).index == 0
        with studio.generate("tiny", count=4000, seed=2) as images:  # called off in the middle
            next(iter(images))
        calls = exits.enter_context(BatchCalls(target))
        drawn = calls.create(request("drawn", out, 300))
        calls.wait(drawn.id, lambda found: found.drawn_count > 0)
        worker.kill()  # its jobs are swept to another
        second = exits.enter_context(Program("unikat_worker", env=worker_env))
        calls.finish(drawn.id)
        off = calls.create(request("off", out, 100_000))
        calls.wait(off.id, lambda found: found.drawn_count > 0)
        calls.cancel(off.id)
        calls.wait(off.id, lambda found: found.HasField("end_time"))
        calls.delete(drawn.id)
        failing = calls.create(request("failing", out, 100_000))
        calls.wait(failing.id, lambda found: found.drawn_count > 0)
        with stopped(second):  # a destination that breaks, and works again
            broken = (out / "failing").rename(out / "aside")
            (out / "failing").write_text("")
        calls.wait(failing.id, lambda found: found.HasField("pause"))
        with stopped(second):
            (out / "failing").unlink()
            broken.rename(out / "failing")
        calls.wait(failing.id, lambda found: not found.HasField("pause"))
        calls.cancel(failing.id)
        assert second.terminate() == 0
        assert service.terminate() == 0
    assert guarded.refused() == []


def request(name: str, out: Path, count: int) -> pb.CreateBatchRequest:
    plans = [pb.Plan(count=count)]
    return pb.CreateBatchRequest(
        model="tiny", seed=1, request_id=name, destination=str(out / name), plans=plans, shard_size=64
    )


@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "FLUSHDB", "CONFIG GET requirepass", "CONFIG SET maxmemory 1", "KEYS *", "SCAN 0",
        "SHUTDOWN", "REPLICAOF NO ONE", "ACL LIST", "ACL SETUSER mallory on", "CLIENT LIST", "CLIENT KILL ID 1",
        "MONITOR", "SCRIPT FLUSH", "MODULE LIST", "EVAL return(1) 0", "FUNCTION LIST", "GET session:of-another",
        "SET other 1", "DEL other", "PUBLISH rq:pubsub:another {}", "DUMP unikat:workers",
        "RENAME unikat:a unikat:b", "SAVE",
    ],
)  # fmt: skip
def test_each_is_refused_what_it_does_not_need(guarded: Guarded, user: str, command: str) -> None:
    with connect(guarded.url(user), "test") as redis, pytest.raises(NoPermissionError):
        redis.execute_command(*command.split())
    guarded.admin.acl_log_reset()


@pytest.mark.parametrize("user", ["service", "worker"])
def test_a_script_of_ones_own_can_do_no_more(guarded: Guarded, user: str) -> None:
    with connect(guarded.url(user), "test") as redis:
        for body in ("return redis.call('GET', 'session:of-another')", "return redis.call('FLUSHALL')"):
            sha = redis.script_load(f"#!lua\n{body}")
            with pytest.raises(Exception, match=r"ACL failure|NOPERM|can't run this command|No permissions"):
                redis.evalsha(sha, 0)
    guarded.admin.acl_log_reset()


def test_nobody_else_is_let_in(guarded: Guarded) -> None:
    assert acl_file({}).splitlines() == ["user default on nopass resetchannels resetkeys -@all +ping"]
    with connect(guarded.url("worker", "guess"), "test") as redis, pytest.raises(AuthenticationError):
        redis.ping()
    env = {"UNIKAT_REDIS_URL": guarded.url("worker", "guess"), "UNIKAT_LISTEN": "127.0.0.1:0"}
    for module in ("unikat_service", "unikat_worker"):
        with Program(module, env=env) as program:
            assert program.process.wait(30) == 1
            eventually(lambda p=program: "it refuses the user name or the password" in p.output)  # type: ignore[misc]
    guarded.admin.acl_log_reset()
