"""Kinds of files: pictures under any name, transparent ones, archives."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from tests.training.data.preparing import fill, labels_by_item, picture, png, prepare


def saved(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def icon(sides: int, colour: str, hidden: str = "#ffffff00") -> bytes:
    image = Image.new("RGBA", (40, 40), hidden)
    ImageDraw.Draw(image).regular_polygon((20, 20, 12), sides, fill=colour)
    return saved(image)


def zipped(path: Path, members: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for number, (name, content) in enumerate(members.items()):
            info = zipfile.ZipInfo(f"member{number}")
            info.filename = name  # as it is: nothing is made of backslashes
            archive.writestr(info, content)
    return path


CLASSES = {"cat/0.png": png(0), "cat/1.png": png(1), "dog/2.png": png(2), "dog/3.png": png(3)}
LABELS = {name.removesuffix(".png"): (name[:3],) for name in CLASSES}


def labelled(path: Path, out: Path, *arguments: str) -> set[tuple[str, tuple[str, ...]]]:
    """The last two parts of each picture's path, without ending, and its labels."""
    dataset = prepare(out, "folder", path, "--size", "8", "--jobs", "1", *arguments).dataset
    return {("/".join(i.split("/")[-2:]).removesuffix(".png"), labels) for i, labels in labels_by_item(dataset).items()}


@pytest.mark.parametrize(
    ("before", "others"),
    [
        ("", {}),
        ("birds-v2/", {"LICENSE.txt": b"CC0", "birds-v2/README.md": b"x"}),
        ("birds/", {"__MACOSX/birds/cat/._0.png": b"\0\5\26\7", "birds/.DS_Store": b""}),
        ("a/b/c/", {"a/notes.txt": b""}),
    ],
)
@pytest.mark.parametrize("separator", ["/", "\\"])
def test_a_zip_has_the_labels_of_the_folder_that_was_zipped(
    tmp_path: Path, before: str, others: dict[str, bytes], separator: str
) -> None:
    members = {f"{before}{name}".replace("/", separator): content for name, content in CLASSES.items()} | others
    assert labelled(zipped(tmp_path / "a.zip", members), tmp_path / "out") == set(LABELS.items())


def test_names_in_a_zip_of_macos_are_utf_8_though_it_does_not_say_so(tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", {"vögel/0.png": png(0), "cat/1.png": png(1)})
    content = path.read_bytes()
    for magic, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        where = content.find(magic)
        while where >= 0:  # clears the flag of UTF-8
            content = content[: where + at + 1] + bytes([content[where + at + 1] & ~8]) + content[where + at + 2 :]
            where = content.find(magic, where + 4)
    path.write_bytes(content)

    assert prepare(tmp_path / "out", "folder", path).dataset.attributes[0].categories == ("cat", "vögel")


def test_a_tar_is_read_without_unpacking_it(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.add(fill(tmp_path / "in", CLASSES), "./birds")
    assert labelled(tmp_path / "a.tar", tmp_path / "out") == set(LABELS.items())


def test_a_packed_tar_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tgz", "w:gz") as archive:
        archive.add(fill(tmp_path / "in", CLASSES), "birds")
    assert "packed by gzip; unpack it" in prepare(tmp_path / "out", "folder", tmp_path / "a.tgz").message


def test_an_archive_a_category_is_read_like_a_folder_a_category(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    zipped(tmp_path / "in" / "cat.zip", {"0.png": png(0), "1.png": png(1)})
    with tarfile.open(tmp_path / "in" / "dog.tar", "w") as archive:
        for name in ("2.png", "3.png"):
            archive.add(fill(tmp_path / "dogs", {name: CLASSES[f"dog/{name}"]}) / name, name)
    assert labelled(tmp_path / "in", tmp_path / "out") == set(LABELS.items())


def test_an_archive_beside_its_unpacked_pictures_is_not_read_again(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", CLASSES)
    zipped(pictures / "download.zip", CLASSES)

    result = prepare(tmp_path / "out", "folder", pictures)

    assert len(result.dataset) == 4
    assert result.problems == {("not an image", "download.zip")}


@pytest.mark.parametrize(("flag", "method", "said"), [(1, 0, "encrypted"), (0, 9, "compression method")])
def test_a_zip_that_cannot_be_read_says_why(tmp_path: Path, flag: int, method: int, said: str) -> None:
    path = zipped(tmp_path / "a.zip", CLASSES)
    content = bytearray(path.read_bytes())
    for magic, at in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        where = content.find(magic)
        while where >= 0:
            content[where + at] |= flag
            content[where + at + 2] = method
            where = content.find(magic, where + 4)
    path.write_bytes(content)

    message = prepare(tmp_path / "out", "folder", path).message
    assert said in message
    assert "unpack the zip" in message


def test_pictures_are_known_by_their_content_where_their_name_says_nothing(tmp_path: Path) -> None:
    files = {"d41d8cd98f00b204": saved(picture(1), "JPEG"), "2.bin": png(2), "3.jpg": saved(picture(3), "WEBP")}
    files |= {
        "4.HEIC": b"\0\0\0\x18ftypheic" + bytes(50),
        "5": b"\xff\x0a" + bytes(50),
        "6.tmp": b"text",
        "7.nef": b"II*\0",
    }
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files), "--max-left-out", "1")

    assert set(result.dataset.items) == {"d41d8cd98f00b204", "2.bin", "3.jpg"}
    assert result.problems == {
        ("unreadable format", "4.HEIC"),
        ("unreadable format", "5"),
        ("unreadable format", "7.nef"),
        ("not an image", "6.tmp"),
    }


def test_films_and_raw_files_beside_their_pictures_are_no_loss(tmp_path: Path) -> None:
    files = {f"IMG_{i}.jpg": saved(picture(i), "JPEG") for i in range(3)}
    files |= {"IMG_0.HEIC": b"x", "IMG_1.CR2": b"x", "IMG_2.MOV": b"x", "clip.mp4": b"x", "order.pdf": b"x"}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files))

    assert len(result.dataset) == 3
    assert {item for kind, item in result.problems if kind == "other format"} == {"IMG_0.HEIC", "IMG_1.CR2"}
    assert {item for kind, item in result.problems if kind == "not an image"} == {"IMG_2.MOV", "clip.mp4", "order.pdf"}


def test_white_drawings_on_nothing_are_told_apart_and_shown_on_a_colour(tmp_path: Path) -> None:
    icons = {f"{'ui' if sides % 2 else 'arrow'}/{sides}.png": icon(sides, "white") for sides in range(3, 9)}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", icons))

    assert len(result.dataset) == 6
    assert "background: #000000, since 6 of 6 pictures" in result.said
    assert result.dataset.images[0, 0, 0].tolist() == [0, 0, 0]


def test_black_and_white_drawings_are_shown_on_grey(tmp_path: Path) -> None:
    icons = {f"{sides}-{colour}.png": icon(sides, colour) for sides in range(3, 9) for colour in ("white", "black")}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", icons))

    assert len(result.dataset) == 12
    assert result.dataset.images[0, 0, 0].tolist() == [128, 128, 128]


def test_a_background_can_be_given_and_what_does_not_show_on_it_is_named(tmp_path: Path) -> None:
    icons = {"3.png": icon(3, "white"), "4.png": icon(4, "red"), "5.png": icon(5, "red"), "6.png": icon(6, "red")}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", icons), "--background", "#ffffff")

    assert result.problems == {("invisible", "3.png")}
    assert result.dataset.images[0, 0, 0].tolist() == [255, 255, 255]


def test_alpha_can_be_kept(tmp_path: Path) -> None:
    files = {
        "a/3.png": icon(3, "white"),
        "b/4.png": icon(4, "red"),
        "b/5.png": saved(Image.new("RGB", (40, 40), "blue")),
    }
    dataset = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files), "--background", "keep").dataset

    assert dataset.channels == 4
    corners = {item: dataset.images[i, 0, 0].tolist() for i, item in enumerate(dataset.items)}
    assert corners == {"a/3.png": [0, 0, 0, 0], "b/4.png": [0, 0, 0, 0], "b/5.png": [0, 0, 255, 255]}
    with Image.open(tmp_path / "out" / "contact_sheet.png") as sheet:  # the white drawing can be seen on its ground
        left = sheet.width - 6 - 2 * 68 + 2
        assert np.ptp(np.asarray(sheet)[23:87, left : left + 64], axis=(0, 1)).min() > 40


def test_the_same_drawing_with_other_colours_under_its_nothing_is_a_copy(tmp_path: Path) -> None:
    files = {"1.png": icon(5, "red"), "2.png": icon(5, "red", "#00ff0000"), "3.png": icon(6, "red")}
    result = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files))
    assert result.problems == {("duplicate", "2.png")}


def test_small_and_long_pictures_are_warned_of(tmp_path: Path) -> None:
    files = {f"{i}.png": saved(picture(i, (10, 9))) for i in range(4)} | {"long.png": saved(picture(9, (400, 40)))}
    said = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", files)).said

    assert "smaller than half of 64 pixels, so they are blurred: 4 pictures" in said
    assert "more than 3 times as long as wide: 1 pictures; see --fit" in said


def test_the_report_says_how_pictures_were_read(tmp_path: Path) -> None:
    out = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", {**CLASSES, "Thumbs.db": b"x"})).out
    report = json.loads((out / "report.json").read_text())
    assert report["notes"] == ["labels: the folders"]
    assert report["passed_over"] == {"Thumbs.db": 1}
