"""The harness that compares servers: requests, load, limits, costs, tables. The measuring itself is run by hand."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from benchmarks.curve.costs import fit, fit_parts
from benchmarks.curve.table import scaling
from benchmarks.figures import ROOT, newest
from benchmarks.limit import Shape, measure
from benchmarks.peers.calls import split
from benchmarks.peers.contenders import CONTENDERS, LANES, WIDE
from benchmarks.peers.doors import Door, Order, images_in, png_in, request
from benchmarks.peers.environments import NotInstalledError, environment
from benchmarks.peers.harness import Row, run_load
from benchmarks.peers.load import Load, asyncio_clients, blocking_clients, poisson
from benchmarks.peers.rows import read_rows, write_rows
from benchmarks.peers.running import NotServingError, running
from benchmarks.peers.table import calm, lines_of, tables
from benchmarks.peers.usage import cpu_seconds, kill_tree, pss_mib
from benchmarks.reference import reference_bundles
from benchmarks.report import essence
from benchmarks.work import REQUEST, Drawer, Job, Setup, conditions_of, encode_isal, encode_pillow
from unikat.bundle import Bundle
from unikat.v1.studio_pb2 import GenerateRequest

HTTP = Door("", "http", "/draw", "plain")
STUDIO = Door("Generate", "stream", "/unikat.v1.Studio/Generate", "studio")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    return reference_bundles(tmp_path_factory.mktemp("models"))


def test_reference_models_are_the_same_bytes_every_time(bundles: list[Bundle], tmp_path: Path) -> None:
    again = reference_bundles(tmp_path)
    assert [bundle.model.digest for bundle in again] == [bundle.model.digest for bundle in bundles]
    assert [bundle.model.width for bundle in bundles] == [64, 128]


def test_both_png_encoders_keep_every_pixel(bundles: list[Bundle]) -> None:
    pixels = Drawer(bundles[0].path, 1).pixels([3])[0]
    assert pixels.std() > 10  # a picture, not a plain
    for encode in (encode_pillow, encode_isal):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode(pixels)))), pixels)


def test_an_image_depends_on_its_seed_alone(bundles: list[Bundle]) -> None:
    drawer = Drawer(bundles[0].path, 1)
    together = drawer.pixels([3, 4, 5])
    assert np.array_equal(drawer.pixels([4])[0], together[1])
    assert not np.array_equal(together[0], together[1])


def test_a_model_with_alpha_is_drawn_on_white() -> None:
    pixels = Drawer(newest(ROOT / "models", "portraits").path, 1).pixels([3, 4])
    assert pixels.shape == (2, 64, 64, 3)
    assert (pixels[:, 0, 0] == 255).all()
    assert pixels.std() > 10


def test_a_studio_request_asks_for_the_conditions_that_the_limit_draws(bundles: list[Bundle]) -> None:
    message = GenerateRequest.FromString(request(STUDIO, Order(str(bundles[0].path), 0, count=32), 20))
    assert (message.model, message.count, message.seed, message.truncation) == ("reference-64@1", 32, 20, 1.0)
    chosen = conditions_of(20, [9, 9, 9])
    assert [(c.attribute, c.category) for c in message.conditions] == [(f"a{a}", f"c{c}") for a, c in enumerate(chosen)]


def test_a_png_is_found_in_an_answer_of_any_framing(bundles: list[Bundle]) -> None:
    image = Drawer(bundles[0].path, 1).draw([1])[0]
    answer = b"\x0a\x12" + image + b"behind it"
    assert images_in(answer) == 1
    assert png_in(answer) == image


def test_an_http_answer_is_complete_when_its_length_is_there() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
    assert split(head[:20]) is None
    assert split(head + b"ab") == (b"ab", 2)
    assert split(head + b"abcd") == (b"abcd", 0)
    with pytest.raises(OSError, match="503"):
        split(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


def test_arrivals_come_at_their_rate_and_the_same_each_time() -> None:
    moments = poisson(500.0, 10.0, 20.0, seed=4)
    assert moments == poisson(500.0, 10.0, 20.0, seed=4)
    assert 10 < moments[0] < moments[-1] < 20
    assert len(moments) == pytest.approx(5000, rel=0.1)


def serve(wait_s: float, images: int = 1) -> int:
    """A server of one-image answers that take `wait_s`, one at a time a connection; its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    body = b"\x89PNG\r\n\x1a\n" * images
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)

    def talk(connection: socket.socket) -> None:
        with connection:
            while connection.recv(4096):
                time.sleep(wait_s)
                connection.sendall(answer)

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return int(listener.getsockname()[1])


def load(port: int, clients: int, rate: float = 0.0, seconds: float = 1.0) -> Load:
    return Load(HTTP, Order("", 0), port, clients, seconds, {"server": psutil.Process().pid}, rate)


def test_a_closed_loop_measures_rate_and_latency() -> None:
    port = serve(0.05)
    one = blocking_clients(load(port, 1))
    assert one.p50_ms == pytest.approx(50, abs=15)
    assert one.images_per_second == pytest.approx(1000 / one.p50_ms, rel=0.2)
    four = asyncio.run(asyncio_clients(load(port, 4)))
    assert four.images_per_second > 2.5 * one.images_per_second
    assert set(four.cpu_ms) == {"server", "client"}
    assert four.others < (os.cpu_count() or 1)


def test_an_open_loop_counts_the_wait_from_the_moment_that_was_due() -> None:
    served = asyncio.run(asyncio_clients(load(serve(0.05), 0, rate=40.0)))
    assert served.calls == pytest.approx(40, abs=25)
    assert served.p50_ms >= 49


def test_a_server_that_leaves_an_image_out_is_found() -> None:
    with pytest.raises(RuntimeError, match="missing"):
        blocking_clients(load(serve(0.01, images=0), 1, seconds=0.2))


def test_a_load_that_fails_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = int(silent.getsockname()[1])
    with pytest.raises(NotServingError, match="refused"):
        run_load(load(port, 1, seconds=0.2))


def test_cpu_and_memory_are_those_of_the_whole_tree() -> None:
    burn = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'x = bytes(50_000_000)\\nwhile True: pass'])"
    parent = subprocess.Popen([sys.executable, "-c", burn])
    try:
        until = time.monotonic() + 20
        while cpu_seconds({"server": parent.pid})["server"] < 0.5:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert pss_mib({"server": parent.pid})["server"] > 10
        children = psutil.Process(parent.pid).children()
    finally:
        kill_tree(parent.pid)
        parent.wait()
    assert children
    assert not any(child.is_running() for child in children)


def test_what_does_not_install_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNIKAT_BENCH_CACHE", str(tmp_path))
    monkeypatch.setattr("benchmarks.peers.environments.COMMON", ())
    missing = tmp_path / "not-there.whl"
    with pytest.raises(NotInstalledError, match="not-there"):
        environment("none", (str(missing),))


def test_the_hand_made_server_draws_what_the_limit_draws(bundles: list[Bundle]) -> None:
    paths = tuple(bundle.path for bundle in bundles)
    with running(CONTENDERS["grpc"], paths, Setup(2, 1), "pillow") as server:
        assert set(server.pids) == {"server"}
        assert len(server.first_s) == 2
        served = run_load(Load(server.doors[0], server.order(1), server.job.port, 2, 1.0, server.pids))
    assert served.images_per_second > 1
    assert not psutil.pid_exists(server.pids["server"])


def test_a_server_that_does_not_start_is_refused_with_its_log(bundles: list[Bundle], tmp_path: Path) -> None:
    with (
        pytest.raises(NotServingError, match=r"model\.json"),
        running(CONTENDERS["grpc"], (tmp_path / "no-such" / "1",), Setup(1, 1), "pillow"),
    ):
        pass
    assert bundles


def test_a_job_goes_through_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job((Path("/a/1"), Path("/b/2")), Setup(2, 1), 5000, "isal")
    for name, value in job.environment().items():
        monkeypatch.setenv(name, value)
    assert Job.from_environment() == job
    assert REQUEST.unpack(REQUEST.pack(1, 2**63)) == (1, 2**63)


def test_the_limit_is_measured(bundles: list[Bundle]) -> None:
    limit = measure(bundles[0].path, Shape(2, 1, 1), 0.5)
    assert limit.images_per_second > 1
    assert limit.p50_ms > 0
    assert limit.cpu_ms > 0.1


def row(contender: str, clients: int, rate: float, setup: str, **more: object) -> Row:
    fields: Row = {
        "contender": contender, "door": "Generate" if contender == "unikat" else "", "setup": setup, "png": "pillow",
        "model": "reference-64@1", "kind": "closed", "clients": clients, "count": 1, "images_per_second": rate,
        "p50_ms": 10.0, "p99_ms": 20.0, "cpu_ms": {"server": 6.0, "client": 0.5}, "pss_mib": {"server": 100.0},
        "first_s": [1.0, 2.0], "limit": [300.0, 300.0], "share": rate / 300, "limit_ms": 4.0, "limit_cpu_ms": 5.0,
    }  # fmt: skip
    return fields | more


def test_the_table_shows_medians_and_the_best_first() -> None:
    setups = {name: str(CONTENDERS[name].setups[0]) for name in ("unikat", "mosec")}
    rows = [
        *(row("mosec", 64, rate, setups["mosec"]) for rate in (240.0, 210.0, 270.0)),
        row("mosec", 1, 90.0, str(CONTENDERS["mosec"].setups[1]), p50_ms=7.5),
        row("unikat", 64, 270.0, setups["unikat"]),
        row("unikat", 1, 100.0, setups["unikat"], p50_ms=6.5),
        row("unikat", 8, 285.0, setups["unikat"], count=32, share=0.95),
    ]
    assert [line.contender for line in lines_of(rows, "reference-64@1")] == ["unikat", "mosec"]
    text = "\n".join(tables(rows))
    assert "| mosec | – | – | 240 (0.80) |" in text
    assert "| reference-64@1, `Generate` | 0.95 | 2.5 | 1.00 | 1.00 |" in text


def test_a_disturbed_measurement_counts_only_where_there_is_no_other() -> None:
    good = row("mosec", 64, 240.0, str(LANES), others=0.02)
    busy = row("mosec", 64, 120.0, str(LANES), others=0.9)
    drifted = row("mosec", 64, 200.0, str(LANES), others=0.0, limit=[300.0, 150.0])
    lone = row("mosec", 1, 50.0, str(LANES), others=0.9)
    assert calm([good, busy, drifted, lone]) == [good, lone]


def test_the_readme_has_a_line_a_server() -> None:
    rows = [
        row("mosec", 64, 240.0, str(LANES), p99_ms=331.0),
        row("mosec", 1, 90.0, str(WIDE), p50_ms=7.5),
        row("mosec", 64, 85.0, str(LANES), model="reference-128@1", share=0.9, limit=[90.0, 90.0]),
        row("mosec", 1, 40.0, str(LANES), model="reference-128@1", p50_ms=26.0, limit=[90.0, 90.0]),
    ]
    assert list(essence(rows))[-1] == "| mosec | 0.80 · 331 | 7.5 | 0.90 · 20 | 26.0 | 100 | 1.0 |"


def test_rows_survive_being_written(tmp_path: Path) -> None:
    path = tmp_path / "results" / "peers.json"
    assert read_rows(path) == []
    rows = [row("mosec", 64, 240.0, str(LANES)), row("mosec", 8, 230.0, str(LANES))]
    write_rows(path, rows)
    assert read_rows(path) == rows


def test_costs_are_found_again() -> None:
    cost = fit({count: 0.5 + 0.1 * count for count in (1, 8, 512)})
    assert [cost.call_ms, cost.image_ms] == pytest.approx([0.5, 0.1])
    assert cost.images_per_second(1) == pytest.approx(1000 / 0.6)
    assert fit({1: 1.0, 10: 0.9}).image_ms == 0  # noise never makes a cost negative


def test_the_curve_becomes_a_page() -> None:
    def ran(count: int) -> Row:
        cpu = {"Valkey": 0.1 + 0.1 / count, "service": 0.2 / count, "worker 1": 0.1, "worker 2": 0.1, "client": 0.1}
        return {
            "workers": 2, "door": "Generate", "clients": 8, "count": count, "images_per_second": 1000.0,
            "calls_per_second": 1000.0 / count, "p50_ms": 5.0, "cpu_ms": cpu, "valkey_in_bytes": 9000,
            "valkey_out_bytes": 9000, "batch_ms": 2.0, "image_ms": 0.1,
        }  # fmt: skip

    rows = [ran(1), ran(32)]
    found = {part: [cost.call_ms, cost.image_ms] for part, cost in fit_parts(rows).items()}
    assert found["Valkey"] == pytest.approx([0.1, 0.1])
    assert found["worker"] == pytest.approx([0.0, 0.2], abs=1e-9)
    text = "\n".join(scaling(rows))
    assert "| 1 | 5,000 | 5,000 | 1.0 | 1.0 |" in text
