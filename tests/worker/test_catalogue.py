"""Bundles on disk: what is served, what is refused and why, what is dropped."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from onnx import TensorProto, helper, load_model_from_string

from tests.support.processes import eventually
from tests.support.tiny_model import tiny_graph, tiny_model, write_tiny_bundle
from tests.worker.bench import Bench, assert_complete
from unikat.bundle import CARD, GRAPH, SAMPLES, TRAINING, Bundle, BundleError, write_bundle
from unikat.queue.control import Action, Change, Control
from unikat.queue.workers import WorkerStatus, worker_key
from unikat.v1.model_pb2 import Model
from unikat_worker.buckets import Limits
from unikat_worker.catalogue import Catalogue, Memory, UnknownModel
from unikat_worker.control import OperatorControl
from unikat_worker.device import choose_device
from unikat_worker.scheduler import Scheduler
from unikat_worker.session import Session
from unikat_worker.settings import DeviceName, Preload
from unikat_worker.state import State

CPU = choose_device(DeviceName.CPU, threads=1)
LIMITS = Limits(images=4, seconds=0.05, bytes=2**28)


def catalogue_of(models: Path, memory_limit: int = 2**30, preload: Preload = Preload.NONE) -> Catalogue:
    """A scanned catalogue on the CPU."""
    catalogue = Catalogue(models, CPU, LIMITS, Memory(preload, memory_limit))
    catalogue.scan()
    return catalogue


def test_all_versions_are_served(tmp_path: Path) -> None:
    first, second = write_tiny_bundle(tmp_path), write_tiny_bundle(tmp_path, version=2, work=1)
    catalogue = catalogue_of(tmp_path)
    assert {key: model.digest for key, model in catalogue.models.items()} == {
        "tiny@1": first.model.digest,
        "tiny@2": second.model.digest,
    }


def test_a_version_that_came_is_found_and_one_that_went_is_not_served(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path)
    catalogue = catalogue_of(tmp_path)
    assert not catalogue.scan()
    second = write_tiny_bundle(tmp_path, version=2, work=1)
    assert catalogue.scan()
    assert catalogue.use(second.model.digest).model.version == 2
    shutil.rmtree(tmp_path / "tiny" / "2")
    assert catalogue.scan()
    assert list(catalogue.models) == ["tiny@1"]
    with pytest.raises(UnknownModel, match=second.model.digest):
        catalogue.use(second.model.digest)


def test_a_damaged_file_is_named_and_what_is_loaded_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bundle = write_tiny_bundle(tmp_path)
    catalogue = catalogue_of(tmp_path)
    session = catalogue.use(bundle.model.digest)
    damage(bundle)
    with caplog.at_level(logging.ERROR):
        assert not catalogue.scan()
    assert str(bundle.graph) in caplog.text
    assert catalogue.use(bundle.model.digest) is session
    assert list(catalogue.models) == ["tiny@1"]


def test_a_damaged_new_version_is_refused_and_the_old_one_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tiny_bundle(tmp_path)
    catalogue = catalogue_of(tmp_path)
    second = write_tiny_bundle(tmp_path, version=2, work=1)
    damage(second)
    with caplog.at_level(logging.ERROR):
        assert not catalogue.scan()
        assert not catalogue.scan()
    assert caplog.text.count(str(second.graph)) == 1  # told once, not every two seconds
    assert list(catalogue.models) == ["tiny@1"]


def test_what_only_training_needs_is_neither_needed_nor_read(tmp_path: Path) -> None:
    files: dict[str, Path | bytes] = {GRAPH: tiny_graph(), SAMPLES: b"", CARD: b"", TRAINING: b"weights"}
    bundle = write_bundle(tmp_path / "tiny" / "1", tiny_model("tiny", 1), files)
    (bundle.path / TRAINING).write_bytes(b"cut off while it was fetch")
    catalogue = catalogue_of(tmp_path)
    assert catalogue.use(bundle.model.digest).model.version == 1
    (bundle.path / TRAINING).unlink()
    assert list(catalogue_of(tmp_path).models) == ["tiny@1"]


def test_a_bundle_in_the_wrong_folder_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_tiny_bundle(tmp_path)
    shutil.copytree(tmp_path / "tiny" / "1", tmp_path / "other" / "1")
    assert list(catalogue_of(tmp_path).models) == ["tiny@1"]
    assert "names tiny@1, but lies in the folder of other@1" in caplog.text


def test_the_least_recently_used_model_is_dropped_and_loaded_again(tmp_path: Path) -> None:
    bundles = [write_tiny_bundle(tmp_path, version=version, work=version) for version in (1, 2, 3)]
    digests = [bundle.model.digest for bundle in bundles]
    two = sum(bundle.graph.stat().st_size for bundle in bundles[1:])
    catalogue = catalogue_of(tmp_path, memory_limit=two, preload=Preload.NEWEST)
    assert catalogue.loaded == [digests[2]]  # the newest is there at once, the others on first use
    catalogue.use(digests[0])
    assert catalogue.loaded == [digests[2], digests[0]]
    catalogue.use(digests[2])
    catalogue.use(digests[1])
    assert catalogue.loaded == [digests[2], digests[1]]
    assert len(catalogue.models) == 3  # all of them can be asked for


@pytest.mark.parametrize(("preload", "versions"), [(Preload.NONE, []), (Preload.NEWEST, [2]), (Preload.ALL, [2, 1])])
def test_what_is_preloaded_is_a_setting(tmp_path: Path, preload: Preload, versions: list[int]) -> None:
    digests = {version: write_tiny_bundle(tmp_path, version=version, work=version).model.digest for version in (1, 2)}
    catalogue = catalogue_of(tmp_path, preload=preload)
    assert catalogue.loaded == [digests[version] for version in versions]
    assert catalogue.peek(digests[1]) is None or preload is Preload.ALL
    assert catalogue.use(digests[1]).model.version == 1


def test_what_was_freed_is_not_preloaded_again(tmp_path: Path) -> None:
    first, second = (write_tiny_bundle(tmp_path, version=version, work=version) for version in (1, 2))
    catalogue = catalogue_of(tmp_path, preload=Preload.ALL)
    catalogue.free(second.model.digest)
    third = write_tiny_bundle(tmp_path, version=3, work=3)
    assert catalogue.scan()
    assert set(catalogue.loaded) == {first.model.digest, third.model.digest}
    assert catalogue.use(second.model.digest).model.version == 2


def test_what_is_unloaded_while_another_is_loaded_is_not_loaded(tmp_path: Path) -> None:
    class Interrupted(Catalogue):
        def use(self, digest: str) -> Session:
            operators.heed(Control(unloaded={"tiny@2": change}), ())
            return super().use(digest)

    digests = [write_tiny_bundle(tmp_path, version=version, work=version).model.digest for version in (1, 2)]
    catalogue = Interrupted(tmp_path, CPU, LIMITS, Memory(Preload.NONE, 2**30))
    catalogue.scan()
    scheduler = Scheduler(
        1, 1, limit=lambda digest: 4, seconds=lambda digest: 0.01, tell=lambda shard: None, one_at_a_time=False
    )
    operators = OperatorControl("w", catalogue, scheduler, State())
    change = Change(Action.LOAD, "", "olga", "", 1.0)
    operators.heed(Control(loaded={"tiny@1": change, "tiny@2": change}), ())
    operators.preload()
    assert catalogue.loaded == digests[:1]


def test_a_graph_that_was_changed_since_the_scan_is_not_drawn(tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path)
    catalogue = catalogue_of(tmp_path)
    bundle.graph.write_bytes(tiny_graph(work=1))
    with pytest.raises(UnknownModel) as raised:  # other workers may have it
        catalogue.use(bundle.model.digest)
    assert "restore the file" in str(raised.value.__cause__)


def no_such_input(graph: bytes) -> bytes:
    """The graph wants what the manifest does not know."""
    proto = load_model_from_string(graph)
    proto.graph.input.append(helper.make_tensor_value_info("noise", TensorProto.FLOAT, ["batch", 4]))
    return bytes(proto.SerializeToString())


def fixed_batch(graph: bytes) -> bytes:
    """The graph was exported for one image at a time."""
    proto = load_model_from_string(graph)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    return bytes(proto.SerializeToString())


def wider(model: Model) -> None:
    """The manifest says more latent dimensions than the graph takes."""
    model.latent_size = 9


def larger(model: Model) -> None:
    """The manifest says a larger image than the graph gives."""
    model.width = 17


@pytest.mark.parametrize(
    ("graph", "change", "message"),
    [
        (no_such_input, None, "unknown input 'noise'"),
        (fixed_batch, None, "fixed batch of 1"),
        (None, wider, r"input 'latent' is .*\[8\].*expected .*\[9\]"),
        (None, larger, r"outputs are .*16, 16, 3.*expected .*16, 17, 3"),
        (lambda graph: graph + b"\x08\xff", None, "cannot be loaded"),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says_is_refused(
    tmp_path: Path, graph: Callable[[bytes], bytes] | None, change: Callable[[Model], None] | None, message: str
) -> None:
    model = tiny_model()
    if change is not None:
        change(model)
    content = graph(tiny_graph()) if graph else tiny_graph()
    files: dict[str, Path | bytes] = {GRAPH: content, SAMPLES: b"", CARD: b""}
    with pytest.raises(BundleError, match=message) as caught:
        Session(write_bundle(tmp_path / "tiny" / "1", model, files), CPU, LIMITS)
    assert str(tmp_path / "tiny" / "1" / GRAPH) in str(caught.value)
    assert list(catalogue_of(tmp_path).models) == []


def test_a_new_version_is_served_without_a_restart(bench: Bench, bundle: Bundle) -> None:
    with bench.worker() as program:
        second = write_tiny_bundle(bench.models, version=2, work=1)
        eventually(lambda: "tiny@2" in announced(bench))
        assert announced(bench) == {"tiny@1": bundle.model.digest, "tiny@2": second.model.digest}
        assert_complete(bench.outcome(bench.enqueue(second.model.digest, count=3)), 3)
        third = write_tiny_bundle(bench.models, version=3, work=2)
        damage(third)
        program.wait_for_line("refused .*3/generator.onnx")
        assert_complete(bench.outcome(bench.enqueue(second.model.digest, count=3)), 3)


def announced(bench: Bench) -> dict[str, str]:
    """What the only worker says that it serves."""
    (name,) = bench.worker_names()
    text = bench.redis.get(worker_key(name))
    return WorkerStatus.from_json(text).models if text else {}


def damage(bundle: Bundle) -> None:
    """One more byte."""
    with bundle.graph.open("ab") as file:
        file.write(b"\0")
