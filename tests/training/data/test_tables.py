"""Tables of labels as spreadsheets, pandas, Kaggle, Hugging Face and batches of Unikat write them."""

from __future__ import annotations

import json
import tarfile
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.training.data.preparing import TAKE_ALL, Prepared, fill, labels_by_item, png, prepare
from unikat.artwork import Renderer
from unikat.batches.layout import CLAIM, MANIFEST, SHEET, DrawnImage, shard_files
from unikat.batches.manifest import part_bytes
from unikat.batches.spec import Common
from unikat.request import FORMATS
from unikat.v1.batches_pb2 import LAYOUT_FILES, LAYOUT_WEBDATASET

STYLES = {f"{i}.png": ("cat" if i % 2 else "dog",) for i in range(12)}
PICTURES = {name: png(seed) for seed, name in enumerate(STYLES)}
LABELLED = [(name, *labels) for name, labels in STYLES.items()]


def prepared(tmp_path: Path, tables: Mapping[str, bytes | str], *arguments: str, **options: object) -> Prepared:
    """Runs `prepare folder` on twelve pictures (or `pictures`) and tables."""
    pictures = options.get("pictures", PICTURES)
    assert isinstance(pictures, dict)
    written = {name: text.encode() if isinstance(text, str) else text for name, text in tables.items()}
    folder = fill(tmp_path / "in", pictures | written)
    return prepare(tmp_path / "out", "folder", folder, "--size", "8", "--jobs", "1", *arguments)


def csv(separator: str = ",", heading: str = "file,style", end: str = "") -> str:
    rows = [heading.replace(",", separator) + end, *(separator.join(row) + end for row in LABELLED)]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    "table",
    [
        csv(),
        csv(";"),
        csv("\t"),
        csv("|"),
        "sep=;\n" + csv(";"),
        '"sep=;"\n' + csv(";"),
        csv(";", end=";;") + ";;;\n;;;\n",
        csv(heading="file, style"),
        csv(heading="File,Style").replace("\n", "\r\n"),
        csv().replace("\n", "\r"),
        csv().encode("utf-8-sig"),
        csv("\t").encode("utf-16"),
        csv(heading="Image Path,style"),
        ",file,style\n" + "".join(f"{i},{f},{s}\n" for i, (f, s) in enumerate(LABELLED)),
        "Unnamed: 0,file,style\n" + "".join(f"{i},{f},{s}\n" for i, (f, s) in enumerate(LABELLED)),
        csv().replace(".png", ""),
        csv().replace(".png", ".jpg"),
        csv().replace(".png", ".PNG"),
        "file,style\n" + "".join(f"C:\\Users\\me\\pics\\{f},{s}\n" for f, s in LABELLED),
        "file,style\n" + "".join(f"/home/me/train/{f},{s}\n" for f, s in LABELLED),
        "file,style\n" + "".join(f"https://example.org/a/{f},{s}\n" for f, s in LABELLED),
        "file,path,style\n" + "".join(f"{f},/data/{f},{s}\n" for f, s in LABELLED),
    ],
)
def test_a_table_is_read_however_it_is_written(tmp_path: Path, table: str | bytes) -> None:
    result = prepared(tmp_path, {"labels.csv": table}, "--attribute", "style")
    assert labels_by_item(result.dataset) == STYLES
    assert result.problems == set()
    without = prepare(tmp_path / "without", "folder", tmp_path / "in", "--size", "8", "--jobs", "1")
    assert [attribute.name for attribute in without.dataset.attributes] == ["style"]


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("labels.json", json.dumps([{"image": f, "style": s} for f, s in LABELLED])),
        ("metadata.ndjson", "".join(json.dumps({"file_name": f, "style": s}) + "\n" for f, s in LABELLED)),
        ("labels.json", json.dumps(dict(LABELLED))),
        ("labels.json", json.dumps({f: {"style": s} for f, s in LABELLED})),
        ("labels.json", json.dumps({style: [f for f, s in LABELLED if s == style] for style in ("cat", "dog")})),
    ],
)
def test_labels_in_json_are_read_in_every_common_shape(tmp_path: Path, name: str, table: str) -> None:
    assert labels_by_item(prepared(tmp_path, {name: table}).dataset) == STYLES


def test_labels_in_parquet_are_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image_id": [f for f, _ in LABELLED], "style": [s for _, s in LABELLED]}), tmp_path / "t")
    assert labels_by_item(prepared(tmp_path, {"labels.parquet": (tmp_path / "t").read_bytes()}).dataset) == STYLES


def test_pictures_inside_parquet_are_read_with_the_names_of_their_classes(tmp_path: Path) -> None:
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    (tmp_path / "in" / "data").mkdir(parents=True)
    for split, first in (("train-00000-of-00002", 0), ("train-00001-of-00002", 10), ("test-00000-of-00001", 20)):
        images = [{"bytes": png(first + i), "path": f"{i}.png"} for i in range(10)]
        rows = pa.table({"image": images, "label": [i % 2 for i in range(10)]}).replace_schema_metadata(metadata)
        pq.write_table(rows, tmp_path / "in" / "data" / f"{split}.parquet", row_group_size=4)

    both = prepare(tmp_path / "out", "folder", tmp_path / "in", "--size", "8", "--jobs", "2")
    train = prepare(tmp_path / "train", "folder", tmp_path / "in", "--size", "8", "--split", "train")

    assert [(a.name, a.categories, a.counts) for a in both.dataset.attributes] == [("label", ("cat", "dog"), (15, 15))]
    assert both.problems == set()
    assert len(train.dataset) == 20
    assert labels_by_item(train.dataset)["data/train-00001-of-00002/0000003.png"] == ("dog",)


def test_how_pictures_were_found_is_counted(tmp_path: Path) -> None:
    said = prepared(tmp_path, {"labels.csv": csv(heading="id,style").replace(".png", "")}).said
    assert "labels.csv: pictures found by the column id: 12 without its ending" in said


def test_windows_text_is_read_and_said(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"labels.csv": csv().replace("cat", "Vögel").encode("cp1252")})
    assert result.dataset.attributes[0].categories == ("Vögel", "dog")
    assert "not UTF-8: it is read as Windows' cp1252" in result.said


def test_tables_in_split_folders_are_read_together(tmp_path: Path) -> None:
    files = {f"{split}/{i:04}.png": png(100 * k + i) for k, split in enumerate(("train", "test")) for i in range(8)}
    table = "file_name,style\n" + "".join(f"{i:04}.png,{'cat' if i % 3 else 'dog'}\n" for i in range(8))
    tables = {"train/metadata.csv": table, "test/metadata.csv": table.replace("dog", "owl")}

    result = prepared(tmp_path, tables, pictures=files)

    assert result.dataset.attributes[0].categories == ("cat", "dog", "owl")
    labels = labels_by_item(result.dataset)
    assert (labels["train/0000.png"], labels["test/0000.png"]) == (("dog",), ("owl",))
    assert result.problems == set()


def test_a_name_in_another_folder_counts_when_the_column_is_named(tmp_path: Path) -> None:
    files = {f"images/{name}": content for name, content in PICTURES.items()}
    table = "id,image,choice\n" + "".join(f"{i + 50},/data/upload/1/{f},{s}\n" for i, (f, s) in enumerate(LABELLED))
    refused = prepared(tmp_path, {"project.csv": table}, pictures=files)
    told = prepare(tmp_path / "told", "folder", tmp_path / "in", "--file-column", "image")

    assert "say which by --file-column, then names in other folders count too" in refused.message
    assert labels_by_item(told.dataset) == {f"images/{name}": labels for name, labels in STYLES.items()}


def test_a_table_of_a_few_pictures_does_not_replace_the_labels_of_folders(tmp_path: Path) -> None:
    files = {f"{c}/{i}.png": png(10 * k + i) for k, c in enumerate(("cat", "dog")) for i in range(6)}
    table = {"sample.csv": "file,note\ncat/0.png,a\ndog/1.png,b\n"}
    result = prepared(tmp_path, table, pictures=files)
    asked = prepare(tmp_path / "asked", "folder", tmp_path / "in", "--labels", "sample.csv", *TAKE_ALL)

    assert result.dataset.attributes[0].categories == ("cat", "dog")
    assert "sample.csv: less than half of the pictures are in it; --labels FILE takes it" in result.said
    assert asked.dataset.attributes[0].categories == ("a", "b")


def test_a_column_of_one_value_is_no_attribute_beside_others(tmp_path: Path) -> None:
    rows = "".join(f"{f},{s},640\n" for f, s in LABELLED)
    result = prepared(tmp_path, {"labels.csv": "file,style,width\n" + rows})
    assert labels_by_item(result.dataset) == STYLES
    assert "the column width is no attribute: it has one value" in result.said


def test_a_row_is_never_given_to_a_picture_of_that_name_in_another_folder(tmp_path: Path) -> None:
    files = {"test/1.png": png(1), "test/2.png": png(2)}
    result = prepared(tmp_path, {"l.csv": "file,s\ntest/1.png,a\ntrain/2.png,b\n"}, *TAKE_ALL, pictures=files)
    assert labels_by_item(result.dataset) == {"test/1.png": ("a",)}
    assert result.problems == {("label without image", "train/2.png"), ("unlabelled", "test/2.png")}


def test_a_table_without_labels_is_not_used_where_another_has_them(tmp_path: Path) -> None:
    result = prepared(tmp_path, {"train.csv": csv(), "test.csv": "file\n99.png\n", "stats.csv": "mean,std\n1,2\n"})
    assert labels_by_item(result.dataset) == STYLES
    assert "not used: stats.csv: no column names the pictures" in result.said


def test_a_stray_table_leaves_the_labels_of_folders(tmp_path: Path) -> None:
    files = {f"{c}/{i}.png": png(10 * k + i) for k, c in enumerate(("cat", "dog")) for i in range(3)}
    result = prepared(tmp_path, {"results.csv": "epoch,loss\n1,0.5\n"}, pictures=files)
    assert result.dataset.attributes[0].categories == ("cat", "dog")
    assert "not used: results.csv" in result.said


def test_the_column_of_files_can_be_named(tmp_path: Path) -> None:
    rows = "".join(f"{f},{(i + 1) % 12}.png,{s}\n" for i, (f, s) in enumerate(LABELLED))
    table = {"labels.csv": "picture,next,style\n" + rows}
    first = prepared(tmp_path, table).dataset
    second = prepare(tmp_path / "second", "folder", tmp_path / "in", "--file-column", "next").dataset
    wrong = prepare(tmp_path / "third", "folder", tmp_path / "in", "--file-column", "nxt")

    assert labels_by_item(first)["0.png"] == ("dog",)
    assert labels_by_item(second)["0.png"] == ("cat",)
    assert "--file-column nxt: labels.csv has no such column; choose from picture, next, style" in wrong.message


def test_captions_and_ids_are_no_attributes_unless_asked_for(tmp_path: Path) -> None:
    rows = [{"file_name": f, "style": s, "caption": f"a photo, of {s} {i}"} for i, (f, s) in enumerate(LABELLED)]
    table = {"metadata.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}
    result = prepared(tmp_path, table)
    asked = prepare(tmp_path / "asked", "folder", tmp_path / "in", "--attribute", "caption")

    assert labels_by_item(result.dataset) == STYLES
    assert "caption is no attribute: 12 different values in 12 rows; --attribute caption takes it" in result.said
    assert len(asked.dataset.attributes[0].categories) == 12


def test_a_table_of_captions_only_is_refused_until_labels_are_done_without(tmp_path: Path) -> None:
    rows = [{"file_name": f, "text": f"number {i}", "box": [0, 0, i, 9]} for i, (f, _) in enumerate(LABELLED)]
    table = {"metadata.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}
    message = prepared(tmp_path, table).message

    assert "the column box is no attribute: it holds lists or objects" in message
    assert "choose a column by --attribute, or do without by --labels none" in message
    assert prepare(tmp_path / "plain", "folder", tmp_path / "in", "--labels", "none").dataset.attributes == ()


def test_a_column_of_splits_is_no_attribute_and_chooses_pictures(tmp_path: Path) -> None:
    rows = "".join(f"{f},{s},{'train' if i < 8 else 'val'}\n" for i, (f, s) in enumerate(LABELLED))
    table = {"labels.csv": "file,style,subset\n" + rows}
    both = prepared(tmp_path, table).dataset
    one = prepare(tmp_path / "one", "folder", tmp_path / "in", "--split", "val").dataset

    assert labels_by_item(both) == STYLES
    assert sorted(one.items) == ["10.png", "11.png", "8.png", "9.png"]


def test_numbers_are_written_whole(tmp_path: Path) -> None:
    rows = "".join(f"{f},{i % 3}.0,{i % 2 + 0.5}\n" for i, (f, _) in enumerate(LABELLED))
    dataset = prepared(tmp_path, {"labels.csv": "file,kind,share\n" + rows}).dataset
    assert [attribute.categories for attribute in dataset.attributes] == [("0", "1", "2"), ("0.5", "1.5")]


def test_accents_of_either_form_are_one_category(tmp_path: Path) -> None:
    forms = (unicodedata.normalize("NFC", "café"), unicodedata.normalize("NFD", "café"))
    rows = "".join(f"{f},{forms[i % 2]}\n" for i, (f, _) in enumerate(LABELLED))
    result = prepared(tmp_path, {"labels.csv": "file,place\n" + rows})
    assert result.dataset.attributes[0].categories == ("café",)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([["a/0.png", 1.0], ["a/1.png", 0.0]], {"a/0.png": ("1",), "a/1.png": ("0",)}),
        ([["a/0.png", "cat"], ["a/1.png", "dog"]], {"a/0.png": ("cat",), "a/1.png": ("dog",)}),
        ([["a/0.png", [0.0, 1.0]], ["a/1.png", [1, 0]]], {"a/0.png": ("1",), "a/1.png": ("0",)}),
        ({"a/0.png": 1, "a\\1.png": 0}, {"a/0.png": ("1",), "a/1.png": ("0",)}),
        ([["a/0.png", 1], ["a/1.png", 0], ["a/1.png", 2]], {"a/0.png": ("1",), "a/1.png": ("0",)}),
    ],
)
def test_stylegans_labels_are_numbers_names_or_one_hot(
    tmp_path: Path, labels: object, expected: dict[str, tuple[str, ...]]
) -> None:
    files = {f"a/{i}.png": png(i) for i in range(2)}
    result = prepared(tmp_path, {"dataset.json": json.dumps({"labels": labels})}, pictures=files)
    assert labels_by_item(result.dataset) == expected


@pytest.mark.parametrize("document", [{"labels": None}, {"clip_features": []}])
def test_stylegans_file_without_labels_is_said(tmp_path: Path, document: object) -> None:
    result = prepared(tmp_path, {"dataset.json": json.dumps(document)})
    assert result.dataset.attributes == ()
    assert "dataset.json says that the pictures have no labels" in result.said
    assert result.problems == set()


@pytest.mark.parametrize("layout", [LAYOUT_FILES, LAYOUT_WEBDATASET])
def test_a_batch_keeps_the_conditions_that_it_was_drawn_with(tmp_path: Path, layout: int) -> None:
    common = Common("mine@1", "sha256:0", 7, 1.0, FORMATS["png"], layout)
    images = [
        DrawnImage(
            i, f"id{i}", {"style": {"ink" if i % 2 else "oil": 1.0}, "mood": {"wild" if i > 6 else "calm": 1.0}}, png(i)
        )
        for i in range(12)
    ]
    images.append(DrawnImage(12, "id12", {"style": {"ink": 0.5, "oil": 0.5}, "mood": {"calm": 1.0}}, png(12)))
    files, places = shard_files(common, 0, images)
    manifest = part_bytes(common, images, places, Renderer("CPU", "1", "x"))
    folder = fill(tmp_path / "in", files | {MANIFEST: manifest, SHEET: png(99), CLAIM: b"{}"})

    result = prepare(tmp_path / "out", "folder", folder, "--size", "8")

    found = {item[-6:]: labels for item, labels in labels_by_item(result.dataset).items()}
    assert found == {f"{i:02}.png": ("wild" if i > 6 else "calm", "ink" if i % 2 else "oil") for i in range(12)}
    assert {kind for kind, _ in result.problems} <= {"bad label", "unlabelled", "not an image"}  # of the blend


def test_files_of_classes_beside_the_pictures_in_a_tar_are_labels(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for i, (name, style) in enumerate(LABELLED):
        files |= {name: png(i), name.replace(".png", ".cls"): style.encode(), name.replace(".png", ".txt"): b"text"}
    folder = fill(tmp_path / "shard", files)
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "00000.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)

    dataset = prepare(tmp_path / "out", "folder", tmp_path / "in").dataset

    assert labels_by_item(dataset) == {f"00000/{name}": labels for name, labels in STYLES.items()}
