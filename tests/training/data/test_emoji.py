"""The emoji set, from small packages laid out as npm lays out the real ones."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.data.preparing import labels_by_item, prepare
from unikat_training.data.build import Output, build
from unikat_training.data.dataset import Dataset
from unikat_training.data.emoji.packages import Package, fetch, integrity_of, read_files, read_json
from unikat_training.data.emoji.prepare import Collection, EmojiDrawings, emoji_recipe, fetch_all
from unikat_training.data.emoji.rendering import Drawing, render
from unikat_training.data.emoji.styles import STYLES, Style
from unikat_training.data.report import Report
from unikat_training.errors import DatasetError
from unikat_training.fetching import cache_folder

EMOJIBASE = [
    {"hexcode": "1F600", "label": "grinning face", "subgroup": 0},
    {"hexcode": "1F431", "label": "cat face", "subgroup": 34},
    {
        "hexcode": "1F44B",
        "label": "waving hand",
        "subgroup": 16,
        "skins": [
            {"hexcode": "1F44B-1F3FB", "tone": 1},
            {"hexcode": "1F44B-1F3FF", "tone": 5},
            {"hexcode": "1F44B-1F3FB-1F3FF", "tone": [1, 5]},
        ],
    },
    {
        "hexcode": "1F595",
        "label": "middle finger",
        "subgroup": 18,
        "skins": [{"hexcode": "1F595-1F3FB", "tone": 1}],
    },
    {"hexcode": "2764-FE0F", "label": "red heart", "subgroup": 14},
    {"hexcode": "1F3F3", "label": "white flag", "subgroup": 97},
]
SUBGROUPS = {
    "0": "face-smiling",
    "14": "heart",
    "16": "hand-fingers-open",
    "18": "hand-single-finger",
    "34": "animal-mammal",
    "97": "flag",
}


def disc(colour: str) -> dict[str, object]:
    return {"body": f'<circle cx="8" cy="8" r="7" fill="{colour}"/>'}


def npm_package(folder: Path, name: str, files: Mapping[str, object]) -> Package:
    """A tarball as npm makes it: everything under package/."""
    package = Package(name, "1.0.0", "")
    with tarfile.open(folder / package.file_name, "w:gz") as archive:
        for path, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{path}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return replace(package, integrity=integrity_of(folder / package.file_name))


def webp(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGBA", (32, 32), colour).save(stream, "WEBP", lossless=True)
    return stream.getvalue()


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Emojibase, a set with a table of characters, one with names only, and one of raster files."""
    cache = tmp_path / "cache"
    cache.mkdir()
    catalogue = npm_package(
        cache,
        "emojibase-data",
        {
            "en/data.json": EMOJIBASE,
            "meta/groups.json": {"subgroups": SUBGROUPS},
            "meta/unicode-names.json": {"1F595": "REVERSED HAND WITH MIDDLE FINGER EXTENDED"},
        },
    )
    icons = {"grin": disc("#f00"), "wave": disc("#ff0"), "wave-dark": disc("#420"), "heart": disc("#c00")}
    icons |= {"old-grin": disc("#0f0") | {"hidden": True}, "finger": disc("#123"), "flag": disc("#eee")}
    chars = {"1f600": "grin", "1f44b": "wave", "1f44b-1f3ff": "wave-dark", "2764": "heart"}
    icons |= {"finger-light": disc("#124")}
    chars |= {"1f595": "finger", "1f595-1f3fb": "finger-light", "1f3f3": "flag"}
    flat = npm_package(cache, "@icons/flat", {"icons.json": {"icons": icons}, "chars.json": chars})
    named = {"cat-face": disc("#888"), "waving-hand-light-skin-tone": disc("#fda"), "mystery": disc("#00f")}
    named |= {"reversed-hand-with-middle-finger-extended": disc("#321"), "wave": disc("#fe0")}
    named |= {"red-heart": {"body": ""}, "grinning-face": disc("#888")}
    names = npm_package(cache, "@icons/named", {"icons.json": {"icons": named, "width": 16, "height": 16}})
    rasters = {f"assets/{code}.webp": webp(c) for code, c in (("1f600", "red"), ("1f431", "green"))}
    solid = npm_package(cache, "solid", rasters | {"assets/2764-fe0f.webp": b"not a picture"})
    styles = (
        Style("solid", solid, "MIT", "S", only_with="flat"),
        Style("flat", flat, "MIT", "F"),
        Style("named", names, "CC-BY-4.0", "N"),
    )
    return Collection(catalogue, styles)


def made(tmp_path: Path, collection: Collection, name: str = "out", processes: int = 1) -> tuple[Dataset, Report]:
    tarballs = fetch_all(collection, tmp_path / "cache", lambda: None)
    drawings = EmojiDrawings(collection, tarballs, 16)
    report = build(emoji_recipe(16, collection), drawings.pictures(processes), Output(tmp_path / name))
    return Dataset.load(tmp_path / name), report


def test_drawings_are_labelled_with_style_category_and_tone(tmp_path: Path, collection: Collection) -> None:
    dataset, _ = made(tmp_path, collection)

    assert [a.name for a in dataset.attributes] == ["style", "category", "tone"]
    assert labels_by_item(dataset) == {
        "solid/1f600 grinning face": ("solid", "face", "none"),
        "flat/1f44b waving hand": ("flat", "hand", "none"),
        "flat/1f44b-1f3ff waving hand dark skin tone": ("flat", "hand", "dark"),
        "flat/1f600 grinning face": ("flat", "face", "none"),
        "flat/2764 red heart": ("flat", "heart", "none"),
        "named/1f431 cat face": ("named", "animal", "none"),
        "named/1f44b waving hand": ("named", "hand", "none"),
        "named/1f44b-1f3fb waving hand light skin tone": ("named", "hand", "light"),
    }


def test_drawings_may_keep_their_alpha(tmp_path: Path, collection: Collection) -> None:
    tarballs = fetch_all(collection, tmp_path / "cache", lambda: None)
    drawings = EmojiDrawings(collection, tarballs, 16, 4)
    build(emoji_recipe(16, collection, 4), drawings.pictures(1), Output(tmp_path / "layers"))
    layers, (plain, _) = Dataset.load(tmp_path / "layers"), made(tmp_path, collection)

    assert layers.items == plain.items
    discs = [not item.startswith("solid/") for item in layers.items]
    assert (layers.images[discs, 0, 0] == 0).all()
    assert (layers.images[:, 8, 8, 3] == 255).all()
    rows = np.arange(len(plain))
    # Lanczos overshoots at edges: it is clipped at white here, and at no alpha there
    assert np.abs(layers.pixels(rows).astype(int) - plain.pixels(rows)).max() <= 32


def test_what_is_left_out_is_named(tmp_path: Path, collection: Collection) -> None:
    _, report = made(tmp_path, collection)

    assert {(problem.kind, problem.item) for problem in report.problems} == {
        ("unlabelled", "named/mystery"),
        ("excluded", "flat/1f595"),
        ("excluded", "flat/1f595-1f3fb"),
        ("excluded", "named/1f595"),
        ("broken", "solid/2764 red heart"),  # not a picture
        ("broken", "named/2764 red heart"),  # an empty drawing
        ("conflict", "named/1f600 grinning face"),  # drawn like the cat
    }


def test_every_source_is_credited(tmp_path: Path, collection: Collection) -> None:
    dataset, _ = made(tmp_path, collection)
    assert [(source.name, source.licence, source.origin) for source in dataset.sources] == [
        ("solid", "MIT", "solid@1.0.0"),
        ("flat", "MIT", "@icons/flat@1.0.0"),
        ("named", "CC-BY-4.0", "@icons/named@1.0.0"),
        ("labels", "MIT", "emojibase-data@1.0.0"),
    ]


def test_the_same_packages_give_the_same_pixels(tmp_path: Path, collection: Collection) -> None:
    assert made(tmp_path, collection, "one")[0].digest == made(tmp_path, collection, "two", processes=2)[0].digest


def test_a_package_that_is_not_the_pinned_one_is_refused(tmp_path: Path, collection: Collection) -> None:
    with (tmp_path / "cache" / "icons-flat-1.0.0.tgz").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(DatasetError, match=r"integrity sha512-.* is not .* delete the file"):
        made(tmp_path, collection)


def test_a_cut_tarball_is_refused(tmp_path: Path, collection: Collection) -> None:
    file = tmp_path / "cache" / collection.catalogue.file_name
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DatasetError, match="not an npm tarball"):
        read_files(file, "")


def test_without_npm_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    message = prepare(tmp_path / "out", "emoji", "--cache", tmp_path / "cache").message
    assert "apt-get install npm" in message
    assert not (tmp_path / "out").exists()


def test_the_cache_is_where_the_user_keeps_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder("npm") == Path("/somewhere/unikat/npm")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/ada")
    assert cache_folder("npm") == Path("/home/ada/.cache/unikat/npm")


def test_packages_are_pinned_by_version_and_integrity() -> None:
    assert len({style.name for style in STYLES}) == 7
    for package in Collection().packages:
        assert package.integrity.startswith("sha512-")
        assert len(package.integrity) == 95  # 64 bytes in base64
        assert package.version.count(".") == 2
    assert not any("SA" in style.licence for style in STYLES)


def test_a_fetched_package_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = npm_package(tmp_path, "pkg", {"a.json": {}})
    monkeypatch.setenv("PATH", "")
    assert read_json(fetch(package, tmp_path), "a.json", "b.json") == [{}, None]


def svg(body: str) -> Drawing:
    text = f'<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">{body}</svg>'
    return Drawing(text.encode(), 1.0, 32)


def test_a_drawing_is_centred_on_white() -> None:
    pixels = render(svg('<circle cx="8" cy="8" r="6" fill="#f00"/>'))
    assert pixels is not None
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[16, 16].tolist() == [255, 0, 0]
    difference = np.abs(pixels.astype(int) - pixels[::-1, ::-1])
    assert difference.max() <= 2


def test_what_would_leave_the_canvas_is_shrunk() -> None:
    drawing = replace(svg('<rect width="16" height="16" fill="#000"/>'), scale=1.3)
    pixels = render(drawing)
    assert pixels is not None
    assert pixels[16, 16].tolist() == [0, 0, 0]
    assert pixels[0, 0].min() > 0  # the margin


def test_a_drawing_at_the_edge_keeps_its_margin() -> None:
    pixels = render(svg('<rect x="0" y="6" width="4" height="4" fill="#000"/>'))
    assert pixels is not None
    assert pixels[:, 0].min() > 60


def test_an_invisible_drawing_is_none() -> None:
    assert render(svg("")) is None
