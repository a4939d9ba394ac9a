"""`unikat up`: one process tree that starts, heals, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import psutil
import pytest
from redis import Redis

from tests.support.processes import Program, eventually, spawn
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey
from unikat import Studio
from unikat.cli.up.address import make_socket, socket_of
from unikat.errors import InvalidRequest
from unikat.queue.workers import WORKERS_KEY

READY = (
    r"Unikat is ready on (\S+): tiny@1 \((\d) workers?, CPUExecutionProvider\)\. Batches may be written to \S+\. Ctrl-C"
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "models")
    return tmp_path / "models"


@contextmanager
def up(models: Path, *arguments: str) -> Iterator[tuple[Program, str]]:
    """`unikat up` on a free port, ready; yields it and its target."""
    data = models.parent / "data"
    settings = ("--models", str(models), "--data", str(data), "--listen", "127.0.0.1:0")
    with spawn("unikat.cli", "up", *settings, "--gallery", "none", *arguments) as program:
        target = program.wait_for_line(READY, 60)[1]
        program.wait_for_line("Works are claimed on", 60)
        yield program, target


def tree(program: Program) -> dict[str, psutil.Process]:
    """What it started, by kind and process id."""
    children = psutil.Process(program.process.pid).children(recursive=True)
    return {f"{kind_of(child)} {child.pid}": child for child in children}


def kind_of(process: psutil.Process) -> str:
    """Between fork and exec a child is still called what its parent is, and one that just ended has no name."""
    try:
        command = " ".join(process.cmdline())
    except psutil.Error:
        command = ""
    kinds = ("valkey-server", "service", "worker", "registry", "gallery")
    return next((kind for kind in kinds if kind in command), "nothing")


def members(program: Program, kind: str) -> list[psutil.Process]:
    return [process for name, process in tree(program).items() if name.startswith(kind)]


def all_gone(processes: list[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def draw(target: str, count: int = 4) -> int:
    with Studio(target) as studio:
        return len(list(studio.generate("tiny", count=count, seed=1)))


def test_it_draws_heals_and_stops_without_a_trace(models: Path) -> None:
    with up(models, "--workers", "2", "--gallery", "127.0.0.1:0") as (program, target):
        assert draw(target) == 4
        gallery = program.wait_for_line(r"The gallery is on (http://127\.0\.0\.1:\d+/)$")[1]
        with urlopen(gallery) as page:
            assert b"<title>Unikat</title>" in page.read()
        with urlopen(f"{gallery}api/work?model=tiny&seed=1") as work:
            assert json.load(work)["registry"] is True, "works can be claimed there"
        kinds = ["gallery", "registry", "service", "valkey-server", "worker", "worker"]
        assert sorted(name.split()[0] for name in tree(program)) == kinds
        before = {worker.pid for worker in members(program, "worker")}
        for kind in ("worker", "service", "valkey-server", "registry", "gallery"):
            members(program, kind)[0].kill()
            program.wait_for_line(rf"{kind.removesuffix('-server')}\S* was ended by SIGKILL; it is started again")
        eventually(lambda: len(tree(program)) == 6)
        assert {worker.pid for worker in members(program, "worker")} != before
        assert draw(target) == 4
        everything = list(tree(program).values())
        assert program.terminate(40) == 0
    assert all_gone(everything)
    assert not socket_of(models.parent / "data").exists()
    assert "service ready" in (models.parent / "data" / "logs" / "service.log").read_text()


def test_killed_with_9_it_leaves_no_orphan(models: Path) -> None:
    with up(models) as (program, _):
        everything = list(tree(program).values())
        assert len(everything) == 4
        program.process.send_signal(signal.SIGKILL)
        eventually(lambda: all_gone(everything), deadline=15)
    with up(models) as (_, target):
        assert draw(target) == 4, "the same data folder can be used again"


def test_ctrl_c_stops_it_and_its_logs_can_be_seen(models: Path) -> None:
    with up(models, "--verbose") as (program, _):
        everything = list(tree(program).values())
        assert "service ready" in program.wait_for_line(r"^ +service \| .*ready")[0]
        program.process.send_signal(signal.SIGINT)
        assert program.wait(40) == 0
        assert all_gone(everything)


def test_batches_go_where_it_says_and_nowhere_else(models: Path) -> None:
    places = [models.parent / "a place", models.parent / "other"]
    for place in places:
        place.mkdir()
    arguments = ("--models", str(models), "--data", str(models.parent / "data"), "--listen", "127.0.0.1:0")
    opened = {"UNIKAT_DESTINATIONS": ",".join(map(str, places))}
    with spawn("unikat.cli", "up", *arguments, env=opened) as program:
        ready = program.wait_for_line(r"is ready on (\S+): .* Batches may be written to (.*)\. Ctrl-C", 60)
        assert ready[2] == ", ".join(map(str, places))
        with Studio(ready[1]) as studio:
            for place in places:
                batch = studio.create_batch("tiny", to=place / "batch", count=3)
                *_, last = studio.watch_batch(batch.id)
                assert last.state == "SUCCEEDED"
            with pytest.raises(InvalidRequest, match="not open"):
                studio.create_batch("tiny", to=models.parent / "elsewhere")


def test_a_folder_named_out_is_made_for_batches(models: Path, tmp_path: Path) -> None:
    settings = ("--models", str(models), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    command = [sys.executable, "-m", "unikat.cli", "up", *settings]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert f"Batches may be written to {tmp_path / 'out'}." in program.stdout.readline()
        program.terminate()
    assert program.returncode == 0
    assert (tmp_path / "out").is_dir()


@pytest.mark.parametrize(
    ("prefix", "complaint"),
    [
        ("/no/such/folder", "--open /no/such/folder: there is no such folder"),
        ("s3://", '--open s3://: "" cannot be a bucket'),
        ("s3://me:secret@bucket", "must not have a user or a password"),
    ],
)
def test_a_place_that_cannot_be_opened_is_named(models: Path, prefix: str, complaint: str) -> None:
    with spawn("unikat.cli", "up", "--models", str(models), "--open", prefix) as program:
        assert program.wait() == 2
    assert complaint in program.output
    assert "Traceback" not in program.output


def test_a_port_that_is_taken_is_named(models: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with spawn("unikat.cli", "up", "--models", str(models), "--data", str(models / "d"), "--listen", listen) as up:
            assert up.wait() == 1
    assert f"cannot listen on {listen}: Address already in use" in up.output
    assert "Traceback" not in up.output


def test_ports_of_metrics_that_there_are_not_are_refused(models: Path) -> None:
    words = ("--models", str(models), "--data", str(models / "d"), "--workers", "3", "--metrics", "127.0.0.1:65531")
    with spawn("unikat.cli", "up", *words) as up:
        assert up.wait() == 2
    assert "--metrics 127.0.0.1:65531: 3 workers, the gallery and the registry have the ports behind it" in up.output
    assert "at most 65530" in up.output


def test_a_redis_url_that_is_none_is_named_at_once(models: Path) -> None:
    for url, complaint in (
        ("nonsense", "--redis-url nonsense: Redis URL must specify one of the following schemes"),
        ("redis+sentinel://host:26379", "is followed by host:port,host:port/service"),
    ):
        with spawn("unikat.cli", "up", "--models", str(models), env={"UNIKAT_REDIS_URL": url}) as program:
            assert program.wait() == 2
        assert complaint in " ".join(program.output.split())
        assert "Traceback" not in program.output


def test_a_redis_that_is_not_there_yet_is_waited_for(models: Path, durable_valkey: Valkey) -> None:
    durable_valkey.kill()
    url = durable_valkey.tcp_url.replace("//", "//:secret@")
    data = str(models.parent / "data")
    settings = ("--models", str(models), "--data", data, "--listen", "127.0.0.1:0", "--redis-url", url)
    with spawn("unikat.cli", "up", *settings, env={"UNIKAT_ALLOW_VOLATILE": "0"}) as program:
        program.wait_for_line(r"redis://:\*\*\*@.*: waiting for Redis: .*Connection refused")
        durable_valkey.start()
        with durable_valkey.client() as redis:
            redis.config_set("requirepass", "secret")
        program.wait_for_line(READY, 60)
        assert "secret" not in program.output


def test_a_redis_that_forgets_is_refused(models: Path, valkey: Valkey) -> None:
    settings = ("--models", str(models), "--data", str(models.parent / "data"), "--redis-url", valkey.tcp_url)
    with spawn("unikat.cli", "up", *settings, env={"UNIKAT_ALLOW_VOLATILE": "0"}) as program:
        assert program.wait() == 1
    assert "it keeps nothing on disk" in " ".join(program.output.split())


def test_a_redis_of_ones_own_is_used(models: Path, valkey: Valkey) -> None:
    with up(models, "--redis-url", valkey.url) as (program, target):
        assert draw(target) == 4
        assert members(program, "valkey-server") == []
        with valkey.client() as redis:
            assert redis.zcard(WORKERS_KEY) == 1


def test_its_server_syncs_as_it_is_told(models: Path) -> None:
    with up(models, "--appendfsync", "always"), Redis.from_url(f"unix://{socket_of(models.parent / 'data')}") as redis:
        assert list(redis.config_get("appendfsync").values()) == ["always"]


def test_two_do_not_share_a_data_folder(models: Path) -> None:
    with up(models):
        data = str(models.parent / "data")
        arguments = ("--models", str(models), "--data", data, "--listen", "127.0.0.1:0")
        with spawn("unikat.cli", "up", *arguments) as second:
            assert second.wait() == 1
        assert f"another `unikat up` uses {data}" in second.output


def test_a_program_that_cannot_start_ends_it_with_its_last_words(models: Path) -> None:
    settings = ("--models", str(models), "--data", str(models.parent / "data"), "--listen", "127.0.0.1:0")
    with spawn("unikat.cli", "up", *settings, env={"UNIKAT_MAX_BATCH": "many"}) as program:
        assert program.wait() == 1
    assert "worker-1 ended with exit code 2 while it started" in program.output
    assert "--max-batch" in program.output, "what the worker said"
    assert "Traceback" not in program.output


SUPERVISED = """
import sys
from pathlib import Path
from unikat.cli.up import process
from unikat.cli.up.process import Program
from unikat.cli.problems import Problem
from unikat.cli.up.supervisor import Signals, Supervisor

process.LOG_LIMIT = 100_000
folder = Path(sys.argv[1])
words = "import sys, time\\nfrom pathlib import Path\\nfolder = Path(sys.argv[1])\\n" + sys.argv[2]
program = Program("it", (sys.executable, "-c", words, str(folder)), {}, folder / "it.log", "it is ready", grace=1)
with Signals() as signals:
    supervisor = Supervisor(signals, lambda line: print(line, flush=True))
    try:
        supervisor.start([program], 10)
        (folder / "watched").touch()
        supervisor.watch()
    except Problem as error:
        print(error.message, "|", error.hints[-1].strip())
    finally:
        supervisor.stop([["it"]])
"""
WHEN_WATCHED = """
while not (folder / "watched").exists():
    time.sleep(0.01)
"""


def supervised(folder: Path, words: str) -> Program:
    """A supervisor over one program, whose Python code is `words`; it can use `folder`, `sys` and `time`."""
    (folder / "supervised.py").write_text(SUPERVISED)
    return Program("supervised", str(folder), words, env={"PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}"})


def test_a_program_that_starts_is_never_given_up(tmp_path: Path) -> None:
    words = 'print("it is ready", flush=True)' + WHEN_WATCHED + 'sys.exit("a job")'
    with supervised(tmp_path, words) as program:
        eventually(lambda: program.output.count("it ended with exit code 1; it is started again") > 4, deadline=40)
        assert program.terminate() == 0
    assert "giving up" not in program.output
    assert "it is started again in 1.0 s" in program.output


def test_a_program_that_cannot_start_any_more_is_given_up(tmp_path: Path) -> None:
    words = 'if (folder / "watched").exists(): sys.exit("last words")\nprint("it is ready", flush=True)' + WHEN_WATCHED
    with supervised(tmp_path, words) as program:
        assert program.wait(40) == 0
    assert program.output.count("; it is started again") == 5
    assert "it ended with exit code 1 while it started, 5 times in a row; giving up | last words" in program.output


def test_logs_stay_short_while_programs_run(tmp_path: Path) -> None:
    words = 'print("it is ready", flush=True)\nfor i in range(100): print("x" * 9_999, flush=True), time.sleep(0.05)'
    log, aside = tmp_path / "it.log", tmp_path / "it.log.1"
    with supervised(tmp_path, words + '\nprint("the end", flush=True), time.sleep(60)') as program:
        eventually(lambda: "the end" in "".join(each.read_text() for each in (log, aside) if each.exists()))
        assert aside.stat().st_size + log.stat().st_size < 800_000, "of a million bytes that were written"
        assert program.terminate() == 0


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """A data folder whose path is too long for a socket."""
    folder = tmp_path / ("d" * 60) / ("e" * 60)
    folder.mkdir(parents=True)
    return folder


def test_the_socket_of_a_deep_folder_is_in_one_that_nobody_else_can_know_or_enter(
    deep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    socket_path = make_socket(deep)
    folder = socket_path.parent
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert make_socket(deep) == socket_of(deep) == socket_path
    for spoil in (open_to_all, replace_by_link):
        spoil(folder)
        assert socket_of(deep) == deep / "valkey.sock", "not trusted any more"
        fresh = make_socket(deep).parent
        assert fresh != folder
        folder = fresh


def test_a_users_own_folder_for_what_runs_is_taken(deep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as short:  # tmp_path may be too long for a socket
        mine, opened = Path(short, "mine"), Path(short, "open")
        for folder, mode in ((mine, 0o700), (opened, 0o777)):
            folder.mkdir()
            folder.chmod(mode)
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(mine))
        assert make_socket(deep).parent.parent == mine
        (deep / "socket-folder").unlink()
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(opened))
        assert make_socket(deep).parent.parent != opened


def open_to_all(folder: Path) -> None:
    folder.chmod(0o755)


def replace_by_link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def test_it_runs_in_a_deep_folder(models: Path, deep: Path) -> None:
    settings = ("--models", str(models), "--data", str(deep / "data"), "--listen", "127.0.0.1:0")
    with spawn("unikat.cli", "up", *settings) as program:
        assert draw(program.wait_for_line(READY, 60)[1]) == 4
        folder = socket_of(deep / "data").parent
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert program.terminate(40) == 0
    folder.rmdir()
