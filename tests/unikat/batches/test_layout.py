from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unikat.batches.drawn import BLEND, image_file, images_of, spec_of
from unikat.batches.layout import Entry, conditions_text, parse_conditions, shard_files, tar_around
from unikat.batches.spec import Common
from unikat.bundle import UNTYPABLE
from unikat.request import FORMATS
from unikat.v1.batches_pb2 import LAYOUT_FILES, LAYOUT_WEBDATASET

PNG = Common("emoji@1", "d" * 64, 2**64 - 1, 0.7, FORMATS["png"], LAYOUT_WEBDATASET)
categories = st.text(min_size=1, max_size=8).filter(lambda name: not UNTYPABLE.search(name))


@given(
    st.dictionaries(
        st.text("abc_", min_size=1, max_size=5),
        st.dictionaries(categories, st.floats(1e-30, 1.0), min_size=1, max_size=4),
        max_size=3,
    )
)
def test_conditions_as_text_are_the_same_conditions(weights: dict[str, dict[str, float]]) -> None:
    text = conditions_text(weights)
    assert parse_conditions(text) == weights
    backwards = {name: dict(reversed(weights[name].items())) for name in reversed(weights)}
    assert list(conditions_text(backwards).items()) == list(text.items())


def test_a_category_is_its_name_and_a_blend_has_weights() -> None:
    assert conditions_text(BLEND.weights) == {"category": "face", "style": "fluent:0.3,noto:0.7"}


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**33 - 1))
def test_headers_are_those_of_pythons_tarfile(index: int, size: int) -> None:
    head, _ = tar_around(PNG, Entry(index, "0" * 16, {}), size)
    member = tarfile.TarInfo(f"{index:07}.png")
    member.size = size
    assert head == member.tobuf(tarfile.USTAR_FORMAT)


def test_a_shard_as_a_tar_file_holds_each_image_and_what_it_is(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, LAYOUT_WEBDATASET, cells=(BLEND,))
    images = images_of(spec, 0)
    files, places = shard_files(PNG, 12, images)
    assert list(files) == ["shards/00012.tar"]
    data = files["shards/00012.tar"]
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        assert names == [f"{index:07}.{suffix}" for index in range(3) for suffix in ("png", "json")]
        members = {member.name: member for member in archive.getmembers()}
        about = json.loads(archive.extractfile(members["0000001.json"]).read())  # type: ignore[union-attr]  # is a file
    assert about == {
        "id": images[1].id, "index": 1, "seed": 2**64 - 1, "truncation": 0.7,
        "conditions": {"category": "face", "style": "fluent:0.3,noto:0.7"},
        "model": "emoji@1", "model_digest": "d" * 64,
    }  # fmt: skip
    for image, place in zip(images, places, strict=True):
        assert place.offset == members[f"{image.index:07}.png"].offset_data
        assert data[place.offset : place.offset + len(image.data)] == image.data
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname) for m in members.values()} == {(0, 0, 0, "", "")}


def test_a_shard_as_a_tar_file_is_read_by_the_system(tmp_path: Path) -> None:
    files, _ = shard_files(PNG, 0, images_of(spec_of(tmp_path), 1))
    (tmp_path / "0.tar").write_bytes(files["shards/00000.tar"])
    subprocess.run(["tar", "-xf", "0.tar"], cwd=tmp_path, check=True)
    assert (tmp_path / "0000009.png").read_bytes() == image_file(9)


@pytest.mark.parametrize(("name", "suffix"), [("png", "png"), ("webp", "webp"), ("jpeg", "jpg")])
def test_a_shard_as_files_is_a_folder(tmp_path: Path, name: str, suffix: str) -> None:
    images = images_of(spec_of(tmp_path, image_format=name), 1)
    common = Common("emoji@1", "d" * 64, 1, 0.7, FORMATS[name], LAYOUT_FILES)
    files, places = shard_files(common, 12, images)
    assert list(files) == [f"images/00012/{index:07}.{suffix}" for index in range(8, 16)]
    assert [(place.file, place.offset) for place in places] == [(file, 0) for file in files]
    assert [files[place.file] for place in places] == [image.data for image in images]


def test_more_images_than_seven_digits_have_names_of_their_own() -> None:
    assert tar_around(PNG, Entry(12_345_678, "0" * 16, {}), 1)[0].startswith(b"12345678.png\0")
