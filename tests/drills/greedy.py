"""A caller that takes all it can get, in a process of its own: batches, floods of calls, connections that vanish."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import grpc

from tests.drills.named import channel_of
from tests.service.calls import Responses, code_of
from unikat.v1.batches_pb2 import CreateBatchRequest, Plan
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub

if TYPE_CHECKING:
    from multiprocessing.queues import Queue

SHARDS: Final = 10_000
_AT_ONCE: Final = 100  # calls of a flood


@dataclass(frozen=True)
class Greedy:
    """Who it is, and how many of its connections vanish in the middle of a call."""

    name: str
    shown: tuple[bytes, bytes, bytes]
    target: str
    destination: str
    vanish: int

    @contextmanager
    def running(self) -> Iterator[Queue[Counter[str]]]:
        """In a process; the queue has what it got, when it is through."""
        spawn = multiprocessing.get_context("spawn")
        results: Queue[Counter[str]] = spawn.Queue()
        process = spawn.Process(target=_run, args=(self, results))
        process.start()
        try:
            yield results
        finally:
            process.kill()
            process.join()

    def run(self) -> Counter[str]:
        """Everything at once, until all connections that are to vanish have, and a batch was refused."""
        seen, stop = Counter[str](), threading.Event()
        with ThreadPoolExecutor(6) as threads:
            vanishing = [threads.submit(self._vanish, seen) for _ in range(4)]
            others = [threads.submit(work, seen, stop) for work in (self._create, self._flood)]
            for each in vanishing:
                each.result()
            stop.set()
            for other in others:
                other.result()
        return seen

    def _create(self, seen: Counter[str], stop: threading.Event) -> None:
        with channel_of(self.shown, self.target) as channel:
            for n in range(10**6):
                if stop.is_set() and seen["batch RESOURCE_EXHAUSTED"]:
                    return
                request = CreateBatchRequest(
                    model="tiny", plans=[Plan(count=SHARDS)], shard_size=1, destination=f"{self.destination}/{n}"
                )
                seen[f"batch {_word(code_of(BatchesStub(channel).CreateBatch, request))}"] += 1

    def _flood(self, seen: Counter[str], stop: threading.Event) -> None:
        request = GenerateRequest(model="tiny", count=4000)
        with channel_of(self.shown, self.target) as channel:
            while not stop.is_set():
                calls = [cast(Responses, StudioStub(channel).Generate(request)) for _ in range(_AT_ONCE)]
                for call in calls:
                    try:
                        seen["call accepted"] += next(call).HasField("accepted")
                    except grpc.RpcError as error:
                        seen[f"call {_word(cast(grpc.Call, error).code())}"] += 1
                for call in calls:
                    call.cancel()

    def _vanish(self, seen: Counter[str]) -> None:
        request = GenerateRequest(model="tiny", count=500)
        for _ in range(self.vanish // 4):
            with channel_of(self.shown, self.target) as channel, suppress(grpc.RpcError):
                next(cast(Responses, StudioStub(channel).Generate(request)))
            seen["vanished"] += 1


def _word(code: grpc.StatusCode | None) -> str:
    return "OK" if code is None else code.name


def _run(greedy: Greedy, results: Queue[Counter[str]]) -> None:
    os.nice(10)  # such callers are on machines of their own
    results.put(greedy.run())
