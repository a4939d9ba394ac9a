"""The server's certificate, read again when its files change: a renewal needs no restart."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias, cast

import grpc

log = logging.getLogger(__name__)

Stamp: TypeAlias = tuple[tuple[int, int, int], ...]  # inode, size, time of change (ns) of each file


class Certificate:
    """Key and chain of the server, and, where clients must show certificates, the authorities who sign them."""

    def __init__(self, chain: Path, key: Path, authorities: Path | None) -> None:
        """Raises OSError for files that cannot be read or do not belong together."""
        self._chain, self._key, self._authorities = chain, key, authorities
        self._stamp = self._look()
        self._first = self._read()

    def credentials(self) -> grpc.ServerCredentials:
        """What a port is opened with; gRPC asks for the certificate with every new connection."""
        renewed = cast(Callable[[], grpc.ServerCertificateConfiguration], self._renewed)  # None is allowed, says gRPC
        return grpc.dynamic_ssl_server_credentials(self._first, renewed, self._authorities is not None)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """The certificate if it has changed since; called by threads of gRPC's."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return None
            fresh = self._read()
        except OSError as error:  # half written, perhaps: it is read again with the next connection
            log.warning("The certificate stays as it was: %s", error)
            return None
        self._stamp = stamp
        log.info("Read the certificate of %s again", self._chain)
        return fresh

    def _read(self) -> grpc.ServerCertificateConfiguration:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:  # gRPC would take what does not belong together, and then fail every handshake
            context.load_cert_chain(self._chain, self._key, password="")
            if self._authorities is not None:
                context.load_verify_locations(self._authorities)
        except (ssl.SSLError, ValueError) as error:
            files: Sequence[Path] = [self._chain, self._key, *filter(None, [self._authorities])]
            raise OSError(
                f"{', '.join(map(str, files))}: not a certificate, its key and authorities: {error}"
            ) from error
        roots = self._authorities.read_bytes() if self._authorities is not None else None
        pair = self._key.read_bytes(), self._chain.read_bytes()
        return grpc.ssl_server_certificate_configuration([pair], roots)

    def _look(self) -> Stamp:
        files = filter(None, [self._chain, self._key, self._authorities])
        return tuple((found.st_ino, found.st_size, found.st_mtime_ns) for found in map(Path.stat, files))
