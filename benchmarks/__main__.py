"""`python -m benchmarks`: the figures of benchmarks/README.md; `--write` puts them there.

One service and one worker over one Valkey on this machine, the clients in a process beside them: everything shares the
cores. The limit is a plain ONNX Runtime loop (benchmarks/limit.py), measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.figures import ROOT, machine, newest, write
from benchmarks.limit import Shape, images_per_second
from benchmarks.programs import Reading
from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program
from unikat.bundle import Bundle, key_of

SHAPES = (Shape(1, 1, 1), Shape(1, 2, 1), Shape(2, 1, 1), Shape(1, 2, 32), Shape(2, 1, 32))


def load(stack: Stack, model: str, clients: int, count: int, seconds: float) -> dict[str, float]:
    """Run the clients in their own process; what they measured."""
    command = [sys.executable, "-m", "benchmarks.load", stack.target, model, str(clients), str(count), str(seconds)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds + 120)
    if result.returncode:
        raise SystemExit(result.stderr)
    measured: dict[str, float] = json.loads(result.stdout)
    return measured


def limit_table(bundle: Bundle, seconds: float) -> tuple[list[str], dict[str, float]]:
    """Markdown, and the best loops by batch."""
    lines = ["| plain loop | images/s |", "| --- | ---: |"]
    best: dict[str, float] = {"1": 0.0, "32": 0.0}
    for shape in SHAPES:
        rate = images_per_second(bundle, shape, seconds)
        best[str(shape.batch)] = max(best[str(shape.batch)], rate)
        lines.append(f"| {shape} | {rate:,.0f} |")
    return lines, best


def load_table(stack: Stack, model: str, best: dict[str, float], seconds: float) -> Iterator[str]:
    """Markdown: throughput, latency, CPU and Redis commands of each kind of load."""
    yield (
        "| clients × images a call | images/s | of the loop, batch 1 | of the loop, batch 32 | p50 ms | p99 ms "
        "| CPU ms an image: service | worker | Valkey | Redis commands an image |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for clients, count in ((1, 1), (8, 1), (64, 1), (8, 32), (1, 2000)):
        before = Reading.of(stack)
        m = load(stack, model, clients, count, seconds)
        after = Reading.of(stack)
        cpu = after.cpu_ms(before, round(m["images"]))
        cpu_columns = " | ".join(f"{cpu[name]:.2f}" for name in ("service", "worker", "Valkey"))
        commands = sum(after.commands.values()) - sum(before.commands.values())
        rate = m["images_per_second"]
        yield (
            f"| {clients} × {count} | {rate:,.0f} | {rate / best['1']:.2f} | {rate / best['32']:.2f} "
            f"| {m['p50_ms']:.1f} | {m['p99_ms']:.1f} | {cpu_columns} "
            f"| {commands / m['images']:.1f} |"
        )


def memory_lines(stack: Stack) -> Iterator[str]:
    """Markdown: resident memory after the load."""
    assert stack.service is not None
    for name, program in (("service", stack.service), ("worker", stack.workers[0])):
        resident = psutil.Process(program.process.pid).memory_info().rss
        yield f"| {name}, memory after the load | {resident / 2**20:.0f} MiB |"


def cold_start(stack: Stack, name: str, runs: int = 5) -> float:
    """Median seconds from starting the program to its ready line."""
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        with Program(f"unikat_{name}", env=stack.env | {"UNIKAT_LISTEN": "127.0.0.1:0"}) as program:
            program.wait_for_line(f"{name} ready")
            taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def report(models: Path, name: str, seconds: float) -> list[str]:
    """All figures, as Markdown."""
    bundle = newest(models, name)
    cores = len(os.sched_getaffinity(0))
    lines = [f"{machine(bundle)}, {seconds:.0f} s a figure.", ""]
    table, best = limit_table(bundle, seconds)
    lines += [*table, ""]
    with running_stack(models, workers=1, fsync="everysec", UNIKAT_THREADS=str(cores)) as stack:
        lines += [*load_table(stack, key_of(bundle.model), best, seconds), ""]
        lines += ["| | |", "| --- | ---: |", *memory_lines(stack)]
        for program in ("service", "worker"):
            lines.append(f"| {program}, cold start | {cold_start(stack, program):.2f} s |")
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--models", type=Path, default=ROOT / "models", help="folder of bundles")
    parser.add_argument("--model", default="emoji", help="its newest version is measured")
    parser.add_argument("--seconds", type=float, default=8.0, help="seconds a figure; longer is steadier")
    parser.add_argument("--write", action="store_true", help="write the figures into benchmarks/README.md")
    options = parser.parse_args()
    figures = report(options.models, options.model, options.seconds)
    print("\n".join(figures))
    if options.write:
        write("figures", figures)
