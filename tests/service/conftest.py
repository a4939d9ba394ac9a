"""A real service process on a real Valkey; the worker's side of the contract is worked by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import grpc
import pytest
from redis import Redis

from tests.service.by_hand import ByHand
from tests.service.calls import Responses
from tests.support.processes import Program, spawn
from tests.support.valkey import Valkey, running_valkey
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub

READY = r"service ready: listening on 127\.0\.0\.1:(\d+) pid=(\d+)"


@dataclass
class Serving:
    """A service and what it serves from."""

    program: Program
    target: str
    valkey: Valkey
    redis: Redis
    hand: ByHand
    channel: grpc.Channel

    @property
    def stub(self) -> StudioStub:
        """A client's view of it."""
        return StudioStub(self.channel)

    @property
    def batches(self) -> BatchesStub:
        """A client's view of its batches."""
        return BatchesStub(self.channel)

    def generate(self, request: GenerateRequest, timeout: float | None = 20.0) -> Responses:
        """Begin a Generate call."""
        return cast(Responses, self.stub.Generate(request, timeout=timeout))


@contextmanager
def serving_on(valkey: Valkey, **settings: str) -> Iterator[Serving]:
    """A service with settings, for example UNIKAT_MAX_QUEUE="3"; one worker is announced."""
    with valkey.client() as redis:
        hand = ByHand(redis)
        hand.announce()
        environment = {"UNIKAT_REDIS_URL": valkey.url, "UNIKAT_LISTEN": "127.0.0.1:0"} | settings
        with spawn("unikat_service", env=environment, ready=READY) as program:
            target = f"127.0.0.1:{program.wait_for_line(READY)[1]}"
            with grpc.insecure_channel(target) as channel:
                yield Serving(program, target, valkey, redis, hand, channel)


@pytest.fixture(scope="module")
def shared() -> Iterator[Serving]:
    """One service for the tests of a module, which use jobs of their own and leave the queue empty."""
    with running_valkey() as valkey, serving_on(valkey) as serving:
        yield serving
        assert "Traceback" not in serving.program.output


@pytest.fixture
def serving(valkey: Valkey) -> Iterator[Serving]:
    """A service of the test's own."""
    with serving_on(valkey) as one:
        yield one


@pytest.fixture
def durable(durable_valkey: Valkey) -> Iterator[Serving]:
    """A service on a Valkey that survives a kill."""
    with serving_on(durable_valkey) as one:
        yield one


@pytest.fixture
def impatient(valkey: Valkey) -> Iterator[Serving]:
    """A service for which a model counts as served for one second only."""
    with serving_on(valkey, UNIKAT_WORKER_GRACE_S="1") as one:
        yield one
