from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.outside_weights import graphs_with_outside_weights
from tests.support.tiny_model import tiny_graph, tiny_model, write_tiny_bundle
from unikat.bundle import (
    CARD,
    GRAPH,
    MANIFEST,
    SAMPLES,
    BundleError,
    digest_of,
    key_of,
    list_bundles,
    parse_reference,
    read_bundle,
    write_bundle,
)
from unikat.json_text import lines_of_json, parse_json


def edit_manifest(folder: Path, changes: dict[str, Any]) -> None:
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | changes))


def test_what_was_written_is_read_back_and_verifies(tmp_path: Path) -> None:
    written = write_tiny_bundle(tmp_path)
    read = read_bundle(tmp_path / "tiny" / "1")
    read.verify()
    assert read.model == written.model
    assert key_of(read.model) == "tiny@1"
    assert [file.path for file in read.model.files] == [CARD, GRAPH, SAMPLES]
    assert read.model.digest == digest_of(read.path / MANIFEST)


def test_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    assert write_tiny_bundle(tmp_path / "a").model.digest == write_tiny_bundle(tmp_path / "b").model.digest
    assert write_tiny_bundle(tmp_path / "c", work=1).model.digest != write_tiny_bundle(tmp_path / "d").model.digest


def test_a_version_is_immutable(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    with pytest.raises(FileExistsError, match="immutable"):
        write_tiny_bundle(tmp_path)


def test_a_changed_file_is_named(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    graph = bundle.graph.read_bytes()
    bundle.graph.write_bytes(graph[:-1] + bytes([graph[-1] ^ 1]))
    with pytest.raises(BundleError, match=r"generator\.onnx: digest is sha256:.* but model\.json says sha256:"):
        bundle.verify()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    (bundle.path / SAMPLES).unlink()
    with pytest.raises(BundleError, match=r"samples\.png: is missing"):
        bundle.verify()


GRAPH_FILE = {"path": GRAPH, "digest": "sha256:" + "0" * 64, "size": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"formatVersion": 2}, "format version 2 is newer than 1; upgrade unikat"),
        ({"formatVersion": 0}, "formatVersion: must be 1 to 1"),
        ({"name": "Tiny!"}, "name: must match"),
        ({"width": 0}, "width: must be 1 to 4096, not 0"),
        ({"latentSize": "many"}, "is not a model"),
        ({"surprise": 1}, "is not a model"),
        ({"attributes": [{"name": "style"}]}, "style must have categories"),
        ({"attributes": [{"name": "style", "categories": [{"name": "a=b"}]}]}, "'a=b' cannot name a category"),
        ({"attributes": [{"name": "a", "categories": [{"name": "x"}]}] * 2}, "a name occurs twice"),
        ({"combinations": [{"categories": [9, 9], "count": "1"}]}, "does not name one category of each of 2"),
        ({"channels": 2}, "channels: must be 3, or 4 with alpha, not 2"),
        ({"combinations": []}, "combinations: must hold at least one"),
        ({"files": []}, r"files: must list generator\.onnx"),
        *(
            ({"files": [{"path": path, "digest": "sha256:" + "0" * 64}, GRAPH_FILE]}, "leads out of the bundle")
            for path in ("../../etc/passwd", "/etc/passwd", "a/../../b", "a\0b", "", "a//b", "./" * 200, "x" * 101)
        ),
        ({"files": [GRAPH_FILE | {"digest": "sha256:0"}]}, "digest of generator"),
        ({"files": [GRAPH_FILE | {"size": 2**31}]}, "may have 2147483647 bytes"),
        ({"files": [GRAPH_FILE, GRAPH_FILE]}, "each once"),
        ({"files": [GRAPH_FILE, *({**GRAPH_FILE, "path": f"f{n}"} for n in range(1000))]}, "at most 1000"),
        ({"latentSize": 65_537}, "latent_size: must be 1 to 65536"),
        ({"attributes": [{"name": f"a{n}", "categories": [{"name": "x"}]} for n in range(65)]}, "at most 64"),
        ({"attributes": [{"name": "a", "categories": [{"name": str(n)} for n in range(10_001)]}]}, "10000 categories"),
        ({"attributes": [{"name": "a", "categories": [{"name": "x" * 256}]}]}, "at most 255 characters"),
    ],
)
def test_a_broken_manifest_says_what_is_wrong(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    bundle = write_tiny_bundle(tmp_path)
    edit_manifest(bundle.path, changes)
    with pytest.raises(BundleError, match=message):
        read_bundle(bundle.path)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"name": "tiny"}', "\xff", "[" * 100_000, '{"a":' * 100_000])
def test_what_is_not_a_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match=r"model\.json"):
        read_bundle(tmp_path)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.json: cannot be read"):
        read_bundle(tmp_path)


def test_a_bundle_that_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    model = tiny_model()
    model.width = 0
    with pytest.raises(BundleError, match="width"):
        write_bundle(tmp_path / "tiny" / "1", model, {GRAPH: tiny_graph(), SAMPLES: b"", CARD: b""})
    with pytest.raises(BundleError, match="needs MODEL_CARD"):
        write_bundle(tmp_path / "tiny" / "1", tiny_model(), {GRAPH: tiny_graph(), SAMPLES: b""})
    assert list((tmp_path / "tiny").glob("*")) == []


def test_bundles_are_listed_by_name_and_number(tmp_path: Path) -> None:
    for name, version in (("b", 10), ("b", 9), ("a", 1)):
        write_tiny_bundle(tmp_path, name, version)
    (tmp_path / "b" / "notes").mkdir()
    (tmp_path / "b" / "11").mkdir()
    assert [path.relative_to(tmp_path).as_posix() for path in list_bundles(tmp_path)] == ["a/1", "b/9", "b/10"]


def test_references_are_names_with_or_without_a_version() -> None:
    assert parse_reference("emoji") == ("emoji", None)
    assert parse_reference("emoji@12") == ("emoji", 12)
    for bad in ("", "@1", "emoji@", "emoji@0", "emoji@1.0", "Emoji", "a/b", "../x", "emoji@1@2", "emoji\n"):
        with pytest.raises(ValueError, match='must be "name" or "name@version"'):
            parse_reference(bad)


def test_a_manifest_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(2**40)  # a terabyte, on paper
    with pytest.raises(BundleError, match="has more than 16777216 bytes"):
        read_bundle(tmp_path)


def test_a_file_of_another_size_is_refused_before_it_is_read(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    with bundle.graph.open("r+b") as file:
        file.truncate(2**40)
    with pytest.raises(BundleError, match=r"has 1099511627776 bytes, but model\.json says"):
        bundle.verify()


def test_a_graph_with_weights_in_another_file_becomes_no_bundle(tmp_path: Path) -> None:
    for graph in graphs_with_outside_weights():
        with pytest.raises(BundleError, match="weights in another file"):
            write_bundle(tmp_path / "tiny" / "1", tiny_model(), {GRAPH: graph, SAMPLES: b"", CARD: b""})
    assert list((tmp_path / "tiny").glob("*")) == []


@pytest.mark.parametrize("text", [b'{"\xed\xa0\x80": 1}', b'{"name": "\\ud800"}', '{"a": 1}'.encode("utf-16")])
def test_half_characters_and_other_encodings_are_no_json(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
    assert parse_json(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_that_people_read_says_the_same(value: object) -> None:
    assert json.loads(lines_of_json(value)) == value


def test_what_fits_into_a_line_of_a_manifest_is_in_one(tmp_path: Path) -> None:
    written = write_tiny_bundle(tmp_path)
    lines = [line.strip().removesuffix(",") for line in (written.path / MANIFEST).read_text().splitlines()]
    for each in written.model.combinations:
        assert f'{{"categories": {list(each.categories)}, "count": "{each.count}"}}' in lines
    long = ["x" * 60, "y" * 60]
    assert lines_of_json({"long": long}) == f'{{\n "long": [\n  "{long[0]}",\n  "{long[1]}"\n ]\n}}'
