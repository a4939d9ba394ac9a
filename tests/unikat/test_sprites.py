"""Atlases: every sprite can be cut out again, by the JSON and by Godot's resource."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from tests.support.atlas import ENGINES, godot_frames, hash_frames, shown_by
from tests.support.chromium import is_wanted
from unikat.cli import app
from unikat.cli.problems import Problem
from unikat.sprites import Packing, Sprite, pack

PACKINGS = [
    Packing(),
    Packing(padding=0),
    Packing(trim=True),
    Packing(extrude=1, trim=True),
    Packing(padding=3, extrude=2, columns=3),
    Packing(trim=True, largest=96),
]


def drawing(seed: int, size: tuple[int, int] = (40, 32)) -> Image.Image:
    """Noise in a random part of it, nothing around."""
    rng = np.random.default_rng(seed)
    width, height = size
    pixels = np.zeros((height, width, 4), dtype=np.uint8)
    left, top = int(rng.integers(0, width - 4)), int(rng.integers(0, height - 4))
    right, bottom = int(rng.integers(left + 1, width + 1)), int(rng.integers(top + 1, height + 1))
    pixels[top:bottom, left:right] = rng.integers(1, 256, (bottom - top, right - left, 4))
    return Image.fromarray(pixels)


def mixed() -> list[Sprite]:
    """Drawings of several sizes, an opaque one, one of nothing, and an odd name."""
    found = [Sprite(f"drawing {index}", drawing(index, (40, 32 + index % 3))) for index in range(20)]
    found.append(Sprite("opaque", Image.fromarray(np.full((30, 20, 3), 7, dtype=np.uint8))))
    found.append(Sprite("nothing", Image.new("RGBA", (12, 12))))
    return [*found, Sprite('größe/"7"', drawing(99), {"id": "abc", "seed": str(2**64 - 1)})]


def written(sprites: Sequence[Sprite], packing: Packing, folder: Path) -> Path:
    folder.mkdir()
    for name, content in pack(sprites, packing).items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("packing", PACKINGS)
def test_every_sprite_is_cut_out_as_it_was(packing: Packing, tmp_path: Path) -> None:
    sprites = mixed()
    folder = written(sprites, packing, tmp_path / "out")
    frames, animations = hash_frames(folder), godot_frames(folder)

    assert frames.keys() == {sprite.name for sprite in sprites}
    assert animations.keys() == {"default", *frames}
    for sprite, shown in zip(sprites, animations["default"], strict=True):
        expected = np.asarray(sprite.image.convert("RGBA"))
        assert np.array_equal(frames[sprite.name], expected), sprite.name
        assert np.array_equal(shown, expected), sprite.name
        assert np.array_equal(animations[sprite.name], [expected]), sprite.name


@pytest.mark.parametrize("packing", PACKINGS)
def test_sprites_keep_their_distance_and_atlases_their_size(packing: Packing, tmp_path: Path) -> None:
    folder = written(mixed(), packing, tmp_path / "out")
    for file in folder.glob("*.json"):
        document = json.loads(file.read_text("utf-8"))
        width, height = document["meta"]["size"]["w"], document["meta"]["size"]["h"]
        assert max(width, height) <= packing.largest
        taken = np.zeros((height, width), dtype=int)
        frames = [entry["frame"] for entry in document["frames"].values()]
        for frame in frames:
            left, top = (frame[axis] - packing.extrude - packing.padding for axis in "xy")
            right, bottom = frame["x"] + frame["w"] + packing.extrude, frame["y"] + frame["h"] + packing.extrude
            assert min(left, top) >= 0
            assert right + packing.padding <= width
            assert bottom + packing.padding <= height
            taken[top:bottom, left:right] += 1  # with the padding on two of its sides
        assert taken.max() == 1
        if packing.columns:
            tops = [frame["y"] for frame in frames]
            assert max(map(tops.count, tops)) == packing.columns


def test_the_edge_is_repeated_around_a_sprite(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    folder = written([Sprite("one", Image.fromarray(pixels))], Packing(padding=1, extrude=2), tmp_path / "out")
    atlas = np.asarray(Image.open(folder / "atlas.png"))

    assert atlas.shape == (14, 14, 4)
    assert np.array_equal(atlas[1:-1, 1:-1], np.pad(pixels, ((2, 2), (2, 2), (0, 0)), mode="edge"))
    assert not atlas[[0, -1]].any()


def test_what_does_not_fit_into_one_atlas_is_in_several_that_know_each_other(tmp_path: Path) -> None:
    sprites = [Sprite(f"{index}", drawing(index)) for index in range(12)]
    folder = written(sprites, Packing(largest=96), tmp_path / "out")

    names = sorted(path.name for path in folder.iterdir())
    pages = [name for name in names if name.endswith(".json")]
    assert len(pages) > 2
    assert pages == [f"atlas-{number}.json" for number in range(1, len(pages) + 1)]
    assert names == sorted([*pages, *(name.replace("json", "png") for name in pages), "atlas.tres"])
    for name in pages:
        meta = json.loads((folder / name).read_text())["meta"]
        assert meta["image"] == name.replace("json", "png")
        assert meta["related_multi_packs"] == [other for other in pages if other != name]


def test_the_same_sprites_give_the_same_bytes() -> None:
    assert pack(mixed(), Packing(trim=True)) == pack(mixed(), Packing(trim=True))


@pytest.mark.long
@pytest.mark.skipif(not is_wanted() or not shutil.which("npm"), reason="there is no Chromium, or no npm")
@pytest.mark.parametrize("library", sorted(ENGINES))
@pytest.mark.parametrize("packing", [Packing(), Packing(extrude=1, trim=True), Packing(trim=True, largest=96)])
def test_engines_show_every_sprite_as_it_was(library: str, packing: Packing, tmp_path: Path) -> None:
    sprites = mixed()
    folder = written(sprites, packing, tmp_path / "atlas")
    shown = shown_by(library, folder, tmp_path)
    assert set(shown) == {sprite.name for sprite in sprites}
    for sprite in sprites:
        pixels, known = shown[sprite.name]
        whole = np.asarray(sprite.image.convert("RGBA"))
        opaque = whole[..., 3] == 255
        assert np.array_equal(pixels[..., 3], whole[..., 3])  # a canvas multiplies colours by their alpha, and rounds
        assert np.array_equal(pixels[opaque], whole[opaque])
        assert known in (sprite.facts or None, "not read")


def test_equal_sizes_stay_in_their_order() -> None:
    sprites = [Sprite(f"{index}", drawing(index, (16, 16))) for index in range(16)]
    document = json.loads(pack(sprites, Packing())["atlas.json"])
    places = [(entry["frame"]["y"], entry["frame"]["x"]) for entry in document["frames"].values()]

    assert places == sorted(places)
    assert document["meta"]["size"] == {"w": 4 * 18 + 2, "h": 4 * 18 + 2}


def test_what_is_known_of_a_sprite_is_beside_its_place() -> None:
    frames = json.loads(pack(mixed(), Packing())["atlas.json"])["frames"]
    assert frames['größe/"7"']["unikat"] == {"id": "abc", "seed": "18446744073709551615"}
    assert "unikat" not in frames["opaque"]


@pytest.mark.parametrize(
    ("sprites", "said"),
    [
        ([], "no sprites"),
        ([Sprite("a", drawing(1)), Sprite("a", drawing(2))], "two sprites are called 'a'"),
        ([Sprite("a", drawing(1, (200, 10)))], "a is 200 x 10: no room"),
    ],
)
def test_what_cannot_be_packed_says_why(sprites: list[Sprite], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        pack(sprites, Packing(largest=96))


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["sprites", *map(str, arguments)])


def test_a_folder_of_pictures_is_packed_by_the_names_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "cats").mkdir(parents=True)
    pictures = {"2": drawing(2), "10": drawing(1), "cats/fox-s7-00012": drawing(3)}
    for name, image in pictures.items():
        image.save(folder / f"{name}.png")
    drawing(4).save(folder / "twice.png")
    drawing(5).save(folder / "twice.webp", lossless=True, exact=True)
    for name in ("sheet.png", "sheet-2.png"):
        drawing(6).save(folder / name)
    (folder / "notes.txt").write_text("no picture")
    result = run(folder, "--trim", "--out", tmp_path / "out")

    assert result.exit_code == 0, result.output
    assert "5 sprites" in result.output
    frames, animations = hash_frames(tmp_path / "out"), godot_frames(tmp_path / "out")
    pictures |= {"twice.png": drawing(4), "twice.webp": drawing(5)}
    assert frames.keys() == pictures.keys()
    for name, image in pictures.items():
        assert np.array_equal(frames[name], np.asarray(image)), name
    assert list(animations) == ["default", *pictures]
    entry = json.loads((tmp_path / "out" / "atlas.json").read_text())["frames"]["cats/fox-s7-00012"]
    assert entry["unikat"] == {"model": "fox", "seed": "7", "index": 12}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--seed", "0"), "--seed: "),
        (("-n", "3"), "--count: "),
        (("--where", "a=b"), "--where: "),
        (("--out", "in/deeper"), "lies in"),
    ],
)
def test_what_makes_no_sense_for_pictures_that_are_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    drawing(1).save(tmp_path / "in" / "1.png")
    error = run("in", *arguments).exception

    assert isinstance(error, Problem)
    assert error.code == 2
    assert said in error.message


def test_a_file_that_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"no picture")
    error = run(tmp_path / "bad.png", "--out", tmp_path / "out").exception

    assert isinstance(error, Problem)
    assert error.message == "bad: not a picture that can be read"
