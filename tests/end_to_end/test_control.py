"""Models loaded, unloaded, pinned, and workers drained while calls are under way: none is lost by any of it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from rq.suspension import resume, suspend

from tests.end_to_end.shop import plan, running_shop
from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import running_valkey
from tests.unikat.test_cli import unikat
from unikat import Studio, UnikatError
from unikat.errors import InvalidRequest, NotFound, WrongState
from unikat.queue import tokens
from unikat.queue.acl import USERS, acl_file
from unikat.queue.activity import Activity, activity_key
from unikat.queue.clients import connect
from unikat.queue.control import CONTROL_KEY
from unikat.queue.workers import WORKERS_KEY, WorkerStatus, worker_key

LONG = 1200  # images of a call that lasts for some seconds


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny@1 and tiny@2, and slow@1."""
    folder = tmp_path_factory.mktemp("models")
    for version in (1, 2):
        write_tiny_bundle(folder, version=version)
    write_tiny_bundle(folder, "slow", work=300)
    return folder


@pytest.fixture
def stack(models: Path) -> Iterator[Stack]:
    with running_stack(models, workers=2) as stack:
        yield stack


def statuses(stack: Stack) -> list[WorkerStatus]:
    """What the live workers say of themselves."""
    names = [name.decode() for name in cast(list[bytes], stack.redis.zrange(WORKERS_KEY, 0, -1))]
    texts = [stack.redis.get(worker_key(name)) for name in names]
    return [WorkerStatus.from_json(text) for text in texts if text]


def loaded(stack: Stack) -> list[set[str]]:
    """The models that each live worker keeps in memory."""
    texts = [stack.redis.get(activity_key(status.name)) for status in statuses(stack)]
    return [set(Activity.from_json(text).loaded) for text in texts if text]


@contextmanager
def calls_under_way(stack: Stack, model: str, count: int) -> Iterator[None]:
    """So many calls that go on during the block; each gets every image, once and in order, or the test fails."""
    failures: list[str] = []
    begun = threading.Barrier(count + 1)

    def call(seed: int) -> None:
        try:
            with (
                Studio(stack.target, reconnect_timeout=0) as studio,
                studio.generate(model, count=LONG, seed=seed) as of,
            ):
                begun.wait(30)
                assert [artwork.index for artwork in of] == list(range(LONG))
        except (UnikatError, AssertionError, threading.BrokenBarrierError) as error:
            failures.append(repr(error))

    threads = [threading.Thread(target=call, args=(seed,)) for seed in range(count)]
    for thread in threads:
        thread.start()
    begun.wait(30)
    yield
    for thread in threads:
        thread.join(120)
    assert failures == []


def test_a_pin_is_what_a_name_means_until_it_is_taken_back_whatever_restarts(stack: Stack) -> None:
    with Studio(stack.target) as studio:
        assert studio.model("tiny").version == 2
        change = studio.operations.pin("tiny@1", "2 draws too much green")
        assert (change.action, change.subject, change.reason) == ("pin", "tiny@1", "2 draws too much green")
        assert studio.model("tiny").version == 1
        assert studio.draw("tiny", seed=1).data == studio.draw("tiny@1", seed=1).data
        assert studio.model("tiny@2").version == 2, "who names a version gets it"
        stack.valkey.kill()
        stack.valkey.start()
        assert stack.service is not None
        stack.service.kill()
        stack.start_service()
        assert eventually(lambda: studio.model("tiny").version) == 1
        with pytest.raises(WrongState, match="pinned to"):
            studio.operations.unload("tiny@1")
        with pytest.raises(NotFound, match='did you mean "tiny'):
            studio.operations.pin("tiny@7")
        studio.operations.unpin("tiny")
        assert studio.model("tiny").version == 2
        assert [each.action for each in studio.operations.history()] == ["unpin", "pin"]


def test_calls_under_way_are_finished_when_their_model_is_unloaded_and_new_ones_are_refused(stack: Stack) -> None:
    with Studio(stack.target) as studio, ExitStack() as exits:
        studio.draw("tiny@2")
        exits.enter_context(calls_under_way(stack, "slow", 6))
        studio.operations.unload("slow@1", "it is too slow")
        with pytest.raises(WrongState, match='slow@1 is unloaded: "it is too slow"') as caught:
            studio.draw("slow")
        assert caught.value.reason == "MODEL_UNLOADED"
        assert "slow" not in {model.name for model in studio.models()}
        exits.close()  # all have all their images
        eventually(lambda: all("slow@1" not in status.models for status in statuses(stack)))
        eventually(lambda: all("slow@1" not in of for of in loaded(stack)))
        with pytest.raises(WrongState):
            studio.draw("slow@1")
        started = stack.start_worker()
        started.wait_for_line("worker ready")
        name = started.wait_for_line(r"worker ready: .* name=(\S+)")[1]
        assert all("slow@1" not in status.models for status in statuses(stack) if status.name == name), "a new one"
        studio.operations.load("slow@1", "it is faster now")
        eventually(lambda: studio.draw("slow", seed=3) if can_draw(studio) else None)
        eventually(lambda: all("slow@1" in of for of in loaded(stack)) and len(loaded(stack)) == 3)


def can_draw(studio: Studio) -> bool:
    """Whether slow is served."""
    return "slow" in {model.name for model in studio.models()}


def test_a_name_means_another_version_when_one_is_unloaded(stack: Stack) -> None:
    with Studio(stack.target) as studio:
        studio.operations.unload("tiny@2")
        assert studio.model("tiny").version == 1
        assert studio.draw("tiny", seed=1).data == studio.draw("tiny@1", seed=1).data
        with pytest.raises(InvalidRequest, match="which version"):
            studio.operations.unload("tiny")
        studio.operations.unload("tiny@1")
        with pytest.raises(WrongState, match="unloaded"):
            studio.draw("tiny")
        assert studio.model("slow").version == 1, "others are served"
        studio.operations.unload("slow@1")
        done = unikat("doctor", UNIKAT_TARGET=stack.target, UNIKAT_REDIS_URL=stack.valkey.url)
        assert "offers no model" in done.stdout
        assert "`unikat models history` says whether all were unloaded" in done.stdout


def test_a_batch_under_way_is_finished_when_its_model_is_unloaded(models: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with running_shop(models, tmp_path / "out", "slow") as shop, Studio(shop.stack.target) as studio:
        batch = shop.create("going", plans=plan(5_000), shard_size=50)
        shop.calls.wait(batch.id, lambda found: found.drawn_count > 0, 60)
        suspend(shop.stack.redis)
        studio.operations.unload("slow@1")
        with pytest.raises(WrongState, match="unloaded"):
            studio.create_batch("slow", to=tmp_path / "out" / "new", count=10)
        studio.operations.unload("tiny@1")  # which a worker gives up no earlier than it could what was unloaded before
        eventually(lambda: all("tiny@1" not in status.models for status in statuses(shop.stack)))
        assert all("slow@1" in status.models for status in statuses(shop.stack)), "shards of the batch are waiting"
        assert all("slow@1" in of for of in loaded(shop.stack))
        resume(shop.stack.redis)
        assert shop.calls.finish(batch.id, 120).drawn_count == 5_000
        eventually(lambda: all("slow@1" not in status.models for status in statuses(shop.stack)))
        eventually(lambda: all("slow@1" not in of for of in loaded(shop.stack)))


def test_a_drained_worker_finishes_what_it_has_and_leaves(stack: Stack) -> None:
    leaving = stack.workers[0]
    name = leaving.wait_for_line(r"worker ready: .* name=(\S+)")[1]
    with Studio(stack.target) as studio:
        with pytest.raises(NotFound, match=re.escape(name)):
            studio.operations.drain("nobody")
        with calls_under_way(stack, "slow", 6):
            studio.operations.drain(name, "its machine is wanted")
            assert [change.subject for change in studio.operations.control().draining] == [name]
            assert leaving.wait(90) == 0
            eventually(lambda: name not in {status.name for status in statuses(stack)})
        assert "its machine is wanted" in leaving.output
        assert studio.operations.control().draining == ()
        assert studio.draw("tiny").index == 0, "the other one goes on"


def test_a_worker_of_the_same_name_is_not_drained_again(models: Path) -> None:
    with running_stack(models, UNIKAT_WORKER_NAME="one") as stack, Studio(stack.target) as studio:
        studio.operations.drain("one")
        stack.workers[0].kill()  # before it could say that it has heard
        stack.redis.delete("rq:worker:one")
        again = stack.start_worker()
        again.wait_for_line("worker ready")
        assert studio.draw("tiny", timeout=30).index == 0
        with pytest.raises(AssertionError, match="said nothing"):
            again.wait_for_line("taking nothing more", 5)


def test_what_was_said_of_a_worker_that_was_lost_is_forgotten_with_the_next_draining(stack: Stack) -> None:
    names = [worker.wait_for_line(r"worker ready: .* name=(\S+)")[1] for worker in stack.workers]
    with Studio(stack.target) as studio:
        studio.operations.drain(names[0])
        stack.workers[0].kill()  # before it has left
        eventually(lambda: names[0] not in {status.name for status in statuses(stack)}, 30)
        stack.start_worker().wait_for_line("worker ready")
        studio.operations.drain(names[1])
        assert stack.redis.hkeys(CONTROL_KEY) == [f"drain {names[1]}".encode()]


def test_the_command_line_says_what_it_did_and_who_it_was(stack: Stack) -> None:
    def said(*words: str) -> str:
        done = unikat("models", *words, UNIKAT_TARGET=stack.target)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "means tiny@1 from now on" in said("pin", "tiny@1", "-m", "greener")
    assert "unikat models load slow@1" in said("unload", "slow@1")
    told = said("history")
    assert "tiny@1 is what its name means." in told
    assert "slow@1 is unloaded." in told
    assert re.search(r"\d\d:\d\d:\d\d +default +pin tiny@1 +greener", told)
    said("unpin", "tiny")
    said("load", "slow@1")
    changes = [json.loads(line) for line in said("history", "--json").splitlines()]
    assert [change["action"] for change in changes] == ["load", "unpin", "unload", "pin"]
    done = unikat("models", "unload", "tiny@9", UNIKAT_TARGET=stack.target)
    assert done.returncode == 2
    assert "tiny@2" in done.stderr, "the choices"
    assert stack.service is not None
    stack.service.wait_for_line(r'changed caller="default" .*method="/unikat.v1.Operations/PinModel" what="pin tiny@1"')


def test_only_administrators_may(stack: Stack) -> None:
    _, artist = tokens.create(stack.redis, "anna", ["generate", "batch"], None)
    _, admin = tokens.create(stack.redis, "olga", ["admin"], None)
    with Studio(stack.target, token=artist) as studio:
        for call in (studio.operations.pin, studio.operations.unload, studio.operations.load):
            with pytest.raises(UnikatError, match="needs the scope admin"):
                call("tiny@1")
        with pytest.raises(UnikatError, match="needs the scope admin"):
            list(studio.operations.history())
    with Studio(stack.target, token=admin) as studio:
        assert studio.operations.pin("tiny@1").caller == "olga"


def test_what_nobody_of_ours_wrote_changes_nothing(stack: Stack) -> None:
    rubbish: dict[Any, Any] = {"unload": "x", "unload tiny@1": "1-1", "pin tiny": b"\xff\n\n\n"}
    rubbish["eat tiny@1"] = "1-1\na\nb\nc"
    stack.redis.hset(CONTROL_KEY, mapping=rubbish)
    with Studio(stack.target) as studio:
        assert studio.draw("tiny@1").index == 0
        assert studio.model("tiny").version == 2
        assert studio.operations.control().pinned == ()
    assert all(program.process.poll() is None for program in stack.workers)


def test_it_works_with_the_users_of_the_acl_file(models: Path, tmp_path: Path) -> None:
    file = tmp_path / "users.acl"
    file.write_text(acl_file({name: name for name in (*USERS, "admin")}))
    with running_valkey("everysec", aclfile=str(file)) as valkey, ExitStack() as exits:
        env = {"UNIKAT_LISTEN": "127.0.0.1:0", "UNIKAT_MODELS": str(models), "UNIKAT_THREADS": "1"}

        def start(program: str) -> Program:
            url = valkey.tcp_url.replace("//", f"//{program}:{program}@")
            return exits.enter_context(Program(f"unikat_{program}", env=env | {"UNIKAT_REDIS_URL": url}))

        service, worker = start("service"), start("worker")
        target = "127.0.0.1:" + service.wait_for_line(r"service ready: .*:(\d+) ")[1]
        name = worker.wait_for_line(r"worker ready: .* name=(\S+)")[1]
        studio = exits.enter_context(Studio(target))
        studio.operations.pin("tiny@1")
        studio.operations.unload("tiny@2")
        studio.operations.load("tiny@2")
        assert len(list(studio.operations.history())) == 3
        studio.operations.drain(name)
        assert worker.wait(30) == 0
        admin = exits.enter_context(connect(valkey.tcp_url.replace("//", "//admin:admin@"), "test"))
        assert admin.acl_log() == []
