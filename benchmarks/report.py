"""`python -m benchmarks report`: the tables and plots of README.md, benchmarks/README.md and docs/scaling.md.

They are made from the rows of the last runs (benchmarks/results), so that what is read is what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from benchmarks.curve.costs import fit_parts
from benchmarks.curve.table import scaling, streamed
from benchmarks.figures import README, ROOT, write
from benchmarks.peers.rows import RESULTS, read_machine, read_rows
from benchmarks.peers.table import (
    MANY,
    Line,
    Row,
    calm,
    is_calm,
    lines_of,
    markdown,
    models_of,
    p99_of,
    pss_of,
    share_of,
    start_of,
    tables,
)
from benchmarks.plots import draw_curve, draw_peers

IMAGES: Final = ROOT / "docs" / "images"


def essence(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown for the README: one line a contender, columns of each model, memory and start."""
    models = models_of(rows)
    speed = " | ".join(f"{model}, {MANY} clients: of the limit · p99 ms | 1 client: p50 ms" for model in models)
    yield f"| | {speed} | memory, MiB | start to first image, s |"
    yield "| --- |" + " ---: |" * (2 * len(models) + 2)
    by_model = {model: {(line.contender, line.door): line for line in lines_of(rows, model)} for model in models}
    for key, line in by_model[models[0]].items():
        cells = [_speed(by_model[model].get(key)) for model in models]
        of = [row for row in rows if row["contender"] == line.contender]
        yield f"| {line.title} | {' | '.join(cells)} | {sum(pss_of(of).values()):,.0f} | {start_of(of):.1f} |"


def _speed(line: Line | None) -> str:
    share = line.closed(share_of, MANY) if line else None
    p99 = line.closed(p99_of, MANY) if line else None
    if line is None or share is None or p99 is None:
        return "– | –"
    return f"{share:.2f}{markdown(line.mark(MANY))} · {p99:,.0f} | {min(line.lone_ms()):.1f}"


def conditions(machine: dict[str, str], every: Sequence[Row], rows: Sequence[Row]) -> str:
    """What the figures depend on, in two sentences: `rows` are those of `every` that count."""
    disturbed = sum(not is_calm(row) for row in rows)
    rounds = max(sum(row["kind"] == "open" for row in line.rows) for line in lines_of(rows, models_of(rows)[0]))
    said = "one round" if rounds == 1 else f"medians of up to {rounds} rounds"
    return (
        f"{machine['machine']}, onnxruntime {machine['onnxruntime']}, Python {machine['python']}; "
        f"{said}; PNG by {rows[0]['png']} in the limit and the peers. Of {len(every)} "
        f"measurements {len(every) - len(rows)} were left out because other programs used the machine meanwhile; "
        f"{disturbed} that are shown were disturbed, too (throughput of these: \\*)."
    )


def report() -> None:
    """Write tables and plots from benchmarks/results into README.md, benchmarks/README.md and docs/scaling.md."""
    peers = RESULTS / "peers.json"
    every = read_rows(peers)
    rows = calm(every)
    if rows:
        said = conditions(read_machine(peers), every, rows)
        write("peers", [said, "", *tables(rows)])
        write("peers", [*essence(rows), "", said], ROOT / "README.md")
        draw_peers(rows, IMAGES / "peers.png")
    curve = read_rows(RESULTS / "curve.json")
    if curve:
        write("curve", scaling(curve), ROOT / "docs" / "scaling.md")
        draw_curve(fit_parts(streamed(curve)), streamed(curve), IMAGES / "scaling.png")
    print(f"{len(rows)} rows of peers and {len(curve)} of the curve, written into {README.parent.parent}")
