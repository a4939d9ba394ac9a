"""`unikat` as people run it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.stack import Stack, running_stack
from tests.support.forked import ROOT, can_fork, server_of
from tests.support.processes import free_port
from tests.support.tiny_model import STYLES, write_tiny_bundle
from unikat.bundle import GRAPH, SAMPLES, read_bundle
from unikat.cli.generate import write_sheet
from unikat.files import write_whole
from unikat.queue.keys import QUEUES_KEY, model_key, queue_name
from unikat.sheet import enlarge


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def stack(models: Path) -> Iterator[Stack]:
    with running_stack(models) as running:
        yield running


def unikat(
    *arguments: str, cwd: Path | None = None, stdout: int | IO[str] = subprocess.PIPE, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run the command line; it must never show a traceback."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("UNIKAT_")}
    if stdout == subprocess.PIPE and can_fork("unikat.cli", environment):
        done = server_of("unikat.cli").run(arguments, clean | environment, cwd or ROOT)
    else:
        command = [sys.executable, "-m", "unikat.cli", *arguments]
        done = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, env=clean | environment, cwd=cwd, timeout=60
        )
    assert "Traceback" not in done.stderr
    return done


def test_generate_writes_files_by_index_and_seed_and_a_sheet(stack: Stack, tmp_path: Path) -> None:
    out = tmp_path / "new" / "art"
    where = ("--where", "style=ink:3,oil:1")
    done = unikat("generate", "tiny", *where, "-n", "5", "--seed", "7", "-o", str(out), UNIKAT_TARGET=stack.target)
    assert (done.returncode, done.stderr) == (0, "")
    files = sorted(path.name for path in out.iterdir())
    assert files[0] == "sheet.png"
    assert [re.sub("-[0-9a-f]{8}[.]png$", "", name) for name in files[1:]] == [f"tiny@1-s7-{i:05}" for i in range(5)]
    sheet = np.array(Image.open(out / "sheet.png"))
    for index in range(5):
        tile = np.array(enlarge(Image.open(out / files[1 + index]).convert("RGB")))
        assert contains(sheet, tile), f"image {index} is not on the sheet"


def test_no_picture_is_written_over_another(stack: Stack, tmp_path: Path) -> None:
    """The same seed with other conditions, truncation or version is another picture; drawn again it is the same."""

    words = ("-n", "3", "--seed", "7", "-o", str(tmp_path), "--no-sheet")
    calls = (("--where", "style=ink"), ("--where", "style=oil"), ("--where", "style=ink", "--truncation", "0.5"))
    kept: dict[str, bytes] = {}
    for count, call in enumerate((*calls, *calls), start=1):
        assert unikat("generate", "tiny", *call, *words, UNIKAT_TARGET=stack.target).returncode == 0
        found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
        assert found | kept == found, "what was there is as it was"
        assert len(found) == 3 * min(count, 3)
        kept = found


def test_no_sheet_is_written_over_another_file(tmp_path: Path) -> None:
    own, red, blue = b"somebody's own", Image.new("RGB", (4, 4), "red"), Image.new("RGB", (4, 4), "blue")
    (tmp_path / "sheet.png").write_bytes(own)
    written = [write_sheet(tmp_path, picture).name for picture in (red, blue, red, blue)]
    assert written == ["sheet-2.png", "sheet-3.png"] * 2
    assert (tmp_path / "sheet.png").read_bytes() == own
    assert len(list(tmp_path.iterdir())) == 3


def test_a_picture_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "link.png").symlink_to(tmp_path / "real.png")
    write_whole(tmp_path / "link.png", b"one")
    assert (tmp_path / "link.png").is_symlink()
    assert (tmp_path / "real.png").read_bytes() == b"one"
    with pytest.raises(OSError, match="No space left"):
        write_whole(Path("/dev/full"), b"two")  # no file: written as it is
    with pytest.raises(TypeError):
        write_whole(tmp_path / "real.png", "text")  # type: ignore[arg-type]  # fails in the middle
    assert (tmp_path / "real.png").read_bytes() == b"one"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.png", "real.png"]


def contains(
    picture: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], tile: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
) -> bool:
    """Whether `tile` is somewhere in `picture`, pixel by pixel."""
    height, width = tile.shape[:2]
    corners = np.argwhere((picture[: -height + 1, : -width + 1] == tile[0, 0]).all(axis=2))
    return any(np.array_equal(picture[y : y + height, x : x + width], tile) for y, x in corners)


def test_what_it_prints_draws_the_same_again(stack: Stack, tmp_path: Path) -> None:
    arguments = ["--where", "style=ink:3,oil:1", "-n", "3", "--truncation", "0.123456789", "-o", str(tmp_path / "art")]
    arguments += ["--first-index", "1000"]
    done = unikat("generate", "tiny", *arguments, UNIKAT_TARGET=stack.target)
    assert done.returncode == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "art").iterdir()}
    assert sum("-01000-" in name or "-01001-" in name or "-01002-" in name for name in before) == 3
    again = shlex.split(done.stdout.rpartition("The same again: ")[2])
    assert again[0] == "unikat"
    assert "tiny@1" in again
    for path in (tmp_path / "art").iterdir():
        path.unlink()
    assert unikat(*again[1:], UNIKAT_TARGET=stack.target).returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "art").iterdir()} == before


def test_json_is_one_object_a_line(stack: Stack, tmp_path: Path) -> None:
    arguments = ("-n", "3", "--seed", "7", "--json", "--no-sheet", "--format", "webp", "-o", str(tmp_path))
    done = unikat("generate", "tiny", *arguments, "--target", stack.target)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["artwork"] * 3 + ["finished"]
    assert [event["index"] for event in events[:3]] == [0, 1, 2]
    assert all(Path(event["file"]).suffix == ".webp" and Path(event["file"]).exists() for event in events[:3])
    assert events[-1]["seed"] == 7
    assert events[-1]["sheet"] is None
    assert not (tmp_path / "sheet.png").exists()


def test_an_unknown_category_shows_the_choices(stack: Stack, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = unikat("generate", "tiny", "--where", "style=inc", "-o", str(out), UNIKAT_TARGET=stack.target)
    assert done.returncode == 2
    assert '--where style=inc: unknown category "inc"; did you mean "ink"? Choose from "ink", "oil", ' in done.stderr
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("tony",), 'MODEL: there is no model "tony"; did you mean "tiny@1"? Choose from "tiny@1"'),
        (("tiny", "--where", "tsyle=ink"), '--where tsyle=ink: unknown attribute "tsyle"; did you mean "style"?'),
        (("tiny", "--where", "style"), "--where style=noto"),
        (("tiny", "-n", "100000"), "--count: "),
        (("tiny", "-n", "0"), "--count: must be 1 to 4096, not 0"),
        (("tiny", "-n", "-1"), "--count: must be a whole number from 0 to"),
        (("tiny", "--truncation", "7"), "--truncation: "),
        (("tiny", "--seed", str(2**64)), "--seed: "),
        (("tiny", "--seed", "-1"), "--seed: "),
        (("tiny", "--first-index", str(2**32 - 1)), "--first-index: "),
        (("tiny", "--format", "gif"), "--format"),
        (("Tiny!",), 'MODEL: must be "name" or "name@version"'),
    ],
)
def test_what_is_typed_wrong_is_named_as_it_was_typed(
    stack: Stack, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    done = unikat("generate", *arguments, UNIKAT_TARGET=stack.target, cwd=tmp_path, NO_COLOR="1")
    assert done.returncode == 2
    assert complaint in done.stderr
    assert done.stdout == ""


def test_a_folder_that_cannot_be_written_is_named(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = unikat("generate", "tiny", "-o", str(tmp_path / "file" / "out"), UNIKAT_TARGET=stack.target)
    assert done.returncode == 2
    assert "Not a directory" in done.stderr


def test_what_was_typed_is_shown_as_it_was_typed(stack: Stack, tmp_path: Path) -> None:
    done = unikat("generate", "tiny", "--where", "style=ink:-1", cwd=tmp_path, UNIKAT_TARGET=stack.target)
    assert "style=ink:-1.0: must be a finite number of at least 0" in done.stderr, "Rich would make a thumb of :-1:"


@pytest.mark.parametrize("command", [("models",), ("models", "show", "tiny"), ("generate", "tiny", "-n", "1")])
def test_an_output_that_is_full_is_named(stack: Stack, tmp_path: Path, command: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = unikat(*command, cwd=tmp_path, stdout=full, UNIKAT_TARGET=stack.target)
    assert (done.returncode, done.stderr) == (1, "Error: cannot write the output: No space left on device\n")


def test_without_a_service_it_says_how_to_start_one(tmp_path: Path) -> None:
    target = f"127.0.0.1:{free_port()}"
    done = unikat("generate", "tiny", "--target", target, cwd=tmp_path)
    assert done.returncode == 1
    assert target in done.stderr
    assert "unikat up" in done.stderr


def test_models_are_listed_with_their_attributes(stack: Stack) -> None:
    done = unikat("models", UNIKAT_TARGET=stack.target)
    assert done.returncode == 0
    assert "tiny@1" in done.stdout
    assert "style (3), subject (2)" in done.stdout


def test_a_model_is_shown_with_all_that_can_be_asked_of_it(stack: Stack, models: Path) -> None:
    done = unikat("models", "show", "tiny", "--all", "--models", str(models), UNIKAT_TARGET=stack.target)
    assert done.returncode == 0
    for shown in ("tiny@1", "CC0-1.0", "sha256:", *STYLES, str(models / "tiny" / "1" / SAMPLES)):
        assert shown in done.stdout


def test_what_licences_ask_is_shown_and_whom_they_want_named(models: Path, tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    shipped = Path(__file__).parents[2] / "models"
    done = unikat("models", "show", "emoji@2", "--models", str(shipped), UNIKAT_TARGET=nowhere, COLUMNS="200")
    assert done.returncode == 0
    assert "CC-BY-4.0: to name the creators, link the licence" in done.stdout
    assert "style 66% (80%), category 88% (90%), tone 82% (97%)" in done.stdout
    assert len(done.stdout.splitlines()) < 40, "fits a screen"
    everything = unikat("models", "show", "emoji@2", "--models", str(shipped), "--all", UNIKAT_TARGET=nowhere)
    assert "classification accuracy score, style" in everything.stdout
    assert "CC-BY-4.0 (2 of 8 sources of training pictures) asks to name the creators" in everything.stdout
    credit = unikat("models", "show", "emoji@2", "--models", str(shipped), "--credits", UNIKAT_TARGET=nowhere)
    assert credit.stdout.startswith("Drawn by the model emoji@2")
    assert credit.stdout.count("[CC-BY-4.0]") == 2
    assert "[MIT]" not in credit.stdout


def test_without_a_service_a_local_bundle_is_shown(models: Path, tmp_path: Path) -> None:
    nowhere = f"127.0.0.1:{free_port()}"
    done = unikat("models", "show", "tiny", "--models", str(models), UNIKAT_TARGET=nowhere)
    assert done.returncode == 0
    assert "chalk" in done.stdout
    assert unikat("models", "show", "tiny", "--models", str(tmp_path), UNIKAT_TARGET=nowhere).returncode == 1


@pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "models").iterdir()))
def test_a_model_of_ours_fits_a_screen_and_all_of_it_does_not(name: str) -> None:
    words = ("models", "show", name, "--models", str(ROOT / "models"))
    nowhere = f"127.0.0.1:{free_port()}"
    brief = folded(unikat(*words, UNIKAT_TARGET=nowhere).stdout, 80)
    assert len(brief) <= 24, brief
    assert 1 <= sum(line.startswith("quality") for line in brief) <= 5
    assert len(unikat(*words, "--all", UNIKAT_TARGET=nowhere).stdout.splitlines()) > 24
    told = json.loads(unikat(*words, "--json", UNIKAT_TARGET=nowhere).stdout)
    assert len(told["metrics"]) == len(read_bundle(newest(name)).model.metrics)


def folded(text: str, width: int) -> list[str]:
    """The lines that a terminal of a width shows of a table that was written for a pipe."""
    return [part for line in text.splitlines() for part in (textwrap.wrap(line.rstrip(), width - 14) or [""])]


def newest(name: str) -> Path:
    """The newest version among our own models."""
    return max((ROOT / "models" / name).iterdir(), key=lambda path: int(path.name))


def test_the_doctor_finds_nothing_where_everything_works(stack: Stack, models: Path) -> None:
    done = unikat("doctor", "--models", str(models), UNIKAT_TARGET=stack.target, UNIKAT_REDIS_URL=stack.valkey.url)
    assert done.returncode == 0, done.stdout
    assert "PROBLEM" not in done.stdout
    assert "offers tiny@1" in done.stdout
    assert "tiny@1 on " in done.stdout, "the live worker"
    assert "ExecutionProvider: works" not in done.stdout, "what works and nobody asked about"
    assert len(done.stdout.splitlines()) < 10, done.stdout


def test_the_doctor_tells_everything_when_asked(stack: Stack, models: Path) -> None:

    def told_by(*words: str) -> subprocess.CompletedProcess[str]:
        words = ("doctor", *words, "--models", str(models))
        return unikat(*words, UNIKAT_TARGET=stack.target, UNIKAT_REDIS_URL=stack.valkey.url)

    done = told_by("--all")
    assert "CPUExecutionProvider: works" in done.stdout
    assert "AzureExecutionProvider" not in done.stdout, "no worker draws with it"
    assert "ok      redis: " in done.stdout
    told = told_by("--json")
    found = [json.loads(line) for line in told.stdout.splitlines()]
    assert len(found) == len(done.stdout.splitlines()) - 1, "all but the last sentence"
    assert {each["level"] for each in found} <= {"ok", "note"}
    assert told.returncode == 0


def test_the_doctor_finds_jobs_that_nobody_serves(stack: Stack, models: Path) -> None:
    queue = queue_name(model_key("gone@3", f"sha256:{'ab' * 32}"), "default")
    stack.redis.sadd(QUEUES_KEY, f"rq:queue:{queue}")
    stack.redis.rpush(f"rq:queue:{queue}", "j1", "j2")
    try:
        done = unikat("doctor", "--models", str(models), UNIKAT_TARGET=stack.target, UNIKAT_REDIS_URL=stack.valkey.url)
    finally:
        stack.redis.delete(f"rq:queue:{queue}")
        stack.redis.srem(QUEUES_KEY, f"rq:queue:{queue}")
    assert done.returncode == 1
    assert "2 jobs wait for gone@3, which no live worker serves" in done.stdout


def test_the_doctor_names_every_problem_and_what_to_do(models: Path, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "models")
    (bundle.path / GRAPH).write_bytes(b"broken")
    port = free_port()
    done = unikat(
        "doctor", "--models", str(tmp_path / "models"), "--data", str(tmp_path),
        UNIKAT_TARGET=f"127.0.0.1:{port}", UNIKAT_REDIS_URL=f"redis://:secret@127.0.0.1:{port}",
    )  # fmt: skip
    assert done.returncode == 1
    problems = [line for line in done.stdout.splitlines() if line.startswith("PROBLEM")]
    assert len(problems) == 3, done.stdout
    assert "no service answers" in problems[0]
    assert f"redis://:***@127.0.0.1:{port} does not answer" in problems[1]
    assert "generator.onnx" in problems[2]
    assert "secret" not in done.stdout
    assert done.stdout.count("->") >= 3


def test_the_version_is_printed() -> None:
    done = unikat("--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "unikat")
