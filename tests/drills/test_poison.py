"""A job that ends every worker that draws it: it fails, and nobody else notices more than a pause."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.processes import spawn
from tests.support.tiny_model import tiny_graph, tiny_model
from unikat import Studio
from unikat.bundle import CARD, GRAPH, SAMPLES, write_bundle
from unikat.errors import JobFailed

POISON: Final = 2.0  # truncation with which the model below never ends; up to 1.9 it does


def write_hanging_bundle(models: Path) -> None:
    """tiny@1, whose graph loops for ever where a row of the batch has a truncation above 1.9.

    The worker finds that the batch hangs (UNIKAT_STALL_S) and ends itself, as it would for a driver that hangs.
    """
    proto = onnx.load_from_string(tiny_graph(work=20))
    graph = proto.graph
    hidden = next(node for node in graph.node if "x0" in node.output)
    hidden.output[0] = "x0_before"
    vector = helper.make_tensor_value_info
    body = helper.make_graph(
        [
            helper.make_node("Tanh", ["state"], ["next_state"]),
            helper.make_node("Identity", ["go_on"], ["still"]),
        ],
        "forever",
        [
            vector("number", TensorProto.INT64, []),
            vector("go_on", TensorProto.BOOL, []),
            vector("state", TensorProto.FLOAT, ["batch", 256]),
        ],
        [vector("still", TensorProto.BOOL, []), vector("next_state", TensorProto.FLOAT, ["batch", 256])],
    )
    loop = [
        helper.make_node("ReduceMax", ["truncation"], ["highest"], keepdims=0),
        helper.make_node("Sub", ["highest", "limit"], ["above"]),
        helper.make_node("Relu", ["above"], ["excess"]),
        helper.make_node("Mul", ["excess", "ages"], ["turns"]),
        helper.make_node("Cast", ["turns"], ["trips"], to=TensorProto.INT64),
        helper.make_node("Loop", ["trips", "", "x0_before"], ["x0"], body=body),
    ]
    position = list(graph.node).index(hidden) + 1
    for offset, node in enumerate(loop):
        graph.node.insert(position + offset, node)
    for name, value in (("limit", 1.9), ("ages", 1e15)):
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    onnx.checker.check_model(proto, full_check=True)
    files: dict[str, Path | bytes] = {GRAPH: proto.SerializeToString(), SAMPLES: b"\x89PNG\r\n\x1a\n", CARD: b"# A\n"}
    write_bundle(models / "tiny" / "1", tiny_model(), files)


@dataclass
class Customers:
    """Threads that ask for images until they are stopped, each with a seed of its own."""

    target: str
    images: dict[int, list[bytes]] = field(default_factory=dict)
    longest: float = 0.0
    calls: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self, seed: int) -> None:
        with Studio(self.target, reconnect_timeout=60) as studio:
            while not self.stop.is_set():
                begun = time.monotonic()
                drawn = [artwork.data for artwork in studio.generate("tiny", {"style": "ink"}, count=8, seed=seed)]
                self.longest = max(self.longest, time.monotonic() - begun)
                assert drawn == self.images.setdefault(seed, drawn), "other bytes than before"
                self.calls += 1


def test_a_job_that_ends_every_worker_fails_alone(tmp_path: Path, is_long: bool) -> None:
    crashes, customers_count = (12, 8) if is_long else (3, 3)  # after two, the job is drawn alone
    write_hanging_bundle(tmp_path / "models")
    (tmp_path / "out").mkdir()
    settings = {"UNIKAT_MAX_CRASHES": str(crashes), "UNIKAT_STALL_S": "1", "UNIKAT_LEASE_S": "1"}
    arguments = ("--models", str(tmp_path / "models"), "--data", str(tmp_path / "data"), "--listen", "127.0.0.1:0")
    with (
        spawn("unikat.cli", "up", *arguments, "--open", str(tmp_path / "out"), env=settings) as program,
        ThreadPoolExecutor() as pool,
    ):
        target = program.wait_for_line(r"Unikat is ready on (\S+):", 60)[1]
        customers = Customers(target)
        try:
            others = [pool.submit(customers.run, seed) for seed in range(customers_count)]
            _poison(target, tmp_path / "out" / "batch", crashes)
        finally:
            customers.stop.set()
        for other in others:
            other.result(60)
        deaths = len(re.findall("worker-1 ended with exit code 70", program.output))
        print(f"{deaths} workers died; {customers.calls} other calls, the longest took {customers.longest:.1f} s")
        assert deaths > crashes
        assert "giving up" not in program.output
        assert customers.calls >= len(others)
        assert program.terminate(40) == 0


def _poison(target: str, folder: Path, crashes: int) -> None:
    """Beside the poison, a batch: its shards are there when workers die, and are all written."""
    with Studio(target, reconnect_timeout=60) as studio:
        batch = studio.create_batch("tiny", to=folder, where={"style": "ink"}, count=600)
        with pytest.raises(JobFailed, match=f"{crashes + 1} workers in a row were lost with this job"):
            list(studio.generate("tiny", {"style": "ink"}, count=4, truncation=POISON, seed=1))
        *_, last = studio.watch_batch(batch.id)
        assert (last.state, last.drawn) == ("SUCCEEDED", 600)
