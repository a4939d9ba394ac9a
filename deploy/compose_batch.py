"""The batch of the compose test: a worker is killed while it draws, and the files are complete."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from deploy.engine import Stack
from deploy.promises import PAUSE_LIMIT, ask_valkey, console, container_of_host, require
from unikat.batch import Batch, BatchState
from unikat.batches.verify import pick, verify
from unikat.cli.batch.redraw import draw_again
from unikat.client import Studio
from unikat.queue.batches.keys import queue_name

NAME: Final = "compose-test"
SHARD_SIZE: Final = 64  # images: every worker has several shards to go when one is killed
REDRAWN: Final = 20  # images


# Which shard is drawn where, at one moment: "<host> <job>" for each, by RQ's own records.
# KEYS: the StartedJobRegistry of a batch's queue.
_DRAWN_WHERE: Final = """
local found = {}
for _, execution in ipairs(redis.call("ZRANGE", KEYS[1], 0, -1)) do
  local job = string.match(execution, "^[^:]+")
  local worker = redis.call("HGET", "rq:job:" .. job, "worker_name") or ""
  found[#found + 1] = (redis.call("HGET", "rq:worker:" .. worker, "hostname") or "?") .. " " .. job
end
return found
"""


def drawn_where(stack: Stack, batch: str) -> list[tuple[str, str]]:
    """(host, job) of the shards that are drawn at this moment."""
    words = ask_valkey(stack, "eval", _DRAWN_WHERE, "1", f"rq:wip:{queue_name(batch)}")
    return list(zip(words[::2], words[1::2], strict=True))


def kill_a_worker(stack: Stack, batch: str) -> list[str]:
    """Kill the container of a worker that draws a shard; the jobs of the shards that it died with."""
    drawn = drawn_where(stack, batch)
    require(bool(drawn), f"RQ lists the shards of batch {batch} that are drawn")
    host = drawn[-1][0]
    stack.engine("kill", container_of_host(stack, host))
    held = [job for on, job in drawn_where(stack, batch) if on == host]
    console.print(f"killed worker {host}, which held {', '.join(held) or 'nothing'}")
    return held


def watch(stack: Stack, studio: Studio, batch: Batch) -> float:
    """Wait until the batch has ended; a worker dies when a quarter is drawn. Returns the longest pause in seconds."""
    held: list[str] | None = None
    drawn, longest, since = 0, 0.0, time.monotonic()
    for now in studio.watch_batch(batch.id, timeout=300.0):
        require(now.pause is None, f"the volume is writable ({now.pause})")
        if now.drawn > drawn:
            longest = max(longest, time.monotonic() - since)
            drawn, since = now.drawn, time.monotonic()
        if held is None and drawn >= now.total // 4 and now.ended is None:
            held = kill_a_worker(stack, batch.id)
    ended = studio.batch(batch.id)
    require(ended.state is BatchState.SUCCEEDED, f"the batch succeeds ({ended.state}: {ended.failures})")
    require(ended.drawn == ended.total, f"all of {ended.total} images are drawn ({ended.drawn})")
    require(bool(held), "a worker dies with a shard in hand; ask for a larger --batch-count")
    return longest


def check_files(stack: Stack, studio: Studio, batch: Batch) -> None:
    """Copy the batch's files from the volume, as docs/deploy.md tells to, and compare all with the manifest."""
    with TemporaryDirectory(prefix="unikat-") as folder:
        stack.engine("cp", f"{stack.containers('worker')[0]}:/out/{NAME}", folder)
        files = Path(folder) / NAME
        report = verify(str(files))
        require(report.is_complete, f"every image is as the manifest says: {report.problems[:3]} {report.missing}")
        require(report.rows == report.checked == batch.total, f"all {batch.total} images are checked: {report.checked}")
        hidden = [path.name for path in files.rglob(".*")]
        require(not report.extra and not hidden, f"nothing else is left: {report.extra[:3]} {hidden[:3]}")
        redrawn = draw_again(studio, partial(pick, str(files)), REDRAWN, lambda done, count: None)
        require(not redrawn.different, f"images {redrawn.different} come out the same again")
    console.print(
        f"{report.checked} files are what the manifest says ({report.bytes_read / 1e6:.1f} MB), "
        f"{redrawn.count} drawn again with the same bytes"
    )


def check_batch(stack: Stack, studio: Studio, model: str, count: int) -> None:
    """Draw a batch with a kill in the middle. Raises BrokenPromise, EngineError or UnikatError."""
    batch = studio.create_batch(model, to=f"/out/{NAME}", count=count, seed=7, shard_size=SHARD_SIZE)
    console.print(f"batch {batch.id}: {count} images in {batch.shard_count} shards to {batch.destination}")
    began = time.monotonic()
    longest = watch(stack, studio, batch)
    seconds = time.monotonic() - began
    console.print(f"{count} images in files in {seconds:.1f} s; longest pause {longest:.1f} s")
    check_files(stack, studio, batch)
    require(longest <= PAUSE_LIMIT, f"the pause is at most {PAUSE_LIMIT:.0f} s")
