"""`unikat batch` as people run it: processes, what they print, their exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.unikat.test_cli import unikat
from unikat import Studio

SLOW_IMAGES = 100_000  # more than any test waits for


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands run; `out` in it is open to batches."""
    home = tmp_path_factory.mktemp("home")
    (home / "out").mkdir()
    return home


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "slow", work=1000)
    with running_stack(models, UNIKAT_DESTINATIONS=str(home / "out")) as running:
        yield running


class Shell:
    """A terminal at `home`, connected to the stack."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.home = home
        self.target = stack.target

    def run(self, *arguments: str, code: int = 0) -> str:
        """`unikat batch <arguments>`; both of its outputs."""
        done = unikat("batch", *arguments, cwd=self.home, UNIKAT_TARGET=self.target, NO_COLOR="1")
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def create(self, *arguments: str) -> str:
        """The id of a new batch."""
        return str(json.loads(self.run("create", *arguments, "--json"))["id"])

    def finished(self, to: str, *arguments: str) -> Path:
        """The folder of a batch that has succeeded."""
        self.run("watch", self.create("tiny", "--to", to, *arguments))
        return self.home / to

    def program(self, *arguments: str) -> Program:
        """The same as a process that goes on."""
        return Program("unikat.cli", "batch", *arguments, env={"UNIKAT_TARGET": self.target})


@pytest.fixture
def shell(stack: Stack, home: Path) -> Shell:
    return Shell(stack, home)


def test_a_grid_is_drawn_watched_listed_shown_verified_and_forgotten(shell: Shell, home: Path) -> None:
    words = ("--grid", "style=*", "--grid", "subject=hill,sea", "-n", "20", "--to", "./out/../out/grid", "--seed", "5")
    created = shell.run("create", "tiny", *words, "--owner", "ada", "--label", "job=12", "--layout", "webdataset")
    assert "6 combinations of 20 images = 120 images of tiny@1" in created
    assert "3: ink, oil, chalk" in created
    assert f"{home / 'out' / 'grid'} (webdataset)" in created, "made absolute"
    id = created.split()[1].rstrip(":")
    assert f"Watch it: unikat batch watch {id}" in created

    watched = shell.run("watch", id)
    assert "120 images of tiny@1 in " in watched
    assert f"unikat batch verify {home / 'out' / 'grid'}" in watched

    row = next(line.rstrip() for line in shell.run("list", "--owner", "ada").splitlines() if line.startswith(id))
    assert row.split()[1:4] == ["SUCCEEDED", "tiny@1", "120"]
    assert row.endswith(str(Path("out/grid"))), "short, as it is below the current folder"
    assert id not in shell.run("list", "--state", "failed", "--state", "running")
    shown = shell.run("show", id)
    for fact in ("120 of 120 images", "job=12", "ada", "webdataset, png", "manifest.parquet", "6 combinations of 20"):
        assert fact in shown

    for what in ("out/grid", id):
        verified = shell.run("verify", what, "--redraw", "7")
        assert "120 of 120 images, every byte as the manifest says" in verified
        assert "7 images drawn again, every byte the same, by CPUExecutionProvider" in verified

    assert "--yes is missing" in shell.run("delete", id, code=2)
    assert "its files stay" in shell.run("delete", id, "--yes")
    assert f'unknown batch "{id}"' in shell.run("show", id, code=2)
    assert "120 of 120 images" in shell.run("verify", "out/grid")


def test_blends_and_open_attributes_come_out_the_same_when_drawn_again(shell: Shell) -> None:
    where = ("--where", "style=ink:1,oil:1,chalk:1", "--truncation", "0.3", "--format", "webp")
    assert "40 images drawn again, every byte the same" in shell.run(
        "verify", str(shell.finished("out/blend", *where, "-n", "40")), "--redraw", "100"
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("plan.csv", 'style,subject,count\nink,,3\n"ink:0.5,oil:0.5",sea,\n'),
        (
            "plan.jsonl",
            '{"where": {"style": "ink"}, "count": 3}\n\n'
            '{"where": {"style": {"ink": 0.5, "oil": 0.5}, "subject": "sea"}}\n',
        ),
    ],
)
def test_a_plan_is_read_from_a_file(shell: Shell, name: str, text: str) -> None:
    (shell.home / name).write_text(text)
    to = f"out/{name.replace('.', '-')}"
    batch = json.loads(shell.run("create", "tiny", "--plan", name, "-n", "7", "--to", to, "--json"))
    assert batch["plans"] == [
        {"where": {"style": "ink"}, "count": 3},
        {"where": {"style": {"ink": 0.5, "oil": 0.5}, "subject": "sea"}, "count": 7},
    ]


def test_creating_and_watching_can_be_one_command(shell: Shell) -> None:
    done = shell.run("create", "tiny", "-n", "10", "--to", "out/one", "--watch")
    assert "10 images of tiny@1 in " in done
    assert (shell.home / "out" / "one" / "manifest.parquet").is_file()


def test_what_is_printed_as_json_is_one_object_a_line(shell: Shell) -> None:
    lines = shell.run("create", "tiny", "-n", "30", "--to", "out/json", "--shard-size", "10", "--watch", "--json")
    batches = [json.loads(line) for line in lines.splitlines()]
    assert [batch["state"] for batch in batches][-1] == "SUCCEEDED"
    assert batches[0]["destination"] == f"file://{shell.home / 'out' / 'json'}"
    assert [batch["drawn"] for batch in batches] == sorted(batch["drawn"] for batch in batches)
    id = batches[0]["id"]
    assert json.loads(shell.run("show", id, "--json"))["plans"] == [{"where": {}, "count": 30}]
    assert id in {json.loads(line)["id"] for line in shell.run("list", "--json").splitlines()}
    report = json.loads(shell.run("verify", "out/json", "--redraw", "2", "--json"))
    assert (report["ok"], report["rows"], report["redrawn"]["count"]) == (True, 30, 2)


def test_the_same_request_id_is_the_same_batch(shell: Shell) -> None:
    words = ("tiny", "-n", "5", "--to", "out/once", "--seed", "1", "--request-id", "cli-once")
    assert shell.create(*words) == shell.create(*words)
    assert "--request-id: " in shell.run("create", *words, "--format", "webp", code=2)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("tony", "-n", "1"), "Did you mean tiny"),
        (("tiny",), "--count is missing: how many images"),
        (("tiny", "-n", "0"), "--count"),
        (("tiny", "-n", "1", "--grid", "tsyle=*"), "Did you mean style?"),
        (("tiny", "-n", "1", "--grid", "style=inc"), "Did you mean ink?"),
        (("tiny", "-n", "1", "--where", "style=inc"), "Did you mean ink?"),
        (("tiny", "-n", "1", "--grid", "style"), "Write --grid 'style=*' or --grid category=face,heart."),
        (("tiny", "--plan", "category.csv"), '--plan category.csv, line 3: unknown style of tiny "inc"'),
        (("tiny", "--plan", "ok.csv", "--where", "style=ink"), 'line 2: "style" is named here and by --where'),
        (("tiny", "--plan", "missing.csv"), "--plan missing.csv: No such file"),
        (("tiny", "-n", "1", "--truncation", "7"), "--truncation: "),
        (("tiny", "-n", "1", "--seed", str(2**64)), "--seed: "),
        (("tiny", "-n", "1", "--format", "gif"), "--format"),
        (("tiny", "-n", "1", "--layout", "zip"), "--layout"),
        (("tiny", "-n", "1", "--owner", "a b"), "--owner: "),
        (("tiny", "-n", "1", "--label", f"{'k' * 64}=1"), "--label: "),
        (("tiny", "-n", "1", "--shard-size", "5000"), "--shard-size: "),
        (("tiny", "-n", "1", "--request-id", "a b"), "--request-id: "),
        (("tiny", "-n", "4000000000"), "--count: "),
        (("tiny", "--plan", "large.csv"), "--plan: 4000000001 images in all"),
        (("tiny", "--plan", "huge.csv"), "--plan huge.csv, line 3: must be a whole number"),
    ],
)
def test_what_is_typed_wrong_is_named_as_it_was_typed(shell: Shell, arguments: tuple[str, ...], complaint: str) -> None:
    files = {
        "ok.csv": "style,count\nink,1\n",
        "category.csv": "style,count\nink,1\ninc,1\n",
        "large.csv": "style,count\nink,1\nink,4000000000\n",
        "huge.csv": "style,count\nink,1\nink,4294967296\n",
    }
    for name, text in files.items():
        (shell.home / name).write_text(text)
    said = shell.run("create", *arguments, "--to", "out/wrong", code=2)
    assert complaint in said
    assert "Batch" not in said
    assert not (shell.home / "out" / "wrong").exists()


def test_a_destination_that_is_not_open_names_those_that_are(shell: Shell) -> None:
    for to in ("elsewhere", "s3://bucket/x", "out/../elsewhere"):
        said = shell.run("create", "tiny", "-n", "1", "--to", to, code=2)
        assert "--to: " in said
        assert str(shell.home / "out") in said


@pytest.mark.parametrize("command", ["watch", "show", "cancel", "retry"])
def test_an_unknown_batch_is_named_with_what_is_spelled_alike(shell: Shell, command: str) -> None:
    id = shell.create("tiny", "-n", "1", "--to", f"out/known-{command}")
    mistyped = id[:-1] + ("0" if id[-1] != "0" else "1")
    said = shell.run(command, mistyped, code=2)
    assert f'unknown batch "{mistyped}"' in said
    assert id in said


def test_interrupting_the_watch_leaves_the_batch_running(shell: Shell, stack: Stack) -> None:
    id = shell.create("slow", "-n", str(SLOW_IMAGES), "--to", "out/interrupted", "--shard-size", "32")
    with shell.program("watch", id) as watching:
        watching.wait_for_line("Drawing slow@1")
        watching.process.send_signal(signal.SIGINT)
        assert watching.wait() == 130
    assert f"Batch {id} goes on without you." in watching.output
    assert f"unikat batch cancel {id}" in watching.output
    assert "Traceback" not in watching.output
    with Studio(stack.target) as studio:
        before = studio.batch(id)
        assert before.state == "RUNNING"
        eventually(lambda: studio.batch(id).drawn > before.drawn)

    assert "goes on" not in shell.run("retry", id, code=1)
    said = shell.run("cancel", id)
    assert f"Batch {id} is cancelled; " in said
    watched = shell.run("watch", id, code=1)
    assert f"Batch {id} was cancelled; " in watched
    verified = shell.run("verify", id, code=1)
    assert "every byte as the manifest says" in verified
    assert "is incomplete" in verified
    shell.run("delete", id, "--yes")


def test_watching_survives_a_killed_service(shell: Shell, stack: Stack) -> None:
    id = shell.create("slow", "-n", "4000", "--to", "out/killed", "--shard-size", "32")
    with shell.program("watch", id) as watching:
        watching.wait_for_line("Drawing slow@1")
        assert stack.service is not None
        stack.service.kill()
        stack.start_service()
        assert watching.wait(60) == 0
    assert "4,000 images of slow@1 in " in watching.output


def test_a_pause_is_explained_and_passes(shell: Shell, stack: Stack) -> None:
    folder = shell.home / "out" / "paused"
    folder.write_text("in the way")  # a file where the folder has to be
    id = shell.create("tiny", "-n", "40", "--to", "out/paused", "--shard-size", "16")
    with shell.program("watch", id) as watching:
        watching.wait_for_line("Paused: 0 of 40 images, paused for .*out/paused.* goes on by itself", 30)
        assert "PAUSED" in shell.run("list")
        assert "waiting" in shell.run("show", id)
        folder.unlink()
        assert watching.wait(60) == 0
    assert "40 images of tiny@1 in " in watching.output


def test_what_failed_is_named_and_drawn_again(shell: Shell, tmp_path: Path) -> None:
    (shell.home / "out" / "link").symlink_to(tmp_path)  # leads out of what is open: every shard is refused
    id = shell.create("tiny", "-n", "30", "--to", "out/link", "--shard-size", "16")
    said = shell.run("watch", id, code=1)
    assert f"batch {id} failed: 30 of 30 images could not be drawn" in said
    assert "images 16 to 29: " in said
    assert "symbolic link" in said
    assert f"unikat batch retry {id}" in said
    assert "FAILED" in shell.run("show", id)
    (shell.home / "out" / "link").unlink()
    said = shell.run("retry", id)
    assert "Drawn again: 30 images of 30" in said
    assert "images 0 to 15, which failed: " in said
    shell.run("watch", id)
    assert "30 of 30 images" in shell.run("verify", id)


FILES, TARS = "files", "webdataset"


@pytest.fixture(scope="module", params=[FILES, TARS])
def sound(request: pytest.FixtureRequest, stack: Stack, home: Path) -> Path:
    """A batch of 40 images in shards of 16, by seed 5; a test copies it."""
    layout = str(request.param)
    words = ("-n", "40", "--shard-size", "16", "--seed", "5", "--layout", layout)
    return Shell(stack, home).finished(f"out/sound-{layout}", *words)


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-r", str(sound), str(tmp_path / "copy")], check=True)
    return tmp_path / "copy"


def an_image_file(folder: Path) -> Path:
    """The file with image 17, or the tar in which it is."""
    return next(p for p in (folder / "images/00001/0000017.png", folder / "shards/00001.tar") if p.exists())


def flip_a_bit(folder: Path, index: int) -> None:
    """In the bytes of an image."""
    row = pq.read_table(folder / "manifest.parquet").slice(index, 1).to_pylist()[0]
    with (folder / row["file"]).open("r+b") as file:
        file.seek(row["offset"] + row["size"] // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def test_a_missing_file_is_found(shell: Shell, copy: Path) -> None:
    an_image_file(copy).unlink()
    said = shell.run("verify", str(copy), code=1)
    assert "(image 17): the file is missing" in said
    assert "40 of 40 images" in said


def test_a_truncated_file_is_found(shell: Shell, copy: Path) -> None:
    path = an_image_file(copy)
    os.truncate(path, path.stat().st_size - 1)
    said = shell.run("verify", str(copy), code=1)
    assert "1 problem in" in said
    assert str(path.relative_to(copy)) in said


def test_a_flipped_bit_is_found_by_reading_and_by_drawing_again(shell: Shell, copy: Path) -> None:
    flip_a_bit(copy, 17)
    said = shell.run("verify", str(copy), "--redraw", "40", code=1)
    assert "(image 17): the image has other bytes than the manifest says" in said
    assert "1 of 40 images came out different" in said
    assert "image 17\n" in said
    assert "the bytes should be the same" in said
    report = json.loads(shell.run("verify", str(copy), "--json", code=1))
    assert (report["ok"], report["problem_count"], report["problems"][0]["index"]) == (False, 1, 17)


def test_a_file_that_no_row_names_is_pointed_out(shell: Shell, copy: Path) -> None:
    stranger = an_image_file(copy).parent / "stranger.txt"
    stranger.write_text("")
    said = shell.run("verify", str(copy))
    assert "Not of this batch: 1 file" in said
    assert str(stranger.relative_to(copy)) in said


def test_rows_that_are_missing_are_counted(shell: Shell, copy: Path) -> None:
    table = pq.read_table(copy / "manifest.parquet")
    pq.write_table(pa.concat_tables([table.slice(0, 16), table.slice(20)]), copy / "manifest.parquet")
    said = shell.run("verify", str(copy), code=1)
    assert "is incomplete: 4 images are not in the manifest" in said
    assert "images 16 to 19" in said


def test_another_renderer_is_an_explanation_and_not_an_excuse(shell: Shell, copy: Path) -> None:
    table = pq.read_table(copy / "manifest.parquet")
    position = table.schema.get_field_index("provider")
    elsewhere = pa.array(["CUDAExecutionProvider"] * len(table))
    metadata = table.schema.metadata
    changed = table.set_column(position, "provider", elsewhere).replace_schema_metadata(metadata)
    pq.write_table(changed, copy / "manifest.parquet")
    assert pc.unique(changed["provider"]).to_pylist() == ["CUDAExecutionProvider"]
    same = shell.run("verify", str(copy), "--redraw", "40")
    assert "every byte the same, by CPUExecutionProvider" in same
    assert "the batch was drawn by CUDAExecutionProvider" in same
    flip_a_bit(copy, 3)
    said = shell.run("verify", str(copy), "--redraw", "40", code=1)
    assert "The batch was drawn by CUDAExecutionProvider" in said
    assert "promised only where all of that is the same" in said


def test_another_model_of_the_same_name_is_not_drawn_with(shell: Shell, copy: Path) -> None:
    table = pq.read_table(copy / "manifest.parquet")
    position = table.schema.get_field_index("model_digest")
    digest = "sha256:" + "0" * 64
    changed = table.set_column(position, "model_digest", pa.array([digest] * len(table)))
    pq.write_table(changed.replace_schema_metadata(table.schema.metadata), copy / "manifest.parquet")
    said = shell.run("verify", str(copy), "--redraw", "1", code=1)
    assert f"the batch was drawn by tiny@1 ({digest}), the service has another one" in said


@pytest.mark.parametrize(("missing", "complaint"), [("manifest.parquet", "there is no"), ("batch.json", "is missing")])
def test_what_every_batch_has_is_missed(shell: Shell, copy: Path, missing: str, complaint: str) -> None:
    (copy / missing).unlink()
    said = shell.run("verify", str(copy), code=1)
    assert missing in said
    assert complaint in said


def test_a_folder_without_a_batch_is_named(shell: Shell, tmp_path: Path) -> None:
    assert str(tmp_path / "none") in shell.run("verify", str(tmp_path / "none"), code=1)
    assert "DESTINATION: " in shell.run("verify", "s3://bucket/a/../b", code=2)


@pytest.mark.parametrize("package", ["pyarrow", "fsspec"])
def test_a_package_that_is_missing_is_named_with_its_extra(sound: Path, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from unikat.cli import main; main()"
    where = str(sound) if package == "pyarrow" else "memory://bucket/x"
    command = [sys.executable, "-c", program, "batch", "verify", where]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"Error: a package is missing: {package}\nInstall it: pip install 'unikat[batches]'\n" == done.stderr


def test_on_a_terminal_the_progress_fits_its_width(shell: Shell) -> None:
    id = shell.create("slow", "-n", str(SLOW_IMAGES), "--to", "out/wide", "--shard-size", "16")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "unikat.cli", "batch", "watch", id, "--target", shell.target]
    environment = os.environ | {"COLUMNS": "80", "TERM": "xterm"}
    shown, interrupted = "", False
    with subprocess.Popen(command, stderr=theirs, stdout=subprocess.DEVNULL, env=environment) as watching:
        os.close(theirs)
        for text in read_to_end(ours):
            shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
            if not interrupted and re.search(r"Drawing slow@1 .*/100,000 .* images/s, .* left", shown):
                watching.send_signal(signal.SIGINT)
                interrupted = True
    assert watching.returncode == 130
    assert max(map(len, re.split(r"[\r\n]+", shown.partition("goes on without you")[0]))) <= 80
    shell.run("cancel", id)


def read_to_end(descriptor: int) -> Iterator[str]:
    """What comes out of a terminal, until its other end is closed."""
    with contextlib.suppress(OSError):  # how Linux says that
        while data := os.read(descriptor, 65536):
            yield data.decode(errors="replace")
    os.close(descriptor)
