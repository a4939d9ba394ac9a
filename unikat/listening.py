"""Where a program listens, and with which certificate: settings of service and registry alike, and their checks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from unikat.loopback import is_loopback
from unikat.settings import setting

if TYPE_CHECKING:
    from grpc.aio import Server

_PLAINTEXT: Final = (
    "other machines reach this address, and nothing would be encrypted. `unikat keys init --name HOST` makes keys for "
    "--tls-cert and --tls-key; where a proxy or a closed network does it, say --allow-plaintext"
)


@dataclass(frozen=True)
class Listening:
    """What a program that listens is told of it; each has its own port."""

    listen: str = setting("127.0.0.1:0", "Address to listen on (host:port; port 0 takes a free one).")
    tls_cert: Path | None = setting(None, "Certificate chain (PEM); turns TLS on.", exists=True)
    tls_key: Path | None = setting(None, "Private key of the certificate (PEM).", exists=True)
    tls_ca: Path | None = setting(None, "Clients must show a certificate that this one signed (PEM).", exists=True)
    allow_plaintext: bool = setting(False, "Listen without TLS on an address that other machines reach.")
    reflection: bool = setting(False, "Serve reflection on an address that other machines reach, too.")

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for settings that contradict one another."""
        together(tls_cert=self.tls_cert, tls_key=self.tls_key)
        if self.tls_ca is not None and self.tls_cert is None:
            raise typer.BadParameter("--tls-ca needs --tls-cert and --tls-key")
        if self.tls_cert is None and not (self.is_local or self.allow_plaintext):
            raise typer.BadParameter(f"--listen {self.listen}: {_PLAINTEXT}")

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the address."""
        return is_loopback(self.listen)

    def open_port(self, server: Server) -> int:
        """Have a server listen; the port's number. Raises OSError if it or its certificate cannot be had."""
        from unikat.tls import Certificate

        try:
            if self.tls_cert is None or self.tls_key is None:
                return server.add_insecure_port(self.listen)
            certificate = Certificate(self.tls_cert, self.tls_key, self.tls_ca)
            return server.add_secure_port(self.listen, certificate.credentials())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self.listen}: {error}") from error


def together(**files: Path | None) -> None:
    """Raises typer.BadParameter where one of two settings is given without the other."""
    if len({each is None for each in files.values()}) > 1:
        flags = " and ".join(f"--{name.replace('_', '-')}" for name in files)
        raise typer.BadParameter(f"{flags} go together: give both or none")
