"""One frame of `unikat top`: an overview as tables that can be read in 80 columns."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from unikat.cli.batch.words import rate, seconds, span
from unikat.cli.output import counted
from unikat.printable import printable
from unikat.queue.activity import STAGES, Running
from unikat.queue.overview import LiveWorker, ModelQueue, Overview, percentile
from unikat.queue.server import FULL
from unikat.queue.workers import LATE_BEAT_S
from unikat.v1.batches_pb2 import Batch

_BAR: Final = 10  # columns
_OLDEST: Final = 5  # jobs that are named
_STALE: Final = "red"


class Room(NamedTuple):
    """Rows that tables may have at most: more is counted."""

    queues: int
    workers: int
    batches: int

    @classmethod
    def of(cls, height: int) -> Room:
        """What a terminal of so many lines has room for, beside the heads and the latencies."""
        left = max(6, height - 22)
        return cls(max(2, left // 3), max(2, left // 3), max(2, left // 3))


EVERYTHING: Final = Room(1000, 1000, 1000)  # for a frame that no screen holds


def frame(overview: Overview, place: str, room: Room, trouble: str = "") -> RenderableType:
    """All tables. `place` is the Redis that was read; `trouble`: why this frame is an old one."""
    parts: list[RenderableType] = [_head(overview, place)]
    if trouble:
        parts.append(Text(trouble, style="bold red", overflow="ellipsis", no_wrap=True))
    parts.append(_summary(overview))
    parts += _section(_queues(overview.queues, room.queues), "Models", _idle_models(overview))
    parts += _section(
        _workers(overview.workers, room.workers), "Workers", "none is alive: start one with `unikat work`"
    )
    parts += _section(_latencies(overview), "Latency", "no job was finished in the last minute")
    parts += _section(_oldest(overview.workers), "Oldest jobs in hand", "")
    parts += _section(_batches(overview, room.batches), "Batches", "")
    parts += [
        Text(printable(f"worker {name} says what cannot be read"), style="yellow") for name in overview.unreadable
    ]
    return Group(*parts)


def _section(table: Table | None, title: str, nothing: str) -> list[RenderableType]:
    """A table under its title; where there is none, what that means, or nothing at all."""
    if table is None and not nothing:
        return []
    return [Text(f"\n{title}", style="bold"), table if table is not None else Text(f"  {nothing}", style="dim")]


def _head(overview: Overview, place: str) -> Table:
    line = Table.grid(expand=True)
    line.add_column(ratio=1, overflow="ellipsis", no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    of = f" of {size(overview.max_memory)}" if overview.max_memory else ""
    is_full = overview.max_memory and overview.memory > FULL * overview.max_memory
    memory = Text(f"{size(overview.memory)}{of}", style="bold red" if is_full else "")
    clock = time.strftime("%H:%M:%S", time.localtime(overview.at))
    line.add_row(Text.assemble(("Unikat", "bold"), f"  {place}  ", memory), clock)
    return line


def _summary(overview: Overview) -> Text:
    waiting = sum(queue.jobs for queue in overview.queues)
    work = [queue.work_s for queue in overview.queues if queue.jobs]
    known = f" ({seconds(sum(each for each in work if each))})" if work and None not in work else ""
    doing = [worker.activity for worker in overview.workers if worker.activity is not None]
    shards = sum(each.shards for each in doing)
    hand = counted(sum(each.jobs for each in doing), "job") + (f" + {counted(shards, 'shard')}" if shards else "")
    speed = rate(sum(each.images_per_second for each in doing)) or "0 images/s"
    left = f" ({seconds(sum(each.work_s for each in doing))})"
    return Text.assemble(
        ("waiting ", "dim"), f"{counted(waiting, 'job')}{known}   ", ("in hand ", "dim"), f"{hand}{left}   ",
        speed,
    )  # fmt: skip


def _shown(name: str) -> Text:
    """A name of others, as wide as it is shown: without a character that acts."""
    return Text(printable(name))


def _table(*columns: str, giving: Sequence[int] = (0,)) -> Table:
    """Columns of which those whose names end with "#" are numbers; those at the places `giving` give way first."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", show_edge=False)
    for place, name in enumerate(columns):
        is_number = name.endswith("#")
        table.add_column(
            name.rstrip("#"), justify="right" if is_number else "left", no_wrap=place not in giving,
            overflow="ellipsis",
        )  # fmt: skip
    return table


def _more(table: Table, count: int, room: int, noun: str) -> Table:
    if count > room:
        table.add_row(Text(f"and {counted(count - room, noun)} more", style="dim"))
    return table


def _idle_models(overview: Overview) -> str:
    return "no worker has a model: put a bundle into their models folder" if overview.workers else "none is served"


def _queues(queues: Sequence[ModelQueue], room: int) -> Table | None:
    if not queues:
        return None
    table = _table("model", "waiting#", "work#", "callers#", "workers#")
    ordered = sorted(queues, key=lambda queue: (-queue.jobs, queue.model))
    for queue in ordered[:room]:
        work = "?" if queue.work_s is None else seconds(queue.work_s) if queue.jobs else ""
        workers = Text(str(queue.workers), style="" if queue.workers else "bold red")
        table.add_row(_shown(queue.model), f"{queue.jobs:,}", work, str(queue.callers or ""), workers)
    return _more(table, len(queues), room, "model")


def _workers(workers: Sequence[LiveWorker], room: int) -> Table | None:
    if not workers:
        return None
    table = _table("name", "state", "models", "images/s#", "in hand#", "work#", "memory#", "beat#", giving=(0, 2))
    for worker in workers[:room]:
        doing = worker.activity
        beat = Text(f"{worker.age:.1f} s", style=_STALE if worker.age > LATE_BEAT_S else "")
        numbers = ["", "", "", ""]
        if doing is not None:
            hand = f"{doing.jobs}+{doing.shards}" if doing.shards else str(doing.jobs)
            numbers = [f"{doing.images_per_second:,.1f}", hand, seconds(doing.work_s), size(doing.memory)]
        state = Text("busy", style="green") if worker.is_busy else Text("idle", style="dim")
        table.add_row(_shown(worker.status.name), state, _shown(_names(worker.status.models)), *numbers, beat)
    return _more(table, len(workers), room, "worker")


def _names(models: Iterable[str]) -> str:
    """ "emoji@2 +3": the first of them, and how many more."""
    every = sorted(models)
    more = f"\u00a0+{len(every) - 1}" if len(every) > 1 else ""  # a blank at which no line ends
    return every[0] + more if every else "none"


def _latencies(overview: Overview) -> Table | None:
    latencies = overview.latencies
    count = len(latencies[STAGES[0]])
    if not count:
        return None
    table = _table(f"of {counted(count, 'job')}", *(f"{stage}#" for stage in STAGES), giving=())
    for percent in (50, 95):
        table.add_row(f"p{percent}", *(seconds(percentile(latencies[stage], percent)) for stage in STAGES))
    return table


def _oldest(workers: Iterable[LiveWorker]) -> Table | None:
    running = [(job, worker.status.name) for worker in workers if worker.activity for job in worker.activity.oldest]
    if not running:
        return None
    table = _table("job", "model", "caller", "worker", "images#", "age#", giving=(0, 2, 3))
    for job, worker in sorted(running, key=lambda each: -each[0].age)[:_OLDEST]:
        table.add_row(*map(_shown, (job.id, job.model, job.caller, worker, images(job), seconds(job.age))))
    return table


def images(job: Running) -> str:
    """ "3/16"."""
    return f"{job.done:,}/{job.images:,}"


def _batches(overview: Overview, room: int) -> Table | None:
    if not overview.batches:
        return None
    table = _table("batch", "owner", "model", "", "images#", "", giving=(1,))
    for each in overview.batches[:room]:
        batch = each.record.to_message()
        done = batch.drawn_count + batch.refused_count
        bar = ProgressBar(total=max(1, batch.total_count), completed=done, width=_BAR)
        counts = f"{done:,}/{batch.total_count:,}"
        words = (batch.id, batch.owner, batch.model)
        table.add_row(*map(_shown, words), bar, counts, _outlook(batch))
    return _more(table, overview.open_batches, min(room, len(overview.batches)), "batch")


def _outlook(batch: Batch) -> Text:
    if batch.HasField("pause"):
        return Text("paused", style="yellow")
    return Text(span(batch.remaining.ToTimedelta().total_seconds()) if batch.HasField("remaining") else "")


def size(amount: float) -> str:
    """ "34 MB", of 2**20 bytes each."""
    return f"{amount / 2**20:,.0f} MB" if amount < 2**30 else f"{amount / 2**30:,.1f} GB"
