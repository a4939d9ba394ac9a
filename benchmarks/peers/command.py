"""`python -m benchmarks peers`: Unikat beside other servers, the same work, the same load, the same cores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.figures import ROOT, newest
from benchmarks.peers.contenders import CONTENDERS
from benchmarks.peers.environments import cache_folder
from benchmarks.peers.harness import Plan, Row, measure
from benchmarks.peers.rows import RESULTS, read_rows, write_rows
from benchmarks.peers.table import calm, tables
from benchmarks.reference import reference_bundles


def peers(
    contenders: Annotated[str, typer.Option(help="Comma-separated: " + ", ".join(CONTENDERS))] = ",".join(CONTENDERS),
    models: Annotated[
        str, typer.Option(help='"reference" (both reference models), or comma-separated names of shipped models.')
    ] = "reference",
    rounds: Annotated[int, typer.Option(help="Visits to each contender; the table shows medians.", min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="Seconds a load.", min=0.5)] = 4.0,
    png: Annotated[str, typer.Option(help="PNG encoder of the limit and the peers: pillow or isal.")] = "isal",
    append: Annotated[bool, typer.Option(help="Keep the rows of earlier runs: for measuring in slices.")] = False,
    results: Annotated[Path, typer.Option(help="Where rows are kept.")] = RESULTS / "peers.json",
) -> None:
    """Measure Unikat beside LitServe, mosec, BentoML, Ray Serve, Triton and a hand-made server; print the table."""
    unknown = [name for name in contenders.split(",") if name not in CONTENDERS]
    if unknown:
        raise typer.BadParameter(f"--contenders: unknown {', '.join(unknown)}; choose from {', '.join(CONTENDERS)}")
    if models == "reference":
        bundles = reference_bundles(cache_folder() / "models")
    else:
        bundles = [newest(ROOT / "models", name) for name in models.split(",")]
    rows = read_rows(results) if append else []

    def keep(row: Row) -> None:
        rows.append(row)
        write_rows(results, rows)
        print(
            f"{row['contender']} {row['door']} {row['setup']} {row['model']}: {row['clients']} × {row['count']} "
            f"{row['kind']}: {row['images_per_second']:.0f} images/s, {row['share']:.2f} of the limit, "
            f"p50 {row['p50_ms']:.1f} ms, p99 {row['p99_ms']:.1f} ms",
            file=sys.stderr, flush=True,
        )  # fmt: skip

    def refused(name: str, reason: str) -> None:
        print(f"{name}: {reason}", file=sys.stderr, flush=True)

    plan = Plan(tuple(bundles), seconds=seconds, png=png)
    measure([CONTENDERS[name] for name in contenders.split(",")], plan, rounds, keep, refused)
    print("\n".join(tables(calm(rows))))
