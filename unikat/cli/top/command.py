"""The command: frame after frame on a terminal, one in a pipe, JSON for programs."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from unikat.cli import options
from unikat.cli.output import print_json, stdout
from unikat.cli.redis import connected_redis
from unikat.cli.up.address import redis_url_of

if TYPE_CHECKING:
    from redis import Redis

    from unikat.queue.overview import Overview

PERIOD_S: Final = 1.0
_QUIT: Final = frozenset(b"qQ\x03\x04")


def top(
    redis_url: options.RedisUrl = None,
    data: options.Data = options.DEFAULT_DATA,
    once: Annotated[bool, typer.Option("--once", help="One frame, then leave. In a pipe there is only one.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON object a second instead of a screen; with --once, one.")
    ] = False,
) -> None:
    """Show queues, workers, rates, latencies, jobs and batches, again every second; q or Ctrl-C ends it.

    It reads Redis and writes nothing.
    """
    with connected_redis(redis_url, data, "unikat-top") as redis:
        from unikat.queue.clients import shown
        from unikat.queue.overview import read_overview

        overview = read_overview(redis)  # what is wrong with the address is said before the screen is taken
        place = shown(redis_url or redis_url_of(data))
        if as_json:
            _print_all(redis, overview, once)
        elif once or not sys.stdout.isatty():
            from unikat.cli.top.frame import EVERYTHING, frame

            console = stdout()
            console.soft_wrap = False
            console.print(frame(overview, place, EVERYTHING))
        else:
            _watch(redis, overview, place)


def _print_all(redis: Redis, overview: Overview, once: bool) -> None:
    from unikat.queue.overview import read_overview

    with _keys() as is_ended:
        while True:
            print_json(as_dict(overview))
            if once or is_ended(PERIOD_S):
                return
            overview = read_overview(redis)


def _watch(redis: Redis, overview: Overview, place: str) -> None:
    """Until somebody has enough. While Redis does not answer, the last frame stays, with the reason."""
    from redis import RedisError
    from rich.live import Live

    from unikat.cli.top.frame import Room, frame
    from unikat.queue.overview import read_overview

    console, trouble = stdout(), ""
    console.soft_wrap = False  # what is drawn over and over again must fit
    with _keys() as is_ended, Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(frame(overview, place, Room.of(console.height), trouble), refresh=True)
            if is_ended(PERIOD_S):
                return
            try:
                overview, trouble = read_overview(redis), ""
            except (RedisError, OSError) as error:
                trouble = f"Redis does not answer: {error}. What follows is old."


class _Keys:
    """Whether a key that ends it is pressed within `seconds`; another one ends the wait."""

    def __init__(self, is_terminal: bool) -> None:
        self._is_terminal = is_terminal

    def __call__(self, seconds: float) -> bool:
        ready, _, _ = select.select([sys.stdin] if self._is_terminal else [], [], [], seconds)
        if not ready:
            return False
        keys = os.read(sys.stdin.fileno(), 1024)  # `sys.stdin` would keep what `select` does not see
        return not keys or not _QUIT.isdisjoint(keys)  # a terminal that is gone reads as ended


@contextmanager
def _keys() -> Iterator[_Keys]:
    """Keys without Return, until the end of the block."""
    if not sys.stdin.isatty():
        yield _Keys(False)
        return
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield _Keys(True)
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def as_dict(overview: Overview) -> dict[str, Any]:
    """An overview for programs: all of it, and the percentiles of each stage's latency."""
    from google.protobuf.json_format import MessageToDict

    from unikat.queue.overview import percentile

    latencies = {
        stage: {f"p{percent}": percentile(times, percent) for percent in (50, 95)} | {"jobs": len(times)}
        for stage, times in overview.latencies.items()
        if times
    }
    workers = [
        asdict(worker.status) | {"busy": worker.is_busy, "beat_age": worker.age, "activity": _activity(worker.activity)}
        for worker in overview.workers
    ]
    batches = [MessageToDict(each.record.to_message()) | {"waitingShards": each.waiting} for each in overview.batches]
    return {
        "at": overview.at, "memory": overview.memory, "max_memory": overview.max_memory,
        "queues": [asdict(queue) for queue in overview.queues], "workers": workers, "latencies": latencies,
        "batches": batches, "open_batches": overview.open_batches, "unreadable": list(overview.unreadable),
    }  # fmt: skip


def _activity(activity: Any) -> dict[str, Any] | None:  # noqa: ANN401  (its module is loaded by the command only)
    if activity is None:
        return None
    facts = asdict(activity)
    del facts["recent"]  # the latencies say what matters of it
    return facts
