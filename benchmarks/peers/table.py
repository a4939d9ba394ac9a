"""Rows of measurements to the tables that people read: medians over rounds, ratios of neighbours in time."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.peers.contenders import CONTENDERS

Row = dict[str, Any]
MANY: Final = 64  # clients of the column that is compared
MAX_OTHERS: Final = 0.15  # cores that other programs may use during a load
MAX_DRIFT: Final = 1.2  # of the limit from before a model's loads to after


@dataclass(frozen=True)
class Line:
    """A contender's rows at one model, through one door."""

    contender: str
    door: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Its name for people."""
        title = CONTENDERS[self.contender].title
        return f"{title}, `{self.door}`" if self.door else title

    def median(self, read: Callable[[Row], float], **where: object) -> float | None:
        """Median of a figure over the rows that agree with `where`; None without any."""
        values = [read(row) for row in self.rows if all(row[name] == value for name, value in where.items())]
        return statistics.median(values) if values else None

    def closed(self, read: Callable[[Row], float], clients: int) -> float | None:
        """Of closed loops of one-image calls, in the set-up for throughput."""
        return self.median(read, kind="closed", clients=clients, count=1, setup=self.setups[0])

    def mark(self, clients: int) -> str:
        """An asterisk for figures of `closed` during which other programs used the machine."""
        where = {"kind": "closed", "clients": clients, "count": 1, "setup": self.setups[0]}
        rows = [row for row in self.rows if all(row[name] == value for name, value in where.items())]
        return "" if all(map(is_calm, rows)) else "*"

    @property
    def setups(self) -> list[str]:
        """Its set-ups, the one for throughput first."""
        return [str(setup) for setup in CONTENDERS[self.contender].setups]

    def lone_ms(self) -> list[float]:
        """Median wait of one client in each set-up, ms."""
        found = [self.median(p50_of, kind="closed", clients=1, count=1, setup=setup) for setup in self.setups]
        return [value for value in found if value is not None]


def p50_of(row: Row) -> float:
    """Median wait of a call, ms."""
    return float(row["p50_ms"])


def p99_of(row: Row) -> float:
    """99th percentile of the wait, ms."""
    return float(row["p99_ms"])


def rate_of(row: Row) -> float:
    """Images a second."""
    return float(row["images_per_second"])


def share_of(row: Row) -> float:
    """Images a second, of the limit measured just before and after."""
    return float(row["share"])


def _beside_ms(row: Row) -> float:
    """CPU time of the server beside drawing and encoding: what it uses less what the limit's process uses."""
    return sum(_server_cpu(row).values()) - float(row["limit_cpu_ms"])


def _server_cpu(row: Row) -> dict[str, float]:
    return {part: value for part, value in row["cpu_ms"].items() if part != "client"}


def lines_of(rows: Sequence[Row], model: str) -> list[Line]:
    """A line a contender and door, the best at many clients first."""
    found = {(row["contender"], row["door"]): None for row in rows if row["model"] == model}
    lines = [
        Line(
            key[0], key[1], tuple(row for row in rows if (row["contender"], row["door"], row["model"]) == (*key, model))
        )
        for key in found
    ]
    return sorted(lines, key=lambda line: -(line.closed(share_of, MANY) or 0.0))


def models_of(rows: Sequence[Row]) -> list[str]:
    """The models that were measured, the cheapest first."""
    limits: dict[str, float] = {}
    for row in rows:
        limits[row["model"]] = max(limits.get(row["model"], 0.0), *row["limit"])
    return sorted(limits, key=lambda model: -limits[model])


def is_calm(row: Row) -> bool:
    """Nobody else used the machine: neither meanwhile nor, as the limits show, just before or after."""
    low, high = sorted(row["limit"])
    return bool(row.get("others", 0.0) <= MAX_OTHERS and high <= MAX_DRIFT * low)


def calm(rows: Sequence[Row]) -> list[Row]:
    """The rows without those that were disturbed, wherever the same load was measured undisturbed too."""
    names = ("contender", "door", "setup", "model", "kind", "clients", "count")
    good = {tuple(row[name] for name in names) for row in rows if is_calm(row)}
    return [row for row in rows if is_calm(row) or tuple(row[name] for name in names) not in good]


def tables(rows: Sequence[Row]) -> list[str]:
    """Markdown: a table of speed a model, one of memory and start, one of Unikat's own costs."""
    lines: list[str] = []
    for model in models_of(rows):
        lines += [f"**{model}** — {limit_text(rows, model)}", "", *speed_table(lines_of(rows, model)), ""]
    return [*lines, *memory_table(rows), "", *unikat_table(rows)]


def limit_text(rows: Sequence[Row], model: str) -> str:
    """The limit of a model in words."""
    of = [row for row in rows if row["model"] == model and row["count"] == 1]
    rate = statistics.median(value for row in of for value in row["limit"])
    wait = statistics.median(row["limit_ms"] for row in of)
    cpu = statistics.median(row["limit_cpu_ms"] for row in of)
    return f"limit {rate:,.0f} images/s, {wait:.1f} ms one image alone, {cpu:.2f} ms of CPU an image"


def speed_table(lines: Sequence[Line]) -> Iterator[str]:
    """Markdown: throughput, latency and CPU of one-image calls."""
    yield (
        "| server | images/s (of the limit), 1 client | 8 clients | 64 clients | 64 clients: p50 · p99 ms "
        "| open loop at .7 of the limit: p50 · p99 ms | 1 client p50 ms, by set-up "
        "| CPU ms an image at 64 clients | of the clients |"
    )
    yield "| --- |" + " ---: |" * 8
    for line in lines:
        rates = [
            _rated(line.closed(rate_of, clients), line.closed(share_of, clients)) + markdown(line.mark(clients))
            for clients in (1, 8, MANY)
        ]
        closed = _pair(line.closed(p50_of, MANY), line.closed(p99_of, MANY))
        opened = _pair(line.median(p50_of, kind="open"), line.median(p99_of, kind="open"))
        lone = " / ".join(f"{value:.1f}" for value in line.lone_ms()) or "–"
        client = _figure(line.closed(lambda row: row["cpu_ms"]["client"], MANY), 2)
        yield f"| {line.title} | {' | '.join(rates)} | {closed} | {opened} | {lone} | {_cpu(line)} | {client} |"


def _cpu(line: Line) -> str:
    rows = [row for row in line.rows if row["kind"] == "closed" and row["clients"] == MANY and row["count"] == 1]
    if not rows:
        return "–"
    parts = {part: statistics.median(_server_cpu(row)[part] for row in rows) for part in _server_cpu(rows[0])}
    total = f"{sum(parts.values()):.2f}"
    return (
        total if len(parts) == 1 else f"{total} ({', '.join(f'{part} {value:.2f}' for part, value in parts.items())})"
    )


def memory_table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: memory after the heaviest load, and how long it takes from the start to the images of the models."""
    yield "| server, all models loaded | memory, MiB (PSS of the tree) | start to first image, s | of every model |"
    yield "| --- | ---: | ---: | ---: |"
    for contender in dict.fromkeys(row["contender"] for row in rows):
        of = [row for row in rows if row["contender"] == contender]
        parts = pss_of(of)
        each = "" if len(parts) == 1 else f" ({', '.join(f'{part} {value:.0f}' for part, value in parts.items())})"
        last = statistics.median(max(row["first_s"]) for row in of)
        yield f"| {CONTENDERS[contender].title} | {sum(parts.values()):,.0f}{each} | {start_of(of):.1f} | {last:.1f} |"


def pss_of(rows: Sequence[Row]) -> dict[str, float]:
    """MiB of each part of a contender in its set-up for throughput: the largest that was read after a load."""
    of = [row for row in rows if row["setup"] == str(CONTENDERS[row["contender"]].setups[0])]
    return {part: max(row["pss_mib"][part] for row in of) for part in of[0]["pss_mib"]}


def start_of(rows: Sequence[Row]) -> float:
    """Median seconds from the start to the first image."""
    return statistics.median(float(min(row["first_s"])) for row in rows)


def unikat_table(rows: Sequence[Row]) -> Iterator[str]:
    """Markdown: what Unikat is held to beside the comparison."""
    yield (
        "| Unikat | calls of 32 images, of the best limit | 1 client p50 − one image alone, ms "
        "| CPU beside drawing and encoding, ms a one-image call at 64 clients | ms an image of a call of 32 |"
    )
    yield "| --- | ---: | ---: | ---: | ---: |"
    for model in models_of(rows):
        for line in lines_of(rows, model):
            if line.contender != "unikat":
                continue
            large = [row for row in line.rows if row["count"] > 1]
            lone = line.closed(lambda row: float(row["p50_ms"] - row["limit_ms"]), 1)
            beside = line.closed(_beside_ms, MANY)
            share = _figure(statistics.median(map(share_of, large)), 2) if large else "–"
            cost = _figure(statistics.median(map(_beside_ms, large)), 2) if large else "–"
            yield f"| {model}, `{line.door}` | {share} | {_figure(lone, 1)} | {_figure(beside, 2)} | {cost} |"


def markdown(mark: str) -> str:
    """A mark that is no emphasis."""
    return mark.replace("*", r"\*")


def _figure(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _rated(rate: float | None, share: float | None) -> str:
    return "–" if rate is None or share is None else f"{rate:,.0f} ({share:.2f})"


def _pair(p50: float | None, p99: float | None) -> str:
    return "–" if p50 is None or p99 is None else f"{p50:.1f} · {p99:.1f}"
