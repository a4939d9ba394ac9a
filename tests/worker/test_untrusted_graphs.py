"""A graph that lies in the models folder may be anybody's: nothing but its own bytes is read for it."""

from __future__ import annotations

from pathlib import Path

import onnxruntime
import pytest

from tests.support.outside_weights import bundle_around, graphs_with_outside_weights
from tests.support.tiny_model import tiny_graph
from unikat.bundle import BundleError
from unikat.onnx_file import check_self_contained
from unikat_worker.graph import check_bundle

OUTSIDE = list(graphs_with_outside_weights())


@pytest.mark.parametrize("graph", OUTSIDE, ids=range(len(OUTSIDE)))
def test_weights_in_another_file_are_refused_wherever_a_graph_names_them(graph: bytes, tmp_path: Path) -> None:
    bundle = bundle_around(graph, tmp_path)
    with pytest.raises(BundleError, match=r"generator\.onnx: has weights in another file"):
        check_bundle(bundle)


def test_onnx_runtime_by_itself_would_open_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why it is looked for: a path beside the process is enough."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weights.bin").write_bytes(bytes(32))
    assert onnxruntime.InferenceSession(OUTSIDE[0], providers=["CPUExecutionProvider"]).get_inputs()


def test_a_graph_is_not_looked_through_in_memory_of_its_own() -> None:
    graph = tiny_graph()
    check_self_contained(graph)
    check_self_contained(graph + b"\x52" + (0).to_bytes(1))  # an unknown field, empty


@pytest.mark.parametrize(
    "content", [b"", b"\x00", b"\xff" * 20, b"\x3a\x7f", b"\x0b", b"ORTM" * 8, b"\x3a\x00" * 9, b"\x07"], ids=repr
)
def test_what_is_no_graph_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"generator\.onnx"):
        check_bundle(bundle_around(content, tmp_path))


def test_another_file_than_the_manifest_says_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    bundle = bundle_around(tiny_graph(), tmp_path)
    bundle.graph.write_bytes(OUTSIDE[0])
    with pytest.raises(BundleError, match="restore the file"):
        check_bundle(bundle)
