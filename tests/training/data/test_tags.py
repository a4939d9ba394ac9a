"""Tags of pictures: lists, texts in a column, and a text beside each picture, as trainers and downloaders have them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.training.data.preparing import Prepared, fill, labels_by_item, png, prepare

COUNT = 60
WORDS = ("solo", "red hair", "Long_Hair", "hat", "caf\u00e9 \\(blue\\)", ":d")
NAMES = ("solo", "red_hair", "long_hair", "hat", "cafe_blue")


def has(number: int, word: int) -> bool:
    return number % (word + 2) == 0


def tags(number: int) -> list[str]:
    """Those that tell pictures apart, one that all have, and one that no other has."""
    return ["1girl", *(word for i, word in enumerate(WORDS) if has(number, i)), f"thing {number}"]


PICTURES = {f"{number}.png": png(number) for number in range(COUNT)}
EXPECTED = {f"{n}.png": tuple("yes" if has(n, i) else "no" for i in range(len(NAMES))) for n in range(COUNT)}


def prepared(tmp_path: Path, files: Mapping[str, str], *arguments: str) -> Prepared:
    folder = fill(tmp_path / "in", PICTURES | {name: text.encode() for name, text in files.items()})
    return prepare(tmp_path / "out", "folder", folder, "--size", "8", "--jobs", "1", *arguments)


def csv(cell: Callable[[int], str]) -> str:
    return "file,tags\n" + "".join(f'{n}.png,"{cell(n)}"\n' for n in range(COUNT))


LAYOUTS = {
    "lists": {"metadata.jsonl": "\n".join(json.dumps({"file_name": f"{n}.png", "t": tags(n)}) for n in range(COUNT))},
    "commas": {"tags.csv": csv(lambda n: ", ".join(tags(n)))},
    "bars": {"tags.csv": csv(lambda n: "|".join(tags(n)))},
    "lists in a CSV": {"tags.csv": csv(lambda n: str(tags(n)))},
    "texts": {f"{n}.txt": ", ".join(tags(n)) for n in range(COUNT)},
    "a tag a line": {f"{n}.txt": "\r\n".join(tags(n)) for n in range(COUNT)},
    "JSON beside": {f"{n}.png.json": json.dumps({"category": "site", "tags": tags(n)}) for n in range(COUNT)},
    "blanks": {
        f"{n}.json": json.dumps({"tags": " ".join(tag.replace(" ", "_") for tag in tags(n))}) for n in range(COUNT)
    },
}


@pytest.mark.parametrize("files", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_frequent_tags_become_attributes_of_yes_and_no(tmp_path: Path, files: Mapping[str, str]) -> None:
    result = prepared(tmp_path, files)
    found = [attribute.name.replace("__", "_") for attribute in result.dataset.attributes]
    assert found == list(NAMES)
    assert labels_by_item(result.dataset) == EXPECTED
    assert "66 tags, of which the 5 most frequent ones are attributes" in result.said
    assert "nearly all pictures have x1girl; 1 cannot be named in a request: :d" in result.said
    assert "not an image" not in result.printed


def test_tags_are_chosen_by_number_by_name_or_not_at_all(tmp_path: Path) -> None:
    def chosen(*arguments: str) -> list[str]:
        return [each.name for each in prepared(tmp_path, LAYOUTS["lists"], "--force", *arguments).dataset.attributes]

    assert chosen("--tags", "2") == ["solo", "red_hair"]
    assert chosen("--attribute", "hat", "--attribute", "1girl") == ["hat", "x1girl"]
    assert chosen("--attribute", "t", "--tags", "1") == ["solo"]
    wrong = prepared(tmp_path, LAYOUTS["lists"], "--force", "--attribute", "hatt")
    assert "no such column; choose from file_name, solo, red_hair, long_hair, hat, cafe_blue" in wrong.said
    none = prepared(tmp_path, LAYOUTS["lists"], "--force", "--tags", "0")
    assert "the column t is no attribute: it holds lists" in none.said


def test_tags_stand_beside_other_columns_and_a_picture_may_have_none(tmp_path: Path) -> None:
    rows = [(n, ["oil", "ink"][n % 2], tags(n)[1:-1] if n % 6 else []) for n in range(COUNT)]
    table = "".join(f'{n}.png,{style},"{";".join(each)}"\n' for n, style, each in rows)
    result = prepared(tmp_path, {"art.csv": "file,style,tags\n" + table})
    assert [each.name for each in result.dataset.attributes][:2] == ["style", "solo"]
    assert labels_by_item(result.dataset)["6.png"] == ("oil", *("no" for _ in result.dataset.attributes[1:]))


def test_tags_of_which_each_picture_has_one_are_categories(tmp_path: Path) -> None:
    rows = ({"file": f"{n}.png", "tags": ["animal", "cat" if n % 3 else "dog", f"n{n}"]} for n in range(COUNT))
    result = prepared(tmp_path, {"metadata.jsonl": "\n".join(map(json.dumps, rows))})
    assert [each.name for each in result.dataset.attributes] == ["tags"]
    assert labels_by_item(result.dataset) == {f"{n}.png": ("cat" if n % 3 else "dog",) for n in range(COUNT)}


def boxes(classes: Callable[[int], list[str]]) -> dict[str, str]:
    """A row a box, as Roboflow and TensorFlow's object detection have them."""
    rows = "".join(
        f"{n}.png,8,{each},{n * 7 % 5 + box},{n * 3 % 4 + box}\n"
        for n in range(COUNT)
        for box, each in enumerate(classes(n))
    )
    return {"_annotations.csv": "filename,width,class,xmin,ymin\n" + rows}


def test_rows_of_one_picture_are_taken_together(tmp_path: Path) -> None:
    several = prepared(tmp_path, boxes(lambda n: ["cat"] * (n % 2) + ["dog"] * (n % 3) + ["sky"]))
    assert [each.name for each in several.dataset.attributes] == ["dog", "cat"]
    assert labels_by_item(several.dataset) == {
        f"{n}.png": ("yes" if n % 3 else "no", "yes" if n % 2 else "no") for n in range(COUNT)
    }
    assert "rows of 60 pictures are taken together, without xmin, ymin, which differ in them" in several.said
    assert "nearly all pictures have sky" in several.said

    one = prepared(tmp_path, boxes(lambda n: [["cat", "dog"][n % 2]] * 2), "--force")
    assert labels_by_item(one.dataset) == {f"{n}.png": (["cat", "dog"][n % 2],) for n in range(COUNT)}


def coco(first: int, last: int) -> str:
    """The objects of some pictures, as Roboflow writes them for each split; one is of a kind that no other has."""
    kinds = ["solo", "red hair", "hat", "rare"]
    objects = [(n, kind) for n in range(first, last) for kind in range(3) if has(n, kind)] + [(first, 3)]
    document = {
        "images": [{"id": n - first, "file_name": f"{n}.png"} for n in range(first, last)],
        "categories": [{"id": 10 + i, "name": name} for i, name in enumerate(kinds)],
        "annotations": [{"image_id": n - first, "category_id": 10 + kind, "bbox": [0, 0, n, 1]} for n, kind in objects],
    }
    return json.dumps(document)


def test_the_objects_of_pictures_in_all_splits_are_tags(tmp_path: Path) -> None:
    """As COCO has them; in the second part a tag is too rare that is not in both."""
    parts = {"train": range(45), "valid": range(45, COUNT)}
    files = {f"{part}/{n}.png": png(n) for part, numbers in parts.items() for n in numbers}
    files |= {f"{part}/_annotations.coco.json": coco(each[0], each[-1] + 1).encode() for part, each in parts.items()}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files), "--size", "8", "--jobs", "1")
    assert [each.name for each in result.dataset.attributes] == ["solo", "red_hair", "hat"]
    assert labels_by_item(result.dataset) == {
        f"{part}/{n}.png": tuple("yes" if has(n, kind) else "no" for kind in range(3))
        for part, numbers in parts.items()
        for n in numbers
    }


def test_boxes_that_are_not_read_are_told(tmp_path: Path) -> None:
    files = {f"images/train/{n}.png": png(n) for n in range(12)}
    files |= {f"labels/train/{n}.txt": f"{n % 2} 0.5 0.5 0.25 0.{n + 1}\n".encode() for n in range(12)}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files), "--size", "8", "--jobs", "1")
    assert "labels/train/0.txt: boxes, as YOLO has them, are not read; those of COCO are" in result.said


def test_few_rows_that_contradict_each_other_are_mistakes(tmp_path: Path) -> None:
    result = prepared(tmp_path, boxes(lambda n: ["cat", "dog"] if n < 4 else [["cat", "dog"][n % 2]]))
    assert ("bad label", "0.png") in result.problems
    assert "taken together" not in result.said


@pytest.mark.parametrize("names", [("cat", "dog"), ("0", "1")])
def test_one_word_beside_each_picture_is_its_category(tmp_path: Path, names: tuple[str, str]) -> None:
    result = prepared(tmp_path, {f"{n}.txt": f"{names[n % 2]}\n" for n in range(COUNT)})
    assert labels_by_item(result.dataset) == {f"{n}.png": (names[n % 2],) for n in range(COUNT)}


@pytest.mark.parametrize(
    "text",
    [
        lambda n: f"a picture of {n} cats, seen from the side of house {n * 7}",
        lambda n: f"{n % 3} 0.5 0.5 0.1 0.{n}\n1 0.2 0.2 0.1 0.1\n",
    ],
    ids=["captions", "boxes"],
)
def test_captions_and_boxes_are_no_tags(tmp_path: Path, text: Callable[[int], str]) -> None:
    texts = {f"{n}.txt": text(n) for n in range(COUNT)}
    assert not prepared(tmp_path, texts).dataset.attributes
    around = fill(tmp_path / "around", {f"my cat/{n}.png": png(n) for n in range(COUNT)})
    fill(around / "my cat", {name: said.encode() for name, said in texts.items()})
    named = prepare(tmp_path / "named", "folder", around, "--size", "8", "--attribute", "subject")
    assert labels_by_item(named.dataset)["my cat/0.png"] == ("my cat",)
    forced = prepared(tmp_path, texts, "--labels", "beside", "--force")
    assert forced.code != 0
    assert "--labels beside: no .json, .cls, .txt beside a picture has labels" in forced.said


@pytest.mark.parametrize("place", [lambda n: f"city {n % 8}, land {n % 4}", lambda n: f"{n % 9}, {n % 7}, 10, 20"])
def test_a_comma_in_a_category_or_between_numbers_makes_no_tags(tmp_path: Path, place: Callable[[int], str]) -> None:
    assert "tags, of which" not in prepared(tmp_path, {"places.csv": csv(place)}).said


def test_folders_win_over_texts_unless_these_are_asked_for(tmp_path: Path) -> None:
    names = {n: f"{['a', 'b'][n % 2]}/{n}" for n in range(COUNT)}
    files = {f"{name}.png": png(n) for n, name in names.items()}
    files |= {f"{name}.txt": ", ".join(tags(n)).encode() for n, name in names.items()}
    folder = fill(tmp_path / "in", files)

    def read(*arguments: str) -> Prepared:
        return prepare(tmp_path / "out", "folder", folder, "--size", "8", "--jobs", "1", "--force", *arguments)

    by_folders = read("--attribute", "kind")
    assert [each.name for each in by_folders.dataset.attributes] == ["kind"]
    assert "the texts beside the pictures are not used; --labels beside takes them" in by_folders.said
    assert [each.name for each in read("--labels", "beside").dataset.attributes] == list(NAMES)
