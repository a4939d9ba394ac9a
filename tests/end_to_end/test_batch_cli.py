"""`unikat batch` as people run it: processes, what they print, their exit codes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.shell import Shell, open_shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with open_shell(tmp_path_factory.mktemp("batches")) as shell:
        yield shell


def test_a_grid_is_drawn_watched_listed_shown_verified_and_forgotten(shell: Shell) -> None:
    words = ("--grid", "style=*", "--grid", "subject=hill,sea", "-n", "20", "--to", "./out/../out/grid", "--seed", "5")
    created = shell.run("create", "tiny", *words, "--owner", "ada", "--label", "job=12", "--layout", "webdataset")
    assert "6 combinations of 20 images = 120 images of tiny@1" in created
    assert "3: ink, oil, chalk" in created
    assert f"{shell.home / 'out' / 'grid'} (webdataset)" in created, "made absolute"
    id = created.split()[1].rstrip(":")
    assert f"Watch it: unikat batch watch {id}" in created

    watched = shell.run("watch", id)
    assert "120 images of tiny@1 in " in watched
    assert f"unikat batch verify {shell.home / 'out' / 'grid'}" in watched

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
        (("tony", "-n", "1"), 'MODEL: there is no model "tony"; did you mean "tiny@1"?'),
        (("tiny",), "--count is missing: how many images"),
        (("tiny", "-n", "0"), "--count"),
        (("tiny", "-n", "1", "--grid", "tsyle=*"), '--grid tsyle=*: unknown attribute "tsyle"; did you mean "style"?'),
        (("tiny", "-n", "1", "--grid", "style=inc"), '--grid style=inc: unknown category "inc"; did you mean "ink"?'),
        (("tiny", "-n", "1", "--grid", "style=ink,ink"), '--grid style=ink,ink: "ink" is named twice'),
        (("tiny", "-n", "1", "--grid", "style=*", "--where", "style=oil"), '--where style=oil: "style" is an axis of'),
        (("tiny", "--grid", "style=*", "--plan", "ok.csv"), "--grid: must be left out where there are plans"),
        (("tiny", "-n", "1", "--where", "style=inc"), '--where style=inc: unknown category "inc"; did you mean "ink"?'),
        (("tiny", "-n", "1", "--grid", "style"), "Write --grid 'style=*' or --grid category=face,heart."),
        (("tiny", "--plan", "category.csv"), '--plan category.csv, line 3: unknown category "inc"; did you mean'),
        (("tiny", "--plan", "ok.csv", "--where", "style=ink"), 'line 2: "style" is named here and in what all have'),
        (("tiny", "--plan", "missing.csv"), "--plan missing.csv: cannot be read: No such file"),
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
        (("tiny", "--plan", "huge.csv"), "--plan huge.csv, line 3, count: must be a whole number"),
        (
            ("tiny", "--plan", "words.csv"),
            "--plan words.csv, line 2, count: must be a whole number",
        ),
        (("tiny", "--plan", "none.csv"), "--plan none.csv, line 2, count: must be at least 1"),
    ],
)
def test_what_is_typed_wrong_is_named_as_it_was_typed(shell: Shell, arguments: tuple[str, ...], complaint: str) -> None:
    files = {
        "ok.csv": "style,count\nink,1\n",
        "category.csv": "style,count\nink,1\ninc,1\n",
        "large.csv": "style,count\nink,1\nink,4000000000\n",
        "words.csv": "style,count\nink,many\n",
        "none.csv": "style,count\nink,0\n",
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
