"""Batches over gRPC, for tests and benchmarks: calls that outlast a killed service, and what a folder holds."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, TypeVar

import grpc

from tests.support.processes import eventually
from unikat.link import OPTIONS
from unikat.v1.batches_pb2 import (
    Batch,
    CancelBatchRequest,
    CreateBatchRequest,
    DeleteBatchRequest,
    GetBatchRequest,
    RetryBatchRequest,
)
from unikat.v1.batches_pb2_grpc import BatchesStub

_PASSING = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_PATIENCE = 60.0  # seconds for which a call is repeated while service or Valkey are away

RequestT = TypeVar("RequestT", contravariant=True)
ResponseT = TypeVar("ResponseT", covariant=True)
T = TypeVar("T")


class _Method(Protocol[RequestT, ResponseT]):
    def __call__(self, request: RequestT, /, *, timeout: float, wait_for_ready: bool) -> ResponseT: ...


class BatchCalls:
    """The Batches service at `target`. A call is repeated while nobody answers, so requests need their request_id."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=OPTIONS)
        self.stub = BatchesStub(self._channel)

    def create(self, request: CreateBatchRequest) -> Batch:
        """CreateBatch. Raises grpc.RpcError."""
        assert request.request_id, "without a request_id, a repeated call creates a second batch"
        return self._call(self.stub.CreateBatch, request)

    def get(self, batch: str) -> Batch:
        """GetBatch. Raises grpc.RpcError."""
        return self._call(self.stub.GetBatch, GetBatchRequest(id=batch))

    def cancel(self, batch: str) -> Batch:
        """CancelBatch. Raises grpc.RpcError."""
        return self._call(self.stub.CancelBatch, CancelBatchRequest(id=batch))

    def retry(self, batch: str) -> Batch:
        """RetryBatch. Raises grpc.RpcError."""
        return self._call(self.stub.RetryBatch, RetryBatchRequest(id=batch))

    def delete(self, batch: str) -> None:
        """DeleteBatch. Raises grpc.RpcError."""
        self._call(self.stub.DeleteBatch, DeleteBatchRequest(id=batch))

    def wait(self, batch: str, until: Callable[[Batch], bool], deadline: float = 60.0, pause: float = 0.02) -> Batch:
        """The batch, once `until` holds of it. Raises AssertionError after `deadline` seconds, or if it ends before."""

        def look() -> Batch | None:
            found = self.get(batch)
            if until(found):
                return found
            assert not found.HasField("end_time"), f"the batch has ended:\n{found}"
            return None

        found = eventually(look, deadline, pause)
        assert found is not None
        return found

    def finish(self, batch: str, deadline: float = 60.0, pause: float = 0.02) -> Batch:
        """The batch, once it has ended; it must have SUCCEEDED."""
        ended = self.wait(batch, lambda found: found.HasField("end_time"), deadline, pause)
        assert ended.state == Batch.STATE_SUCCEEDED, ended
        return ended

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def __enter__(self) -> BatchCalls:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def _call(self, method: _Method[RequestT, ResponseT], request: RequestT) -> ResponseT:
        until = time.monotonic() + _PATIENCE
        while True:
            try:
                return method(request, timeout=20.0, wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() not in _PASSING or time.monotonic() > until:
                    raise
                time.sleep(0.1)  # of a poll; Valkey is coming up again


def tree(folder: Path) -> dict[str, str]:
    """Every file under a folder, hidden ones included: relative path to SHA-256 of its bytes."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def difference(one: dict[str, T], other: dict[str, T]) -> list[str]:
    """Names that only one of two trees has, or that are not the same in both."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
