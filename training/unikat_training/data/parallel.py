"""Decoding and drawing in several processes, results in order, memory bounded."""

from __future__ import annotations

import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from unikat_training.errors import DatasetError

Job = TypeVar("Job")
Result = TypeVar("Result")

CHUNK = 32  # jobs a message: drawing one takes ~1 ms, sending one message ~0.2 ms
AHEAD = 4  # chunks in flight for each process; bounds the results that wait for the consumer


def map_in_order(function: Callable[[Job], Result], jobs: Iterable[Job], processes: int) -> Iterator[Result]:
    """`function` of every job, in the order of `jobs`. Few jobs run in this process: starting others costs more."""
    jobs = iter(jobs)
    first = list(itertools.islice(jobs, CHUNK))
    if processes <= 1 or len(first) < CHUNK:
        yield from map(function, itertools.chain(first, jobs))
        return
    chunks = itertools.chain([first], iter(lambda: list(itertools.islice(jobs, CHUNK)), []))
    # spawn: a fork would copy the threads' locks of the progress bar.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(processes, mp_context=context)
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_run_chunk, function, chunk))
            if len(waiting) >= AHEAD * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DatasetError("a process died while decoding images, perhaps for lack of memory; try --jobs 1") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _run_chunk(function: Callable[[Job], Result], chunk: list[Job]) -> list[Result]:
    return [function(job) for job in chunk]
