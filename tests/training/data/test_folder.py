"""`prepare folder` takes what people have, and names what it cannot use."""

from __future__ import annotations

import json
import os
import stat
import zipfile
from pathlib import Path

import pytest

from tests.training.data.preparing import TAKE_ALL, fill, labels_by_item, png, prepare


def test_folders_are_the_categories_of_one_attribute(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"10/a.png": png(1), "2/b.png": png(2), "2/deeper/c.png": png(3)})

    dataset = prepare(tmp_path / "out", "folder", pictures, "--attribute", "digit").dataset

    assert dataset.attributes[0].name == "digit"
    assert dataset.attributes[0].categories == ("2", "10")  # as people count, not as letters sort
    assert labels_by_item(dataset) == {"10/a.png": ("10",), "2/b.png": ("2",), "2/deeper/c.png": ("2",)}
    assert dataset.resolution == 64


def test_a_flat_folder_is_a_plain_data_set(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {f"{i}.png": png(i) for i in range(3)})

    dataset = prepare(tmp_path / "out", "folder", pictures).dataset

    assert dataset.attributes == ()
    assert dataset.labels.shape == (3, 0)
    assert dataset.one_hots().shape == (3, 0)


def test_one_folder_of_pictures_is_one_category_and_a_warning(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"cat/1.png": png(1), "cat/2.png": png(2)})

    result = prepare(tmp_path / "out", "folder", pictures)

    assert result.dataset.attributes[0].categories == ("cat",)
    assert "only one category" in " ".join(result.printed.split())


def test_names_in_any_script_are_kept(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"vögel/Ärger 1.png": png(1), "犬/二.png": png(2), "🎨/[red]x.png": png(3)})

    dataset = prepare(tmp_path / "out", "folder", pictures).dataset

    assert set(dataset.attributes[0].categories) == {"vögel", "犬", "🎨"}
    assert "🎨/[red]x.png" in dataset.items


def test_a_name_that_is_no_text_does_not_stop_the_others(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"a/1.png": png(1)})
    with open(os.fsencode(pictures / "a") + b"/\xff.png", "wb") as file:
        file.write(png(2))

    assert "a/\ufffd.png" in prepare(tmp_path / "out", "folder", pictures).dataset.items


def test_everything_that_is_left_out_is_named_in_the_report(tmp_path: Path) -> None:
    files = {f"cat/{i}.png": png(i) for i in range(3)} | {f"dog/{i}.png": png(10 + i) for i in range(3)}
    files |= {"cat/cut.png": png(20)[:150], "cat/empty.jpg": b"", "cat/text.png": b"hello"}
    files |= {"cat/copy.png": png(1), "dog/copy.png": png(1), "lost.png": png(21), "dog/notes.txt": b"x"}
    pictures = fill(tmp_path / "in", files)
    (pictures / "dog" / "gone.png").symlink_to("nowhere.png")

    result = prepare(tmp_path / "out", "folder", pictures, *TAKE_ALL)

    assert len(result.dataset) == 6
    assert result.problems == {
        ("broken", "cat/cut.png"),
        ("broken", "cat/empty.jpg"),
        ("broken", "cat/text.png"),
        ("broken", "dog/gone.png"),
        ("duplicate", "cat/copy.png"),
        ("conflict", "dog/copy.png"),
        ("unlabelled", "lost.png"),
        ("not an image", "dog/notes.txt"),
    }
    counts = json.loads((result.out / "report.json").read_text())["problem_counts"]
    assert counts == {"broken": 4, "unlabelled": 1, "duplicate": 1, "conflict": 1, "not an image": 1}
    assert "duplicate" in result.printed


def test_a_category_without_a_usable_picture_is_dropped(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"cat/1.png": png(1), "dog/1.png": png(2), "owl/1.png": b"no"})

    assert prepare(tmp_path / "out", "folder", pictures, *TAKE_ALL).dataset.attributes[0].categories == ("cat", "dog")


def test_link_loops_and_pipes_are_left_alone(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"cat/1.png": png(1), "dog/1.png": png(2)})
    (pictures / "cat" / "loop").symlink_to("..")
    os.mkfifo(pictures / "dog" / "pipe.png")

    result = prepare(tmp_path / "out", "folder", pictures, *TAKE_ALL)

    assert sorted(result.dataset.items) == ["cat/1.png", "dog/1.png"]
    assert result.problems == {("unsafe", "cat/loop/"), ("unsafe", "dog/pipe.png")}


def test_linked_folders_and_files_are_followed(tmp_path: Path) -> None:
    elsewhere = fill(tmp_path / "elsewhere", {"1.png": png(1)})
    pictures = fill(tmp_path / "in", {"dog/1.png": png(2)})
    (pictures / "cat").symlink_to(elsewhere)

    assert sorted(prepare(tmp_path / "out", "folder", pictures).dataset.items) == ["cat/1.png", "dog/1.png"]


def test_a_zip_is_taken_like_the_folder_that_was_zipped(tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, seed in {"mine/cat/1.png": 1, "mine/dog/2.png": 2, "__MACOSX/mine/._x.png": 3}.items():
            file.writestr(name, png(seed))

    assert labels_by_item(prepare(tmp_path / "out", "folder", archive).dataset) == {
        "mine/cat/1.png": ("cat",),
        "mine/dog/2.png": ("dog",),
    }


def test_a_zip_writes_nothing_outside_and_its_bad_members_are_named(tmp_path: Path) -> None:
    archive = tmp_path / "deep" / "mine.zip"
    archive.parent.mkdir()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for name in ("../evil.png", "/evil2.png", "a/good.png"):
            file.writestr(name, png(len(name)))
        file.writestr("a/huge.png", bytes(257 * 1024 * 1024))
    before = {path for path in tmp_path.rglob("*") if "out" not in path.name}

    result = prepare(tmp_path / "out", "folder", archive, *TAKE_ALL)

    assert result.dataset.items == ("a/good.png",)
    assert result.problems == {("unsafe", "../evil.png"), ("unsafe", "/evil2.png"), ("unsafe", "a/huge.png")}
    assert {p for p in tmp_path.rglob("*") if "out" not in p.relative_to(tmp_path).parts[0]} == before


def test_a_damaged_member_of_a_zip_is_a_broken_picture(tmp_path: Path) -> None:
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a/1.png", png(1))
        file.writestr("b/2.png", png(2))
    content = bytearray(archive.read_bytes())
    content[content.index(png(2)) + 100] ^= 255
    archive.write_bytes(content)

    result = prepare(tmp_path / "out", "folder", archive, *TAKE_ALL)

    assert result.dataset.items == ("a/1.png",)
    assert result.problems == {("broken", "b/2.png")}


def test_no_picture_at_all_is_an_error_that_names_the_formats(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert ".png" in prepare(tmp_path / "out", "folder", tmp_path / "in").message


def test_only_broken_pictures_are_an_error_and_leave_nothing(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"a/1.png": b"no"})

    assert "a/1.png: broken" in prepare(tmp_path / "out", "folder", pictures).message
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--licence", "my own"], "--licence 'my own'"),
        (["--attribute", "a", "--attribute", "b"], "--attribute b"),
        (["--labels", "nothing.csv"], "--labels nothing.csv"),
        (["--fit", "stretch"], "'crop'"),
        (["--size", "4"], "--size"),
    ],
)
def test_a_wrong_flag_is_named_with_what_is_allowed(tmp_path: Path, arguments: list[str], said: str) -> None:
    pictures = fill(tmp_path / "in", {"a/1.png": png(1)})
    assert said in prepare(tmp_path / "out", "folder", pictures, *arguments).message


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "no such file or folder" in prepare(tmp_path / "out", "folder", tmp_path / "nothing").message


def test_licence_and_credit_are_recorded_and_asked_for(tmp_path: Path) -> None:
    pictures = fill(tmp_path / "in", {"1.png": png(1)})

    named = prepare(tmp_path / "named", "folder", pictures, "--licence", "CC-BY-4.0", "--credit", "Ada").dataset
    unnamed = prepare(tmp_path / "unnamed", "folder", pictures)

    assert (named.sources[0].licence, named.sources[0].credit) == ("CC-BY-4.0", "Ada")
    assert unnamed.dataset.sources[0].licence == "unspecified"
    assert "--licence is not given" in unnamed.printed


def test_a_data_set_can_be_read_by_others(tmp_path: Path) -> None:
    out = prepare(tmp_path / "out", "folder", fill(tmp_path / "in", {"1.png": png(1)})).out
    assert stat.S_IMODE(out.stat().st_mode) == 0o755
