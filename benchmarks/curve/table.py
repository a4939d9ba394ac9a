"""Rows of `python -m benchmarks curve` to what docs/scaling.md says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.curve.costs import Cost, Row, fit_parts, part_of

PARTS: Final = ("Valkey", "service", "worker")
EXAMPLES: Final = (1, 8, 32, 512)  # images a call


def scaling(rows: Sequence[Row]) -> list[str]:
    """Markdown: what ran, what a call and an image cost, what a core carries, and how many of each fit together."""
    first = rows[0]
    lines = [
        f"A GPU that takes {first['batch_ms']:g} ms a batch and {first['image_ms']:g} ms an image more.", "",
        *measured_table(rows), "",
    ]  # fmt: skip
    for door in dict.fromkeys(row["door"] for row in rows):
        of = [row for row in rows if row["door"] == door]
        lines += [f"`{door}`:", "", *cost_table(fit_parts(of), of), ""]
    return [*lines, *ratios(fit_parts(streamed(rows)))]


def streamed(rows: Sequence[Row]) -> list[Row]:
    """The rows of the door that has calls of several images."""
    return [row for row in rows if row["door"] == "Generate"]


def measured_table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: every load as it ran."""
    yield (
        "| workers | method | clients × images a call | images/s | calls/s | MB/s into Valkey · out of it | p50 ms "
        "| cores busy: Valkey | service | workers | clients |"
    )
    yield "| ---: | --- | ---: |" + " ---: |" * 8
    for row in rows:
        busy = dict.fromkeys((*PARTS, "client"), 0.0)
        for name, value in row["cpu_ms"].items():
            busy[part_of(name)] += value * row["images_per_second"] / 1000
        traffic = " · ".join(
            f"{row[name] * row['calls_per_second'] / 1e6:.1f}" for name in ("valkey_in_bytes", "valkey_out_bytes")
        )
        cores = " | ".join(f"{busy[name]:.2f}" for name in (*PARTS, "client"))
        rates = f"{row['images_per_second']:,.0f} | {row['calls_per_second']:,.0f}"
        yield (
            f"| {row['workers']} | `{row['door']}` | {row['clients']} × {row['count']} "
            f"| {rates} | {traffic} | {row['p50_ms']:.0f} | {cores} |"
        )


def cost_table(costs: dict[str, Cost], rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: CPU a call and an image by part, and what a core of it carries."""
    counts = [count for count in EXAMPLES if count == 1 or any(row["count"] > 1 for row in rows)]
    carried = " | ".join(f"images/s a core, calls of {count}" for count in counts)
    yield f"| | CPU ms a call | CPU ms an image | {carried} |"
    yield "| --- | ---: | ---: |" + " ---: |" * len(counts)
    for part in PARTS:
        cost = costs[part]
        rates = " | ".join(f"{cost.images_per_second(count):,.0f}" for count in counts)
        yield f"| {part} | {cost.call_ms:.3f} | {cost.image_ms:.3f} | {rates} |"


def ratios(costs: dict[str, Cost]) -> Iterator[str]:
    """Markdown: how many services and workers one Valkey feeds before its one core is full."""
    yield "| images a call | one Valkey carries: images/s | calls/s | services that it feeds | workers (a core each) |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for count in EXAMPLES:
        rate = costs["Valkey"].images_per_second(count)
        services, workers = (rate / costs[part].images_per_second(count) for part in ("service", "worker"))
        yield f"| {count} | {rate:,.0f} | {rate / count:,.0f} | {services:.1f} | {workers:.1f} |"
