"""A connection to a service as coroutines, over blocking gRPC or over gRPC's asyncio: all that differs between them.

What the client does is written once, as coroutines on a `Link`. On a `BlockingLink` they block where they would
suspend, so that one step takes them to their end (`run`): the blocking client needs neither an event loop nor a thread
to run it in, which would cost every message a change of threads, and work in no process that was forked.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Iterator
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from unikat.credentials import Metadata, find_token, metadata_of
from unikat.delivery import cancelled
from unikat.errors import UnikatError, error_of
from unikat.loopback import is_loopback
from unikat.trace_context import outgoing
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2_grpc import StudioStub

if TYPE_CHECKING:
    from unikat.v1.operations_pb2_grpc import OperationsStub
    from unikat.v1.provenance_pb2_grpc import ProvenanceStub

Request = TypeVar("Request")
Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
T = TypeVar("T")

Signal = threading.Event | asyncio.Event

FORK_SUPPORT: Final = "GRPC_ENABLE_FORK_SUPPORT"
_USED_IN: Final[set[int]] = set()  # this process and those that it was forked from, as far as they used gRPC

DEFAULT_TARGET: Final = "localhost:50051"
TARGET_VARIABLE: Final = "UNIKAT_TARGET"

OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    # A dead connection is noticed within 10 + 4 s while a call waits for images; idle channels send nothing.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 4_000),
    ("grpc.http2.ping_timeout_ms", 4_000),  # else 60 s are what counts, keepalive's own notwithstanding
    # A caller that waits sends nothing else; by default gRPC pings two times, and then no more than once a minute.
    ("grpc.http2.max_pings_without_data", 0),
    # An image of 2048 x 2048 as PNG is about 12 MB; gRPC's default is 4 MB.
    ("grpc.max_receive_message_length", 64 * 2**20),
    # A service that comes back is found within 2 s, not within gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Of a name with several addresses all are connected to and take turns, and a call goes on at another one where one
    # dies; gRPC's default stays with the first that answers. A name is looked up again after 2 s, not 30.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 2_000),
)

# What gRPC makes of a connection that is refused, lost or, as by a proxy that has waited too long, reset: RST_STREAM
# is INTERNAL, UNKNOWN, CANCELLED or UNAVAILABLE, depending on its code and on how far the call was.
_CUT_OFF: Final = frozenset({Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED})


# What gRPC says on either side, beside a number of bytes, of a message above its limit.
_TOO_LARGE: Final = "essage larger than max"


@dataclass(frozen=True)
class Address:
    """A target ("host:port", or any gRPC name such as "unix:/run/unikat.sock") and its credentials, None for plain.

    `metadata` goes with every call.
    """

    target: str
    credentials: grpc.ChannelCredentials | None
    metadata: Metadata = ()

    @classmethod
    def of(
        cls,
        target: str | None,
        tls: bool = False,
        ca: str | Path | None = None,
        identity: tuple[str | Path, str | Path] | None = None,
    ) -> Address:
        """`target` defaults to $UNIKAT_TARGET, then localhost:50051.

        `ca` is a PEM file to trust, `identity` are PEM files of a certificate and its key to show; both imply `tls`.
        Raises OSError if a file cannot be read.
        """
        roots = Path(ca).read_bytes() if ca is not None else None
        chain, key = (Path(file).read_bytes() for file in identity) if identity is not None else (None, None)
        secure = tls or roots is not None or identity is not None
        return cls(
            target or os.environ.get(TARGET_VARIABLE) or DEFAULT_TARGET,
            grpc.ssl_channel_credentials(roots, key, chain) if secure else None,
        )

    def showing(self, token: str | None) -> Address:
        """The same with a token, or that of the environment (`find_token`).

        Raises OSError for its file, ValueError for a token that would be sent in plaintext to another machine.
        """
        metadata = metadata_of(find_token(token), self.target, is_encrypted=self.credentials is not None)
        return replace(self, metadata=metadata)

    @property
    def options(self) -> tuple[tuple[str, int | str], ...]:
        """Of a channel. What is meant for this machine goes through no proxy of the environment's."""
        return (*OPTIONS, ("grpc.enable_http_proxy", 0)) if is_loopback(self.target) else OPTIONS

    def typed(self, error: grpc.RpcError) -> UnikatError:
        """The typed error for gRPC's, with the details that the service sent along.

        Every status of the service has an `ErrorInfo` of its own; one that has none and that a broken connection
        causes as well is `Unavailable`, whatever its code.
        """
        status = _rich_status(error) or Status(code=_code_of(error).value[0], message=error.details() or "no details")
        known = error_of(status)
        if not known.reason and status.code == Code.RESOURCE_EXHAUSTED and _TOO_LARGE in status.message:
            message = f"larger than {self.target} takes; split it ({status.message})"
            return error_of(Status(code=Code.INVALID_ARGUMENT, message=message))  # to come back later does not help
        if known.reason or status.code not in _CUT_OFF:
            return known
        if status.code == Code.UNAVAILABLE:
            message = f"no service answers on {self.target} ({status.message})"
        else:
            message = f"{self.target} cut the call off ({Code.Name(status.code)}: {status.message})"
        return error_of(Status(code=Code.UNAVAILABLE, message=message))


class Stream(Protocol[Response_co]):
    """A call of a method that streams its responses."""

    def cancel(self) -> bool: ...


class Link:
    """One channel over gRPC's asyncio, and its stubs; made in the event loop that runs, and again in another one.

    For the type checker the stubs are blocking ones: what calling a method returns is known by `ask` and `read` alone.
    """

    _studio: StudioStub
    _batches: BatchesStub
    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(self, address: Address) -> None:
        self.address = address
        self.closed = False

    @property
    def studio(self) -> StudioStub:
        self._be_connected()
        return self._studio

    @property
    def batches(self) -> BatchesStub:
        self._be_connected()
        return self._batches

    @property
    def provenance(self) -> ProvenanceStub:
        from unikat.v1.provenance_pb2_grpc import ProvenanceStub  # who only draws needs none of its messages

        self._be_connected()
        stub: ProvenanceStub = ProvenanceStub(self._channel)
        return stub

    @property
    def operations(self) -> OperationsStub:
        from unikat.v1.operations_pb2_grpc import OperationsStub  # nor of these

        self._be_connected()
        stub: OperationsStub = OperationsStub(self._channel)
        return stub

    def showing(self, token: str) -> Self:
        """The same connection for a caller with a token of its own; who made it closes it.

        Raises ValueError for what can be none, and for one that would be sent in plaintext to another machine.
        """
        self._be_connected()
        other = copy(self)
        other.address = self.address.showing(token)
        return other

    def _be_connected(self) -> None:
        _refuse_after_fork()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._connect(grpc.aio)

    def _connect(self, transport: ModuleType) -> None:
        target, credentials, options = self.address.target, self.address.credentials, self.address.options
        self._channel = (
            transport.insecure_channel(target, options=options)
            if credentials is None
            else transport.secure_channel(target, credentials, options=options)
        )
        self._studio, self._batches = StudioStub(self._channel), BatchesStub(self._channel)

    def typed(self, broken: BaseException, stopped: bool = False) -> UnikatError:
        """The typed error for what a call raised; `stopped`: it was cancelled here. Raises what no error explains."""
        if stopped or self.closed:
            return cancelled()
        if isinstance(broken, grpc.RpcError):
            return self.address.typed(broken)
        raise broken

    @property
    def _metadata(self) -> Metadata:
        return *self.address.metadata, *outgoing()

    async def ask(
        self, method: grpc.UnaryUnaryMultiCallable[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        """A unary call. Raises grpc.RpcError."""
        return await cast(Awaitable[Response], method(request, timeout=timeout, metadata=self._metadata))

    def begin(
        self, method: grpc.UnaryStreamMultiCallable[Request, Response], request: Request, timeout: float | None
    ) -> Stream[Response]:
        """A call whose responses `read` waits for."""
        return cast(Stream[Response], method(request, timeout=timeout, metadata=self._metadata))

    async def read(self, stream: Stream[Response]) -> Response | None:
        """The next message; None after the last. Raises grpc.RpcError."""
        response = await cast(grpc.aio.UnaryStreamCall[Any, Response], stream).read()
        return cast(Response, response) if isinstance(response, Message) else None  # grpc.aio.EOF

    def signal(self) -> Signal:
        """An event for `wait`."""
        return asyncio.Event()

    async def wait(self, signal: Signal, seconds: float) -> None:
        """Until the signal is set, at most so many seconds."""
        with suppress(TimeoutError):
            await asyncio.wait_for(cast(asyncio.Event, signal).wait(), seconds)

    async def close(self) -> None:
        self.closed = True
        if self._loop is asyncio.get_running_loop():
            await self._channel.close(None)


class BlockingLink(Link):
    """The same over blocking gRPC, with coroutines that block and do not suspend; it can be shared by threads."""

    def __init__(self, address: Address) -> None:
        super().__init__(address)
        _refuse_after_fork()
        self._connect(grpc)

    def _be_connected(self) -> None:
        _refuse_after_fork()

    async def ask(
        self, method: grpc.UnaryUnaryMultiCallable[Request, Response], request: Request, timeout: float | None
    ) -> Response:
        return method(request, timeout=timeout, metadata=self._metadata)

    async def read(self, stream: Stream[Response]) -> Response | None:
        return next(cast(Iterator[Response], stream), None)

    def signal(self) -> Signal:
        return threading.Event()

    async def wait(self, signal: Signal, seconds: float) -> None:
        cast(threading.Event, signal).wait(seconds)

    async def close(self) -> None:
        self.closed = True
        self._channel.close()


def run(steps: Awaitable[T]) -> T:
    """What a coroutine on a `BlockingLink` returns."""
    try:
        next(steps.__await__())
    except StopIteration as done:
        return cast(T, done.value)
    raise AssertionError("a blocking link does not suspend")


def _refuse_after_fork() -> None:
    """Raise RuntimeError in a process where gRPC's threads are missing, as they ran before it was forked."""
    _USED_IN.add(os.getpid())
    if len(_USED_IN) > 1 and os.environ.get(FORK_SUPPORT, "").lower() not in {"1", "true", "yes"}:
        how = f"set {FORK_SUPPORT}=1 before Python starts, or let multiprocessing spawn processes"
        raise RuntimeError(f"gRPC was used before this process was forked, so that a call would hang: {how}")


def _rich_status(error: grpc.RpcError) -> Status | None:
    try:
        return rpc_status.from_call(cast(grpc.Call, error))  # every error of a call is the call
    except ValueError:  # a proxy rewrote the code and left the details
        return None


def _code_of(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code()
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN
