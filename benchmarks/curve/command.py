"""`python -m benchmarks curve`: how much one Valkey, one service and N workers carry, and where each gives way."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from redis import Redis

from benchmarks.curve.costs import Row
from benchmarks.curve.stack import sleeping
from benchmarks.peers.environments import cache_folder
from benchmarks.peers.harness import run_load
from benchmarks.peers.load import Load
from benchmarks.peers.rows import RESULTS, read_rows, write_rows
from benchmarks.peers.running import Running, running
from benchmarks.peers.usage import pss_mib
from benchmarks.reference import reference_bundles
from benchmarks.work import Setup

LOADS: Final = ((64, 1), (256, 1), (32, 8), (8, 64), (2, 512))  # clients, images a call


def measured(server: Running, workers: int, seconds: float) -> Iterator[Row]:
    """A row a load through every door: rate, CPU by part, bytes and commands of Valkey."""
    with Redis(unix_socket_path=str(server.folder / "valkey.sock")) as redis:
        for door in server.doors:
            for clients, count in LOADS:
                if count > 1 and door.transport != "stream":
                    continue
                before = traffic(redis)
                load = Load(door, server.order(0, count), server.job.port, clients, seconds, server.pids)
                served = run_load(load)
                after = traffic(redis)
                images = served.images_per_second
                every = {name: (after[name] - before[name]) / served.sent for name in after}
                yield {
                    "workers": workers, "door": door.name, "clients": clients, "count": count, **asdict(served),
                    "calls_per_second": round(images / count, 2),
                    "valkey_in_bytes": round(every["in"]), "valkey_out_bytes": round(every["out"]),
                    "valkey_commands": round(every["commands"], 2), "pss_mib": pss_mib(server.pids),
                }  # fmt: skip


def traffic(redis: Redis) -> dict[str, int]:
    """Bytes in and out and commands of Valkey so far."""
    stats = redis.info("stats")
    return {
        "in": stats["total_net_input_bytes"],
        "out": stats["total_net_output_bytes"],
        "commands": stats["total_commands_processed"],
    }


def curve(
    workers: Annotated[str, typer.Option(help="Comma-separated numbers of workers.")] = "1,2,4",
    batch_ms: Annotated[float, typer.Option(help="Milliseconds that the GPU takes for a batch.", min=0)] = 2.0,
    image_ms: Annotated[float, typer.Option(help="And for every image in it.", min=0)] = 0.1,
    seconds: Annotated[float, typer.Option(help="Seconds a load.", min=0.5)] = 4.0,
    append: Annotated[bool, typer.Option(help="Keep the rows of earlier runs: for measuring in slices.")] = False,
    results: Annotated[Path, typer.Option(help="Where rows are kept.")] = RESULTS / "curve.json",
) -> None:
    """Measure with GPUs that sleep; `python -m benchmarks report` writes docs/scaling.md from the rows."""
    bundle = reference_bundles(cache_folder() / "models")[0]
    rows = read_rows(results) if append else []
    for number in map(int, workers.split(",")):
        with running(sleeping(number, batch_ms, image_ms), (bundle.path,), Setup(2, 2), "pillow", same=False) as server:
            for row in measured(server, number, seconds):
                rows.append({"batch_ms": batch_ms, "image_ms": image_ms, **row})
                write_rows(results, rows)
                print(json.dumps(row), file=sys.stderr, flush=True)
