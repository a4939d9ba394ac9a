"""Where a client connects to and how, and what gRPC's own errors mean."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import grpc
from google.rpc.code_pb2 import Code
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from unikat.errors import UnikatError, error_of

DEFAULT_TARGET: Final = "localhost:50051"
TARGET_VARIABLE: Final = "UNIKAT_TARGET"

OPTIONS: Final[tuple[tuple[str, int | str], ...]] = (
    # A dead connection is noticed within 30 + 10 s while a call waits for images; idle channels send nothing.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # An image of 2048 x 2048 as PNG is about 12 MB; gRPC's default is 4 MB.
    ("grpc.max_receive_message_length", 64 * 2**20),
    # A service that comes back is found within 2 s, not within gRPC's two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)

# What gRPC makes of a connection that is refused, lost or, as by a proxy that has waited too long, reset: RST_STREAM
# is INTERNAL, UNKNOWN, CANCELLED or UNAVAILABLE, depending on its code and on how far the call was.
_CUT_OFF: Final = frozenset({Code.UNAVAILABLE, Code.INTERNAL, Code.UNKNOWN, Code.CANCELLED})


@dataclass(frozen=True)
class Address:
    """A target ("host:port", or any gRPC name such as "unix:/run/unikat.sock") and its credentials, None for plain."""

    target: str
    credentials: grpc.ChannelCredentials | None

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

    def typed(self, error: grpc.RpcError) -> UnikatError:
        """The typed error for gRPC's, with the details that the service sent along.

        Every status of the service has an `ErrorInfo` of its own; one that has none and that a broken connection
        causes as well is `Unavailable`, whatever its code.
        """
        status = _rich_status(error) or Status(code=_code_of(error).value[0], message=error.details() or "no details")
        known = error_of(status)
        if known.reason or status.code not in _CUT_OFF:
            return known
        if status.code == Code.UNAVAILABLE:
            message = f"no service answers on {self.target} ({status.message})"
        else:
            message = f"{self.target} cut the call off ({Code.Name(status.code)}: {status.message})"
        return error_of(Status(code=Code.UNAVAILABLE, message=message))


def _rich_status(error: grpc.RpcError) -> Status | None:
    try:
        return rpc_status.from_call(cast(grpc.Call, error))  # every error of a call is the call
    except ValueError:  # a proxy rewrote the code and left the details
        return None


def _code_of(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code()
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN
