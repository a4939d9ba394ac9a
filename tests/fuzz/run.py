"""One target under atheris: `python -m tests.fuzz.run TARGET CORPUS... -runs=1000000`; flags are libFuzzer's."""

from __future__ import annotations

import resource
import shlex
import sys
import time
from typing import Final

import atheris

from unikat.memory_limit import limit_memory

with atheris.instrument_imports(include=["unikat", "unikat_service", "unikat_worker", "unikat_training"]):
    from tests.fuzz.targets import TARGETS
    from unikat.batches import parquet, parquet_process
    from unikat_training.data import memory

MOST_SECONDS: Final = 1.0  # of the processor, for one input
MOST_BYTES: Final = 200 * 2**20  # beyond what the process has when it begins


def read_lists_here(content: bytes, most: int) -> None:
    """In place of a process for each input, which would take nearly all of the time: this one's memory is limited."""
    try:
        parquet_process.read_lists(content)
    except Exception as error:
        raise parquet.ParquetBomb(str(error)) from error


class Hang(Exception):
    """An input took longer than MOST_SECONDS."""


def main() -> None:
    target = TARGETS[sys.argv[1]]
    parquet._read_lists_apart = read_lists_here
    # The largest pictures take 0.1 s each, and nearly all inputs are as large once one is: all limits by a hundredth.
    for limit in ("MAX_PIXELS", "WORKED", "MOST"):
        setattr(memory, limit, getattr(memory, limit) // 100)
    for beginning in (b"", b"{}", bytes(100)):  # what is imported late is not an input's
        target(beginning)
    begun_with = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

    if target.is_limited:
        limit_memory(MOST_BYTES)

    def timed(content: bytes) -> None:
        begun = time.process_time()
        target(content)
        if (took := time.process_time() - begun) > MOST_SECONDS:
            raise Hang(f"{took:.1f} s")

    # The longest wall time is generous: others may have the processor.
    limits = [f"-rss_limit_mb={(begun_with + MOST_BYTES) >> 20}", "-timeout=60", f"-max_len={target.longest}"]
    print(f"begins with {begun_with >> 20} MB", file=sys.stderr, flush=True)
    # A merge has a shell run this program again, by the first word.
    again = f"{shlex.quote(sys.executable)} -m tests.fuzz.run {sys.argv[1]}"
    atheris.Setup([again, *limits, *sys.argv[2:]], timed)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
