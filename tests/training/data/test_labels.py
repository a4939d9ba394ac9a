"""Labels in a CSV, a JSONL or StyleGAN's dataset.json."""

from __future__ import annotations

import json
import unicodedata
import zipfile
from pathlib import Path

import pytest

from tests.training.data.preparing import TAKE_ALL, fill, labels_by_item, png, prepare


def folder_with(tmp_path: Path, names: list[str], tables: dict[str, str]) -> Path:
    pictures = {name: png(seed) for seed, name in enumerate(names)}
    return fill(tmp_path / "in", pictures | {name: text.encode() for name, text in tables.items()})


def test_every_column_of_a_csv_is_an_attribute(tmp_path: Path) -> None:
    table = "file,style,tone\n1.png,oil,warm\nsub/2.png,ink,cold\n./3.png, oil ,cold\n"
    path = folder_with(tmp_path, ["1.png", "sub/2.png", "3.png"], {"labels.csv": table})

    dataset = prepare(tmp_path / "out", "folder", path).dataset

    assert [a.name for a in dataset.attributes] == ["style", "tone"]
    expected = {"1.png": ("oil", "warm"), "sub/2.png": ("ink", "cold"), "3.png": ("oil", "cold")}
    assert labels_by_item(dataset) == expected
    assert dataset.one_hots().sum(axis=1).tolist() == [2, 2, 2]


def test_attributes_can_be_chosen_among_the_columns(tmp_path: Path) -> None:
    path = folder_with(tmp_path, ["1.png"], {"labels.csv": "id,path,style\n77,1.png,oil\n"})

    dataset = prepare(tmp_path / "out", "folder", path, "--attribute", "style").dataset

    assert [a.name for a in dataset.attributes] == ["style"]
    refused = prepare(tmp_path / "other", "folder", path, "--attribute", "stile")
    assert "choose from id, path, style" in refused.message


def test_a_spreadsheets_csv_is_read(tmp_path: Path) -> None:
    # As a German Excel writes it: byte order mark, semicolons, CRLF, quotes over two lines.
    table = '\ufefffilename;Titel\r\n1.png;"Öl;\r\nauf Holz"\r\n'
    path = folder_with(tmp_path, ["1.png"], {"labels.csv": table})

    assert labels_by_item(prepare(tmp_path / "out", "folder", path).dataset) == {"1.png": ("Öl; auf Holz",)}


def test_names_that_no_request_could_type_are_changed_with_a_warning(tmp_path: Path) -> None:
    table = 'file,Skin tone,Style\n1.png,"warm, dark",16:9\n2.png,cold,a = b\n'
    path = folder_with(tmp_path, ["1.png", "2.png"], {"labels.csv": table})

    result = prepare(tmp_path / "out", "folder", path)

    assert [a.name for a in result.dataset.attributes] == ["skin_tone", "style"]
    assert labels_by_item(result.dataset) == {"1.png": ("warm-dark", "16-9"), "2.png": ("cold", "a-b")}
    assert "'warm, dark' is called 'warm-dark'" in " ".join(result.printed.split())


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("file,стиль\n1.png,oil\n", "begin with a letter from a to z"),
        ("file,style\n1.png,::\n", "it has no letters"),
        ("file,style\n1.png,a:b\n2.png,a-b\n", "would both be called 'a-b'"),
        ("file,Style,style\n1.png,oil,ink\n", "would both be called 'style'"),
    ],
)
def test_names_that_cannot_be_told_apart_or_typed_are_refused(tmp_path: Path, table: str, complaint: str) -> None:
    path = folder_with(tmp_path, ["1.png", "2.png"], {"labels.csv": table})

    assert complaint in prepare(tmp_path / "out", "folder", path).message


def test_what_a_table_gets_wrong_is_named(tmp_path: Path) -> None:
    table = "file,style\n1.png,oil\n2.png,\n3.png,oil,extra\nno.png,ink\n../up.png,ink\n,ink\n1.png,ink\n1.png,oil\n"
    path = folder_with(tmp_path, ["1.png", "2.png", "3.png", "4.png"], {"labels.csv": table})

    result = prepare(tmp_path / "out", "folder", path, *TAKE_ALL)

    assert labels_by_item(result.dataset) == {"1.png": ("oil",)}
    assert result.problems == {
        ("unlabelled", "2.png"),
        ("bad label", "labels.csv:4"),
        ("label without image", "no.png"),
        ("label without image", "../up.png"),
        ("bad label", "labels.csv:7"),
        ("bad label", "1.png"),
        ("unlabelled", "3.png"),
        ("unlabelled", "4.png"),
    }


def test_a_bare_file_name_finds_its_picture_when_there_is_only_one(tmp_path: Path) -> None:
    table = "image,style\n1.png,oil\n2.png,ink\n"
    path = folder_with(tmp_path, ["images/1.png", "a/2.png", "b/2.png"], {"labels.csv": table})

    result = prepare(tmp_path / "out", "folder", path, "--labels", "labels.csv", *TAKE_ALL)

    assert labels_by_item(result.dataset) == {"images/1.png": ("oil",)}
    assert ("label without image", "2.png") in result.problems


def test_accents_and_separators_are_matched_however_they_are_written(tmp_path: Path) -> None:
    table = f"file,style\na\\{unicodedata.normalize('NFD', 'é.png')},oil\n"
    path = folder_with(tmp_path, [f"a/{unicodedata.normalize('NFC', 'é.png')}"], {"labels.csv": table})

    assert labels_by_item(prepare(tmp_path / "out", "folder", path).dataset) == {"a/é.png": ("oil",)}


def test_every_field_of_a_jsonl_is_an_attribute(tmp_path: Path) -> None:
    rows = [
        {"file": "1.png", "year": 1900, "signed": True},
        {"file": "2.png", "year": 1950, "signed": False},
        {"file": "3.png", "year": None, "signed": False},
        {"file": "4.png", "year": [1, 2], "signed": False},
    ]
    text = "\n".join(map(json.dumps, rows)) + "\n{broken\n[1]\n"
    path = folder_with(tmp_path, [f"{i}.png" for i in range(1, 5)], {"labels.jsonl": text})

    result = prepare(tmp_path / "out", "folder", path, *TAKE_ALL)

    assert labels_by_item(result.dataset) == {"1.png": ("1900", "true"), "2.png": ("1950", "false")}
    assert result.problems == {
        ("unlabelled", "3.png"),
        ("unlabelled", "4.png"),
        ("bad label", "labels.jsonl:4"),
        ("bad label", "labels.jsonl:5"),
        ("bad label", "labels.jsonl:6"),
    }


def test_the_table_itself_can_be_the_path(tmp_path: Path) -> None:
    path = folder_with(tmp_path, ["1.png"], {"a.csv": "file,style\n1.png,oil\n", "b.csv": "file,x\n1.png,y\n"})

    chosen = prepare(tmp_path / "out", "folder", path / "a.csv").dataset

    assert labels_by_item(chosen) == {"1.png": ("oil",)}
    assert "a.csv (style), b.csv (x)" in prepare(tmp_path / "other", "folder", path).message
    assert prepare(tmp_path / "third", "folder", path, "--labels", "b.csv").dataset.attributes[0].name == "x"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (b"name,style\n9.jpg,oil\n", "no column names the pictures (columns: name, style; a picture is called 1.png)"),
        (b"file,style,style\n1.png,a,b\n", 'labels.csv:1: the column "style" is there twice'),
        (b"file,\n1.png,a\n", "a column has no name"),
        (b"file,style\n1.png,\x81\n", "is neither UTF-8 nor cp1252"),
        (b"file,style\n1.png,\xff\0\n", "save it as UTF-8"),
        (b"", "no column names the pictures (columns: none"),
        (b"file,style\n", "--labels folders or --labels none"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, table: bytes, said: str) -> None:
    path = fill(tmp_path / "in", {"1.png": png(1), "labels.csv": table})
    assert said in prepare(tmp_path / "out", "folder", path).message


def stylegan_zip(tmp_path: Path, labels: object) -> Path:
    archive = tmp_path / "stylegan.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for seed in range(3):
            file.writestr(f"00000/img{seed:08d}.png", png(seed))
        file.writestr("dataset.json", json.dumps({"labels": labels}))
    return archive


def test_stylegans_archive_keeps_its_labels(tmp_path: Path) -> None:
    pairs = [["00000/img00000000.png", 1], ["00000/img00000001.png", 10], ["00000/img00000002.png", 2]]

    dataset = prepare(tmp_path / "out", "folder", stylegan_zip(tmp_path, pairs)).dataset

    assert dataset.attributes[0].name == "category"
    assert dataset.attributes[0].categories == ("1", "2", "10")
    assert dataset.labels[:, 0].tolist() == [0, 2, 1]


def test_stylegans_archive_without_labels_is_a_plain_data_set(tmp_path: Path) -> None:
    result = prepare(tmp_path / "out", "folder", stylegan_zip(tmp_path, None))

    assert result.dataset.attributes == ()
    assert len(result.dataset) == 3
    assert result.problems == set()


def test_odd_pairs_in_stylegans_archive_are_named(tmp_path: Path) -> None:
    pairs = [["00000/img00000000.png", 1], ["x.png", 1], ["00000/img00000001.png", [0.5, 0.5]], None]

    result = prepare(tmp_path / "out", "folder", stylegan_zip(tmp_path, pairs), *TAKE_ALL)

    assert len(result.dataset) == 1
    assert {
        ("label without image", "x.png"),
        ("bad label", "dataset.json: labels[2]"),
        ("bad label", "dataset.json: labels[3]"),
    } < result.problems


def test_a_prepared_data_set_is_not_prepared_again(tmp_path: Path) -> None:
    out = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", {"1.png": png(1)})).out
    assert "prepared data set already" in prepare(tmp_path / "again", "folder", out).message
