"""What a batch draws, as it is typed."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import pytest

from unikat.batch import Plan
from unikat.cli.batch.create import Wish, absolute, default_owner, parse_labels
from unikat.cli.batch.plan import Line, parse_grid, read_plan
from unikat.cli.batch.words import span
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.request import as_sent


def test_a_grid_is_read() -> None:
    assert parse_grid(["style=*", "category = face, heart"]) == {"style": "*", "category": ["face", "heart"]}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["style"], "--grid style: it needs an attribute and categories"),
        (["=ink"], "--grid =ink: it needs"),
        (["style=ink,,oil"], "--grid style=ink,,oil: a category is empty"),
        (["style=*,ink"], '"*" means all categories and stands alone'),
        (["style=ink:0.5"], "a blend that all images share goes with --where"),
        (["style=ink", "style=oil"], '"style" is named twice; write style=one,other'),
    ],
)
def test_a_grid_that_is_malformed_says_how_it_should_look(options: list[str], complaint: str) -> None:
    with pytest.raises(Problem) as problem:
        parse_grid(options)
    assert complaint in problem.value.message
    assert "Write --grid 'style=*'" in problem.value.hints[0]
    assert problem.value.code == BAD_INPUT


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_a_csv_file_is_a_column_an_attribute_and_a_count(tmp_path: Path) -> None:
    text = '\ufeffstyle,count,subject\nink,3,\n"ink:0.5,oil:0.5", 4 ,sea\noil,,\n'
    assert read_plan(written(tmp_path, "plan.csv", text), 7) == [
        Line(2, Plan({"style": "ink"}, 3)),
        Line(3, Plan({"style": {"ink": 0.5, "oil": 0.5}, "subject": "sea"}, 4)),
        Line(4, Plan({"style": "oil"}, 7)),
    ]


@pytest.mark.parametrize(
    "text",
    [
        b"count;style\r\n3;ink\r\n",
        b"sep=;\nstyle;count;;\nink;3;;\n;;;\n",
        b'"sep=;"\nstyle;count\nink;3\n',
        "style\tcount\nink\t3\n".encode("utf-16"),
        b"Style, Count\nink,3.0\n,\n\n",
        b",style,count\n0,ink,3\n",
        b"style,count\rink,3\r",
    ],
)
def test_a_spreadsheets_plan_is_read(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "plan.csv").write_bytes(text)
    assert [line.plan for line in read_plan(tmp_path / "plan.csv", None)] == [Plan({"style": "ink"}, 3)]


def test_a_jsonl_file_is_a_plan_a_line(tmp_path: Path) -> None:
    text = '{"where": {"style": "ink"}, "count": 3}\n\n{"where": {"style": {"ink": 1, "oil": 2}}}\n{"count": 2}\n'
    assert read_plan(written(tmp_path, "plan.jsonl", text), 7) == [
        Line(1, Plan({"style": "ink"}, 3)),
        Line(3, Plan({"style": {"ink": 1, "oil": 2}}, 7)),
        Line(4, Plan({}, 2)),
    ]


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("plan.txt", "", ": the name must end in .csv, .tsv or .jsonl"),
        ("plan.csv", "", ": there is nothing in it"),
        ("plan.csv", "style,count\n", ": there is nothing in it"),
        ("plan.csv", "style,count\nink,1\nink,1,2\n", ", line 3: it has other columns than the first line"),
        ("plan.csv", "style,style,count\nink,oil,1\n", ', line 1: the column "style" is there twice'),
        ("plan.csv", "Style,style,count\nink,oil,1\n", ", line 1: two columns have the same name in small letters"),
        ("plan.csv", "style,count\nink\n", ", line 2: it has other columns than the first line"),
        ("plan.csv", "style,count\nink,\n", ", line 2: it has no count"),
        ("plan.csv", "style\nink\n", ", line 2: it has no count"),
        ("plan.csv", 'style,count\n"ink:x",1\n', ", line 2: style=ink:x: a weight is a number"),
        ("plan.jsonl", '{"where": {"style": "ink"}}\n', ", line 1: it has no count"),
        ("plan.jsonl", '{"count": 1}\n{"count"\n', ", line 2: no JSON"),
        ("plan.jsonl", '{"style": "ink", "count": 1}\n', ", line 1: it is no line of a plan"),
        ("plan.jsonl", '{"where": ["style"], "count": 1}\n', ", line 1: it is no line of a plan"),
        ("plan.jsonl", "[1]\n", ", line 1: it is no line of a plan"),
    ],
)
def test_a_plan_that_is_wrong_says_in_which_line(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(Problem) as problem:
        read_plan(path, None)
    assert problem.value.message.startswith(f"--plan {path}{complaint}")


def test_a_plan_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"missing\.csv: cannot be read: No such file"):
        read_plan(tmp_path / "missing.csv", 1)
    (tmp_path / "binary.csv").write_bytes(b"style,count\n\xff\0,1\n")
    with pytest.raises(Problem, match=r"binary\.csv: is not UTF-8 text"):
        read_plan(tmp_path / "binary.csv", 1)


def test_what_to_draw_must_be_said_once() -> None:
    with pytest.raises(Problem, match=r"--count is missing: how many images$"):
        Wish.parse([], None, [], None)
    with pytest.raises(Problem, match="--count is missing: how many images for each combination"):
        Wish.parse(["style=*"], None, [], None)


@pytest.mark.parametrize(
    ("field", "typed"),
    [
        ("plans[0].conditions[0].category", "--where mood=calm"),
        ("plans[0].conditions[1].category", "--plan {plan}, line 2"),
        ("plans[1].count", "--plan {plan}, line 3, count"),
        ("plans", "--plan"),
        ("count", "--count"),
    ],
)
def test_a_field_of_the_request_is_named_by_the_line_of_the_plan(tmp_path: Path, field: str, typed: str) -> None:
    plan = written(tmp_path, "plan.csv", "style,count\nink,3\noil,4\n")
    assert Wish.parse([], plan, ["mood=calm"], None).flag(field) == typed.format(plan=plan)


def test_a_field_of_the_request_is_named_by_its_grid() -> None:
    wish = Wish.parse(["style=*", "subject=sea,hill"], None, ["mood=calm"], 3)
    assert wish.flag("grid.axes[1].categories[0]") == "--grid subject=sea,hill"
    assert wish.flag("grid.axes[0].attribute") == "--grid style=*"
    assert wish.flag("grid.conditions[0].attribute") == "--where mood=calm"
    assert wish.flag("grid.count") == "--count"


@pytest.mark.parametrize(
    ("labels", "complaint"),
    [(["job"], "--label job: write key=value"), (["=1"], "write key=value"), (["a=1", "a=2"], '"a" is named twice')],
)
def test_a_label_is_a_key_and_a_value(labels: list[str], complaint: str) -> None:
    assert parse_labels(["job=12", "note=a=b"]) == {"job": "12", "note": "a=b"}
    with pytest.raises(Problem, match=complaint):
        parse_labels(labels)


def test_paths_become_absolute_and_urls_stay_as_they_are() -> None:
    assert absolute("s3://bucket/folder") == "s3://bucket/folder"
    assert absolute("out/../art") == str(Path.cwd() / "art")
    assert absolute("~/art") == str(Path.home() / "art")


def test_the_owner_is_the_user_in_characters_that_an_owner_may_have() -> None:
    assert default_owner().replace("-", "").replace("_", "").replace(".", "").replace("@", "").isalnum()


def test_weights_that_were_divided_by_their_sum_are_sent_so_that_they_come_back() -> None:
    for given in ([0.1, 0.2, 0.3], [1.0, 1.0, 1.0], [0.7, 0.3], [3.0, 5.0, 7.0, 11.0], [0.15, 0.35, 0.05, 0.45]):
        weights = {str(i): weight / sum(given) for i, weight in enumerate(given)}
        sent = as_sent(weights)
        back = {name: np.float32(weight / sum(sent.values())) for name, weight in sent.items()}
        assert back == {name: np.float32(weight) for name, weight in weights.items()}


@pytest.mark.parametrize(
    "weights",
    [
        {"a": 0.0, "b": 0.0},
        {"a": 1.0, "b": -1.0},
        {"a": 1e38, "b": -1e38},
        {"a": 1e308, "b": 1e308},
        {"a": math.nan, "b": 1.0},
        {"a": math.inf, "b": 1.0},
        {"a": 0.3333, "b": 0.3333, "c": 0.3333},
        {},
    ],
)
def test_weights_that_do_not_sum_to_1_are_sent_as_they_are_for_the_service_to_refuse(weights: dict[str, float]) -> None:
    sent = as_sent(weights)
    assert list(sent) == list(weights)
    assert np.array_equal(list(sent.values()), list(weights.values()), equal_nan=True)


@pytest.mark.parametrize("off", [1e-4, 3e-7])
def test_many_weights_of_which_no_scale_comes_back_hold_no_event_loop_up(off: float) -> None:
    shares = np.random.default_rng(0).random(500)
    weights = {str(i): float(share) for i, share in enumerate(shares / shares.sum() * (1 + off))}
    began = time.process_time()
    assert as_sent(weights) == weights
    assert time.process_time() - began < 0.3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (59.4, "59 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (273600, "3 d 4 h")],
)
def test_times_are_told_as_people_do(seconds: float, text: str) -> None:
    assert span(seconds) == text
