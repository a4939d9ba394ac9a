"""Tables without a heading, of one-hot columns, in other formats, and those that are no labels."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.training.data.preparing import TAKE_ALL, Prepared, fill, labels_by_item, png, prepare

STYLES = {f"{i}.png": ("cat" if i % 3 else "dog",) for i in range(12)}
PICTURES = {name: png(seed) for seed, name in enumerate(STYLES)}


def prepared(tmp_path: Path, tables: Mapping[str, str], *arguments: str) -> Prepared:
    folder = fill(tmp_path / "in", PICTURES | {name: text.encode() for name, text in tables.items()})
    return prepare(tmp_path / "out", "folder", folder, "--size", "8", "--jobs", "1", *arguments)


def test_a_table_without_a_heading_loses_no_picture(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"labels.csv": "".join(f"{f},{s[0]}\n" for f, s in STYLES.items())})

    assert labels_by_item(result.dataset) == STYLES
    assert [attribute.name for attribute in result.dataset.attributes] == ["category"]
    assert "labels.csv has no heading; its columns are taken to be file, category" in result.said


@pytest.mark.parametrize("line", ["{}  {}\n", "./{}\t{}\n", "data/{}, {}\n"])
def test_a_list_of_pictures_and_labels_is_a_table(tmp_path: Path, line: str) -> None:
    text = "".join(line.format(f, s[0]) for f, s in STYLES.items())
    found = prepared(tmp_path, {"train.txt": text, "README.txt": "Pictures, see example.com for more.\n"})
    assert labels_by_item(found.dataset) == STYLES


def test_a_list_may_begin_with_the_labels_and_prose_is_none(tmp_path: Path) -> None:
    text = "".join(f"{s[0]} {f}\n" for f, s in STYLES.items())
    found = prepared(tmp_path, {"train.txt": text, "notes.txt": "mind 1.png\nand 2.png\n"})
    assert labels_by_item(found.dataset) == STYLES


def test_words_above_a_list_name_its_columns(tmp_path: Path) -> None:
    bits = {f: (1 if i % 2 else -1, 1 if i % 3 else -1) for i, f in enumerate(STYLES)}
    rows = "".join(f"{f}  {one} {two}\n" for f, (one, two) in bits.items())
    boxes = "".join(f"{f}  {i * 7} {i * 5 + 1} {i * 3 + 50} {i + 90}\n" for i, f in enumerate(STYLES))
    tables = {"attributes.txt": f"12\n5_o_Clock_Shadow Male\n{rows}", "boxes.txt": f"12\nid x y width height\n{boxes}"}
    result = prepared(tmp_path, tables)  # both as CelebA has them
    assert [attribute.name for attribute in result.dataset.attributes] == ["x5_o_clock_shadow", "male"]
    assert labels_by_item(result.dataset) == {f: (str(one), str(two)) for f, (one, two) in bits.items()}
    assert "--fold" not in result.printed, "-1 and 1 are no twins"


def test_numbers_after_a_picture_are_no_category(tmp_path: Path) -> None:
    boxes = "".join(f"{f}\t0\t{i % 2}\t62\t63\n" for i, f in enumerate(STYLES))
    result = prepared(tmp_path, {"boxes.txt": boxes})
    assert result.code != 0
    assert "boxes.txt: the column category is no attribute: it holds lists" in result.said


def test_a_table_completes_the_folders(tmp_path: Path) -> None:
    """Of Tiny ImageNet: a folder a category for training, where boxes lie too, and a table for validation."""
    files = {f"train/{label}/images/{label}{i}.png": png(i + 20 * n) for n, label in enumerate("ab") for i in range(9)}
    files |= {f"train/{label}/{label}_boxes.txt": f"{label}0.png\t0\t0\t63\t63\n".encode() for label in "ab"}
    files |= {f"val/images/{i}.png": png(i + 50) for i in range(6)}
    files["val/annotations.txt"] = "".join(f"{i}.png\t{'ab'[i % 2]}\t0\t{i}\t9\t9\n" for i in range(6)).encode()
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files), "--size", "8", "--jobs", "1")
    expected = {
        name: (name.split("/")[1] if "train" in name else "ab"[int(name[11]) % 2],) for name in files if "png" in name
    }
    assert labels_by_item(result.dataset) == expected
    assert "labels: the folders, and val/annotations.txt where there are none" in result.said


ROWS = [{"image": name, "label": label} for name, (label,) in STYLES.items()]
JSON_TABLES = {
    "a list": ROWS,
    "a list under a name": {"version": 1, "images": ROWS},
    "pairs": [[row["image"], row["label"]] for row in ROWS],
    "a list of labels a picture": {row["image"]: [row["label"]] for row in ROWS},
    "columns": {key: [row[key] for row in ROWS] for key in ROWS[0]},
    "columns by number": {key: {str(i): row[key] for i, row in enumerate(ROWS)} for key in ROWS[0]},
    "rows beside columns": {"columns": [*ROWS[0]], "index": [*range(12)], "data": [[*row.values()] for row in ROWS]},
}


@pytest.mark.parametrize("table", JSON_TABLES.values(), ids=JSON_TABLES)
def test_json_is_read_as_programs_write_it(tmp_path: Path, table: object) -> None:
    assert labels_by_item(prepared(tmp_path, {"labels.json": json.dumps(table)}).dataset) == STYLES


def test_lines_of_json_may_be_called_json(tmp_path: Path) -> None:
    text = "".join(json.dumps(row) + "\n" for row in ROWS)
    assert labels_by_item(prepared(tmp_path, {"labels.json": text}).dataset) == STYLES


@pytest.mark.parametrize("name", ["labels.yaml", "all.xml", "labels.npy", "train_labels.pkl", "metadata.csv.gz"])
def test_labels_of_a_format_that_is_not_read_stop_it(tmp_path: Path, name: str) -> None:
    text = "".join(f"{f}: {s[0]}\n" for f, s in STYLES.items())
    result = prepared(tmp_path, {name: text})
    assert result.code != 0
    assert f"{name}: labels, as it seems, but such files are not read here; save it as CSV" in result.said
    assert prepared(tmp_path, {name: text}, "--labels", "none").code == 0


def test_other_files_stop_nothing(tmp_path: Path) -> None:
    tables = dict.fromkeys(("weights.npy", "stage.npz", "classic.mat", "labelled.tar.gz"), "x")
    tables |= {"config.yaml": "size: 64\n", "package.json": '{"name": "x", "files": [{"a": 1}]}'}
    assert prepared(tmp_path, tables).dataset.attributes == ()


def test_captions_beside_the_pictures_are_no_table(tmp_path: Path) -> None:
    result = prepared(tmp_path, {f"{i}.txt": f"{i}.png cat" for i in range(12)})
    assert result.dataset.attributes == ()


@pytest.mark.parametrize("one", ["1", "1.0"])
def test_a_column_for_each_category_is_one_attribute(tmp_path: Path, one: str) -> None:
    zero = one.replace("1", "0")
    rows = "".join(
        f"{f}, {one if s == ('cat',) else zero}, {one if s == ('dog',) else zero}\n" for f, s in STYLES.items()
    )
    result = prepared(tmp_path, {"_classes.csv": "filename, cat, dog\n" + rows})

    assert labels_by_item(result.dataset) == STYLES
    assert "2 columns of 0 and 1 are the categories of one attribute" in result.said


def test_columns_of_yes_and_no_stay_attributes(tmp_path: Path) -> None:
    rows = "".join(f"{i}.png,{i % 2},{i % 3 // 2}\n" for i in range(12))
    attributes = prepared(tmp_path, {"labels.csv": "file,glasses,hat\n" + rows}).dataset.attributes
    assert [(attribute.name, attribute.categories) for attribute in attributes] == [
        ("glasses", ("0", "1")),
        ("hat", ("0", "1")),
    ]


def test_a_sample_submission_labels_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{f},{s[0]}\n" for f, s in list(STYLES.items())[:10])
    tables = {"train.csv": "id,label\n" + rows, "sample_submission.csv": "id,label\n10.png,owl\n11.png,owl\n"}
    result = prepared(tmp_path, tables)

    assert result.dataset.attributes[0].categories == ("cat", "dog")
    assert ("unlabelled", "10.png") in result.problems


def test_a_list_of_the_categories_names_is_no_table_of_pictures(tmp_path: Path) -> None:
    rows = "".join(f"{f},{int(s == ('dog',))}\n" for f, s in STYLES.items())
    result = prepared(tmp_path, {"labels.csv": "file,label\n" + rows, "classes.csv": "id,name\n0,cat\n"})

    assert [attribute.name for attribute in result.dataset.attributes] == ["label"]
    assert "classes.csv names few pictures, so it is not used" in result.said


def test_json_about_something_else_is_said_and_stops_nothing(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"settings.json": '{"seed": 1, "size": 64}', "package.json": '{"a": [1, {"b": 2}]}'})
    assert len(result.dataset) == 12
    assert "not used: settings.json: it names no picture that is here" in result.said


def test_the_attribute_that_is_missing_is_named_when_that_stops(tmp_path: Path) -> None:
    rows = "".join(f"{f},{s[0]},{'' if i % 2 else 'warm'}\n" for i, (f, s) in enumerate(STYLES.items()))
    table = {"labels.csv": "file,style,tone\n" + rows}

    assert "6 unlabelled (1.png, 11.png, 3.png, …; no tone)" in prepared(tmp_path, table).message
    assert len(prepare(tmp_path / "style", "folder", tmp_path / "in", "--attribute", "style").dataset) == 12


def test_labels_of_one_split_only_name_the_option_that_takes_it(tmp_path: Path) -> None:
    files = {f"{split}/{i}.png": png(100 * k + i) for k, split in enumerate(("train", "test")) for i in range(6)}
    rows = "".join(f"train/{i}.png,{'ab'[i % 2]}\n" for i in range(6))
    folder = fill(tmp_path / "in", files | {"train.csv": ("file,style\n" + rows).encode()})

    assert "--split NAME those of one split" in prepare(tmp_path / "out", "folder", folder).message
    assert len(prepare(tmp_path / "out", "folder", folder, "--split", "train").dataset) == 6


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("labels.xlsx", "PK", "labels.xlsx: not read here; save it as CSV"),
        ("_annotations.coco.json", '{"images": [], "annotations": []}', "no annotation of its images has a category"),
        (
            "captions.json",
            '{"images": [{"id": 1, "file_name": "1.png"}], "annotations": [{"image_id": 1, "caption": "a cat"}]}',
            "captions.json: looks like COCO, but its annotations have no categories of a list that names them",
        ),
        ("labels.csv", 'file,style\n1.png,\x01"\n', "labels.csv"),
    ],
)
def test_labels_that_cannot_be_read_are_not_passed_over(tmp_path: Path, name: str, text: str, said: str) -> None:
    result = prepared(tmp_path, {name: text})
    assert said in result.message
    assert len(prepare(tmp_path / "plain", "folder", tmp_path / "in", "--labels", "none").dataset) == 12


def test_one_row_that_is_wrong_does_not_lose_the_others(tmp_path: Path) -> None:
    rows = "".join(f"{f},{s[0]}\n" for f, s in STYLES.items())
    result = prepared(tmp_path, {"labels.csv": f"file,style\n{rows}x.png,a,b,c\n"}, *TAKE_ALL)
    assert labels_by_item(result.dataset) == STYLES
    assert ("bad label", "labels.csv:14") in result.problems
