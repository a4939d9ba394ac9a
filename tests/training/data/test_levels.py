"""Folders as people have them: which are categories, and what is said of the others."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.training.data.preparing import TAKE_ALL, Prepared, fill, labels_by_item, png, prepare


def prepared(tmp_path: Path, names: Iterable[str], *arguments: str | Path) -> Prepared:
    """Runs `prepare folder` on different pictures that are called so."""
    pictures = fill(tmp_path / "in", {name: png(seed) for seed, name in enumerate(names)})
    return prepare(tmp_path / "out", "folder", pictures, "--size", "8", "--jobs", "1", *arguments)


def categories(result: Prepared) -> dict[str, tuple[str, ...]]:
    return {attribute.name: attribute.categories for attribute in result.dataset.attributes}


def numbered(*folders: str, each: int = 2) -> list[str]:
    return [f"{folder}/{i}.png" for folder in folders for i in range(each)]


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (["train/cat", "train/dog", "valid/cat", "test/dog"], ("cat", "dog")),
        (["cat/train", "cat/test", "dog/Train"], ("cat", "dog")),
        (["train2017/cat", "val2017/dog"], ("cat", "dog")),
        (["archive/data/train/cat", "archive/data/train/dog"], ("cat", "dog")),
        (["cat/images", "dog/images"], ("cat", "dog")),
        (["training_set/training_set/cat", "test_set/test_set/dog"], ("cat", "dog")),
        (["seg_train/seg_train/cat", "seg_test/seg_test/dog"], ("cat", "dog")),
        (["fold1/cat", "fold2/dog"], ("cat", "dog")),
        (["cat_train", "dog_train"], ("cat_train", "dog_train")),  # other things, not one thing's splits
        (["0", "1", "2"], ("0", "1", "2")),
        (["train", "car", "plane"], ("car", "plane", "train")),  # a vehicle here, since the others are no splits
    ],
)
def test_splits_and_wrapping_folders_are_no_categories(
    tmp_path: Path, folders: list[str], expected: tuple[str, ...]
) -> None:
    assert categories(prepared(tmp_path, numbered(*folders))) == {"category": expected}


def test_splits_are_said_and_one_can_be_taken(tmp_path: Path) -> None:
    names = numbered("train/cat", "train/dog", "test/cat", "test/dog")
    both = prepared(tmp_path, names)
    train = prepare(tmp_path / "train", "folder", tmp_path / "in", "--split", "train")
    wrong = prepare(tmp_path / "wrong", "folder", tmp_path / "in", "--split", "tain")

    assert "train, test divide the pictures" in both.said or "test, train divide the pictures" in both.said
    assert sorted(train.dataset.items) == sorted(name for name in names if name.startswith("train/"))
    assert ("excluded", "test/cat/0.png") in train.problems
    assert "--split tain: no such split; choose from test, train" in wrong.message


def test_splits_without_categories_are_a_plain_set(tmp_path: Path) -> None:
    assert categories(prepared(tmp_path, numbered("train", "test"))) == {}


def test_a_stray_folder_does_not_make_the_others_unlabelled(tmp_path: Path) -> None:
    result = prepared(tmp_path, [f"{i}.png" for i in range(20)] + ["New folder/x.png"])

    assert len(result.dataset) == 21
    assert categories(result) == {}
    assert "New folder" in result.said


def test_folders_of_a_few_do_not_make_the_many_unlabelled(tmp_path: Path) -> None:
    result = prepared(tmp_path, [f"{i}.png" for i in range(20)] + numbered("cat", "dog"))

    assert len(result.dataset) == 24
    assert "--label-level 1 takes them" in result.said
    some = prepare(tmp_path / "some", "folder", tmp_path / "in", "--label-level", "1", *TAKE_ALL)
    assert categories(some) == {"category": ("cat", "dog")}


def test_folders_below_the_categories_are_said_and_can_be_a_second_attribute(tmp_path: Path) -> None:
    names = numbered("cubism/braque", "cubism/gris", "fauvism/derain")
    one = prepared(tmp_path, names)
    both = prepare(
        tmp_path / "both", "folder", tmp_path / "in", "--label-level=1", "--label-level=-1", "--attribute=style",
        "--attribute=artist",
    )  # fmt: skip

    assert categories(one) == {"category": ("cubism", "fauvism")}
    assert "(braque, gris, derain): --label-level 2 takes these, --label-level 1 --label-level 2 both" in one.said
    assert categories(both) == {"style": ("cubism", "fauvism"), "artist": ("braque", "derain", "gris")}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--label-level", "3"], "--label-level 3: no picture has such a folder; levels are 1 to 2 or -1 to -2"),
        (["--label-level", "1", "--attribute", "a", "--attribute", "b"], "2 names for 1 of --label-level"),
        (["--labels", "none", "--attribute", "a"], "--labels none: takes no --attribute"),
        (["--labels", "folder"], "--labels folder: must be beside, folders, names, none, or a file"),
        (["--file-column", "id"], "--file-column id: there is no file of labels"),
        (["--background", "whit"], "--background whit: must be keep, auto, or a colour such as white"),
        (["--max-left-out", "2"], "--max-left-out"),
        (["--fit", "stretch"], "'crop'"),
    ],
)
def test_a_wrong_option_is_named_with_what_is_allowed(tmp_path: Path, arguments: list[str], said: str) -> None:
    assert said in prepared(tmp_path, numbered("a/x", "b/y"), *arguments).message


def test_labels_can_be_left_away(tmp_path: Path) -> None:
    result = prepared(tmp_path, [*numbered("cat", "dog"), "5.png"], "--labels", "none")
    assert (categories(result), len(result.dataset)) == ({}, 5)


def test_pictures_of_a_folder_each_have_no_categories_and_that_is_said(tmp_path: Path) -> None:
    result = prepared(tmp_path, [f"{i}/photo.png" for i in range(60)])

    assert categories(result) == {}
    assert "60 folders of 60 pictures are no categories" in result.said


def test_names_that_begin_with_categories_are_said_and_taken_when_asked(tmp_path: Path) -> None:
    names = [f"train/{animal}.{i}.png" for animal in ("cat", "dog") for i in range(5)]
    plain = prepared(tmp_path, names)
    asked = prepare(tmp_path / "asked", "folder", tmp_path / "in", "--labels", "names")

    assert categories(plain) == {}
    assert "begin with cat 5, dog 5: --labels names takes that as labels" in plain.said
    assert categories(asked) == {"category": ("cat", "dog")}


def test_parts_of_names_are_said_and_taken_when_asked(tmp_path: Path) -> None:
    """Of UTKFace: age, gender, race and a date."""
    names = [f"{20 + i}_{i % 2}_{'ab'[i // 6]}_20170116{i:09}.jpg.chip.png" for i in range(12)]
    plain = prepared(tmp_path, names)
    levels = ["--labels", "names", "--label-level", "2", "--label-level", "-2"]
    asked = prepare(tmp_path / "asked", "folder", tmp_path / "in", *levels, "--attribute", "sex", "--attribute", "kind")
    wrong = prepare(tmp_path / "wrong", "folder", tmp_path / "in", "--labels", "names", "--label-level", "5")

    assert categories(plain) == {}
    assert "part 2 of the files' names is 0 6, 1 6: --labels names --label-level 2 takes that as labels" in plain.said
    assert categories(asked) == {"sex": ("0", "1"), "kind": ("a", "b")}
    assert "--label-level 5: no picture has such a part in its name; levels are 1 to 4 or -1 to -4" in wrong.message


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("great_Pyrenees_153.jpg", "great_Pyrenees"), ("003-cat.png", "cat"), ("cat (2).png", "cat"), ("12.png", None)],
)
def test_the_beginning_of_a_name_is_what_stands_before_its_number(
    tmp_path: Path, name: str, prefix: str | None
) -> None:
    result = prepared(tmp_path, [name, "dog_1.png"], "--labels", "names", *TAKE_ALL)
    assert labels_by_item(result.dataset).get(name) == ((prefix,) if prefix else None)


def test_categories_that_are_written_alike_are_one_or_warned_of(tmp_path: Path) -> None:
    nfd = unicodedata.normalize("NFD", "café")
    names = [
        "café/1.png",
        f"{nfd}/2.png",
        "Cat/1.png",
        "cat/1.png",
        "cat /2.png",
        "cat\u200b/3.png",
        "a_b/1.png",
        "A b/1.png",
    ]
    warned = prepared(tmp_path, names)
    folded = prepare(tmp_path / "folded", "folder", tmp_path / "in", "--fold")

    assert set(warned.dataset.attributes[0].categories) == {"café", "Cat", "cat", "a_b", "A b"}
    assert "Cat (1) and cat (3) are different categories; --fold makes them one" in warned.said
    assert set(folded.dataset.attributes[0].categories) == {"café", "cat", "a_b"}


def test_what_systems_left_behind_is_passed_over_and_counted(tmp_path: Path) -> None:
    names = [f"IMG_{i}.png" for i in range(5)]
    litter = [f"@eaDir/IMG_{i}.png/SYNOPHOTO_THUMB_M.png" for i in range(5)]
    litter += ["Thumbs.db", ".DS_Store", "._IMG_1.png", "#recycle/old.png", "$RECYCLE.BIN/x.png", "desktop.ini"]
    result = prepared(tmp_path, [*names, *litter])

    assert sorted(result.dataset.items) == names
    assert result.problems == set()
    assert "@eaDir 5" in result.said


def test_a_third_left_out_stops_with_what_why_and_the_way_out(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {f"{c}/{i}.png": png(10 * k + i) for k, c in enumerate("ab") for i in range(3)})
    fill(pictures, {f"a/x{i}.heic": b"\0\0\0\x18ftypheic" + bytes(50) for i in range(2)} | {"b/cut.png": png(99)[:200]})
    result = prepare(tmp_path / "out", "folder", pictures)

    assert "3 of 9 pictures would be left out (33%): 2 unreadable format (a/x0.heic, a/x1.heic)" in result.message
    assert "save these as PNG or JPEG; 1 broken (b/cut.png)" in result.message
    assert "--max-left-out 1" in result.message
    assert "unreadable format" in result.printed.partition("error:")[0]  # the report comes first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out-contact_sheet.png"]
    assert len(prepare(tmp_path / "out", "folder", pictures, *TAKE_ALL).dataset) == 6


def test_less_than_a_third_does_not_stop(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {f"{c}/{i}.png": png(10 * k + i) for k, c in enumerate("ab") for i in range(3)})
    fill(pictures, {"loose.png": png(98), "a/cut.png": png(99)[:200]})

    result = prepare(tmp_path / "out", "folder", pictures)

    assert len(result.dataset) == 6
    assert result.problems == {("unlabelled", "loose.png"), ("broken", "a/cut.png")}


def test_the_same_pictures_under_two_names_stop(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"real/1.png": png(1), "real/2.png": png(2)})
    (pictures / "alias").symlink_to("real")
    assert "2 conflict" in prepare(tmp_path / "out", "folder", pictures).message


def test_a_folder_of_what_cannot_be_read_says_what_there_is(tmp_path: Path) -> None:
    fill(tmp_path / "in", {"a/1.heic": b"x", "a/2.heic": b"x", "notes.txt": b"x"})
    message = prepare(tmp_path / "out", "folder", tmp_path / "in").message
    assert (
        "no pictures; there are 2 x .heic, 1 x .txt (a/1.heic: HEIC: not read here; save it as PNG or JPEG)" in message
    )
