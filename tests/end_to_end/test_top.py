"""`unikat top` beside a stack that draws calls and a batch: what it says, that it fits, and that it only reads."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from tests.end_to_end.shop import Shop, plan, running_shop
from tests.queue.driver import draw_job, enqueue
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import running_valkey
from tests.unikat.test_cli import unikat
from unikat import Studio
from unikat.batches.spec import BatchSpec, Cell
from unikat.queue import tokens
from unikat.queue.acl import USERS, acl_file
from unikat.queue.activity import Activity, activity_key
from unikat.queue.batches.keys import batch_key
from unikat.queue.batches.store import BatchStore
from unikat.queue.clients import connect
from unikat.queue.clock import redis_time
from unikat.queue.control import CONTROL_KEY
from unikat.queue.stream import stream_key
from unikat.queue.tokens import TOKENS_KEY
from unikat.queue.workers import WORKER_TTL, WORKERS_KEY, WorkerStatus, worker_key

IMAGES = 4000
HOSTILE = "\x1b]0;owned\x07\x1b[2Jx"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("top")
    write_tiny_bundle(folder / "models")
    write_tiny_bundle(folder / "models", "slow", work=400)
    (folder / "out").mkdir()
    with running_shop(folder / "models", folder / "out", "slow", UNIKAT_MAX_JOBS="2") as shop:
        yield shop


def overview(shop: Shop) -> dict[str, Any]:
    """What the command says as JSON."""
    done = unikat("top", "--once", "--json", UNIKAT_REDIS_URL=shop.stack.valkey.url)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextmanager
def calls(shop: Shop, count: int) -> Iterator[None]:
    """So many calls in progress, of which the worker takes two at a time; called off at the end."""
    with Studio(shop.stack.target) as studio:
        generations = [studio.generate("slow", count=IMAGES, seed=seed) for seed in range(count)]
        for each in generations:
            assert each.accepted.count == IMAGES
        try:
            yield
        finally:
            for each in generations:
                each.cancel()


def test_it_counts_what_waits_and_what_is_in_hand(shop: Shop) -> None:
    with Studio(shop.stack.target) as studio:
        assert len(list(studio.generate("slow", count=40, seed=9))) == 40  # so that a rate is known
        for seed in range(5):
            studio.draw("tiny", seed=seed)
        eventually(lambda: studio.estimate("slow", count=1).work is not None)  # the service knows it, too
    with calls(shop, 5):
        found = eventually(lambda: worker_has(shop, 2))
        (queue,) = [each for each in found["queues"] if each["model"] == "slow@1"]
        assert (queue["jobs"], queue["callers"], queue["workers"]) == (3, 1, 1)
        (worker,) = found["workers"]
        assert worker["busy"]
        assert queue["work_s"] == pytest.approx(sum(said_seconds(shop)))
        doing = worker["activity"]
        assert doing["work_s"] > 0
        assert doing["memory"] > 2**24
        assert set(doing["loaded"]) == {"slow@1", "tiny@1"}
        assert [(job["model"], job["images"]) for job in doing["oldest"]] == [("slow@1", IMAGES)] * 2
    found = overview(shop)
    assert found["latencies"]["elapsed"]["jobs"] >= 6
    for stage in ("queued", "batched", "drawn", "encoded", "elapsed"):
        of = found["latencies"][stage]
        assert of["p50"] <= of["p95"]
    assert found["latencies"]["drawn"]["p50"] < found["latencies"]["elapsed"]["p50"]


def said_seconds(shop: Shop) -> list[float]:
    """What the jobs of calls that wait are expected to take, as their hashes say."""
    (queue,) = [each for each in shop.stack.queues() if each.count]
    extras = [shop.stack.redis.hget(f"rq:job:{id}", "unikat") for id in queue.job_ids]
    return [float(json.loads(extra)["seconds"]) for extra in extras if extra]


def worker_has(shop: Shop, jobs: int) -> dict[str, Any]:
    """The overview in which the worker says so; it says it with its next beat."""
    found = overview(shop)
    activity = found["workers"][0]["activity"]
    return found if activity["jobs"] == jobs and activity["work_s"] else {}


def test_a_frame_fits_80_columns_and_names_everything(shop: Shop) -> None:
    batch = shop.create("shown", plans=plan(50_000), shard_size=64)
    try:
        with calls(shop, 3):
            shop.calls.wait(batch.id, lambda found: found.HasField("start_time"), 60)
            eventually(lambda: worker_has(shop, 2))
            shown = on_a_terminal(shop, "top", "--once")
    finally:
        shop.calls.cancel(batch.id)
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()]
    assert max(map(len, lines)) <= 80
    for word in ("Models", "Workers", "Latency", "Oldest jobs in hand", "Batches", "p50", "p95", "slow@1", "busy"):
        assert any(word in line for line in lines), f"{word} is missing:\n" + "\n".join(lines)
    assert any(batch.id in line and "50,000" in line for line in lines)


def on_a_terminal(shop: Shop, *arguments: str, keys: bytes = b"") -> str:
    """All that `unikat <arguments>` writes to a terminal of 80 columns; `keys` are pressed after its first frame."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"UNIKAT_REDIS_URL": shop.stack.valkey.url, "TERM": "xterm-256color"}
    environment |= {"COLUMNS": "80", "LINES": "40"}
    command = [sys.executable, "-m", "unikat.cli", *arguments]
    with subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs) as program:
        os.close(theirs)
        killer = threading.Timer(60, program.kill)
        killer.start()
        seen = b""
        try:
            while data := os.read(ours, 65536):
                seen += data
                if keys and b"Workers" in seen:
                    os.write(ours, keys)
                    keys = b""
        except OSError:  # its end, on Linux
            pass
        os.close(ours)
    killer.cancel()
    assert program.returncode == 0, seen
    return seen.decode(errors="replace")


@pytest.mark.parametrize("keys", [b"q", b"\x1b[Aq"])  # an arrow key first
def test_q_ends_it_and_gives_the_screen_back(shop: Shop, keys: bytes) -> None:
    seen = on_a_terminal(shop, "top", keys=keys)
    assert "\x1b[?1049h" in seen, "the other screen"
    assert seen.rindex("\x1b[?1049l") > seen.rindex("Workers")


def test_names_of_others_do_nothing_to_a_terminal(shop: Shop) -> None:
    redis = shop.stack.redis
    status = WorkerStatus(HOSTILE, {HOSTILE: "sha256:00"}, "cpu", "x", "y", 1.0, 1.0, shop.stack.redis.time()[0])
    redis.set(worker_key(HOSTILE), status.to_json(), ex=60)
    redis.zadd(WORKERS_KEY, {HOSTILE: status.beat_at + WORKER_TTL})
    redis.set(activity_key(HOSTILE), '{"jobs": "many"}', ex=60)
    try:
        assert "says what cannot be read" in on_a_terminal(shop, "top", "--once")
        redis.set(activity_key(HOSTILE), Activity(jobs=1).to_json(), ex=60)
        for seen in (on_a_terminal(shop, "top", "--once"), on_a_terminal(shop, "top", keys=b"q")):
            assert "\x1b]0" not in seen
            assert "\x07" not in seen
            assert "\x1b[2J" not in seen.replace("\x1b[2J\x1b[H", "")
            assert r"\x1b]" in seen
    finally:
        redis.delete(worker_key(HOSTILE), activity_key(HOSTILE))
        redis.zrem(WORKERS_KEY, HOSTILE)


def test_it_says_where_no_redis_is_and_what_to_do() -> None:
    done = unikat("top", "--once", UNIKAT_REDIS_URL="redis://:secret@127.0.0.1:1")
    assert done.returncode == 1
    assert "Redis at redis://:***@127.0.0.1:1" in done.stderr
    assert "unikat up" in done.stderr


def test_the_user_who_watches_can_do_no_more(tmp_path: Path) -> None:
    file = tmp_path / "users.acl"
    file.write_text(acl_file({name: name for name in (*USERS, "admin")}))
    with running_valkey("everysec", aclfile=str(file)) as valkey, ExitStack() as exits:

        def url(user: str) -> str:
            return valkey.tcp_url.replace("//", f"//{user}:{user}@")

        admin = exits.enter_context(connect(url("admin"), "test"))
        fill(admin)
        done = unikat("top", "--once", "--json", UNIKAT_REDIS_URL=url("monitor"))
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert [worker["activity"]["jobs"] for worker in found["workers"]] == [3]
        assert [(queue["model"], queue["jobs"], queue["work_s"]) for queue in found["queues"]] == [("tiny@1", 1, 2.5)]
        assert [(batch["model"], batch["waitingShards"]) for batch in found["batches"]] == [("tiny@1", 3)]
        assert admin.acl_log() == []
        monitor = exits.enter_context(connect(url("monitor"), "test"))
        reads = [("XRANGE", stream_key("one"), "-", "+"), ("HGETALL", TOKENS_KEY), ("HGETALL", CONTROL_KEY)]
        for command in (
            *reads,
            *(("SET", key, "x") for key in (worker_key("w"), batch_key("b" * 16), "rq:queues", "other")),
        ):
            with pytest.raises(NoPermissionError):
                monitor.execute_command(*command)


def fill(admin: Redis) -> None:
    """A worker with something in hand, a job that waits, a batch, a stream with an image, and a token."""
    job = replace(draw_job(), seconds=2.5)
    assert enqueue(admin, [("one", job)]) == ["queued"]
    status = WorkerStatus("w", {job.model: job.digest}, "cpu", "x", "y", 1.0, 1.0, redis_time(admin))
    admin.set(worker_key("w"), status.to_json())
    admin.zadd(WORKERS_KEY, {"w": status.beat_at + WORKER_TTL})
    admin.set(activity_key("w"), Activity(jobs=3).to_json())
    admin.xadd(stream_key("one"), {"response": b"an image"}, "1-0")
    spec = BatchSpec(job.model, job.digest, 1, 0.8, 1, 1, (Cell({}, 12),), "file:///out/b", shard_size=4)
    BatchStore(admin).create("b" * 16, spec, "content")
    tokens.create(admin, "anna", ["generate"], None)
