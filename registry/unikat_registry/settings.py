"""Settings of the registry: each is declared once, with its flag, environment variable, default and reason."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import typer

from unikat.listening import Listening, together
from unikat.observed import Observed
from unikat.settings import setting

_NOBODY_KNOWN: Final = (
    "other machines reach this address, and whoever calls could claim: give --tls-ca, so that clients must show "
    "certificates, or --anonymous all"
)


class Anonymous(StrEnum):
    """Who is served without a certificate."""

    LOCAL = "local"
    ALL = "all"


@dataclass(frozen=True)
class Kept:
    """Where a registry keeps what it has."""

    database: str = setting(
        "sqlite:///.unikat/registry/registry.db",
        "Where works are kept: sqlite:///path, or postgresql://user@host/name.",
        variable="REGISTRY_DATABASE",
    )
    origin: str = setting(
        "localhost/unikat",
        "Name of the log, as its checkpoints and certificates say it: a URL without https://.",
        variable="REGISTRY_ORIGIN",
    )
    log: Path = setting(
        Path(".unikat/registry/log"),
        "Folder of the log's static files, which anybody may copy: serve it by any web server.",
        variable="REGISTRY_LOG",
    )


@dataclass(frozen=True)
class Signed(Kept):
    """And the keys of its log."""

    key: Path = setting(
        Path("keys/log"),
        "File of the keys (Ed25519) that sign the log: all of them its checkpoints, the first certificates "
        "(`unikat keys log`).",
        variable="REGISTRY_KEY",
    )


@dataclass(frozen=True)
class Drawn:
    """The service that draws for a registry."""

    target: str = setting("localhost:50051", "The service that draws: host:port, or another gRPC name.")
    tls: bool = setting(False, "Encrypt what goes to the service, trusting the system's authorities.")
    ca: Path | None = setting(None, "Authorities of the service to trust instead (PEM); implies --tls.", exists=True)
    cert: Path | None = setting(None, "Certificate to show to the service (PEM).", exists=True)
    cert_key: Path | None = setting(None, "Private key of that certificate (PEM).", exists=True, variable="KEY")

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for settings that contradict one another."""
        together(cert=self.cert, cert_key=self.cert_key)


@dataclass(frozen=True)
class Settings(Signed, Drawn, Listening, Observed):
    """What `unikat registry` can be told."""

    listen: str = setting(
        "127.0.0.1:50052", "Address to listen on (host:port; port 0 takes a free one).", variable="REGISTRY_LISTEN"
    )
    link: str = setting(
        "",
        "Where people verify a work: a URL that its digest is put behind, on certificates (none: the digest alone).",
        variable="REGISTRY_LINK",
    )
    anonymous: Anonymous = setting(
        Anonymous.LOCAL,
        "Who is served without a certificate: callers on this machine (local), whoever reaches the address (all).",
        variable="REGISTRY_ANONYMOUS",
    )
    mark_keys: Path | None = setting(None, "File of secret keys of watermarks, to find their marks.", exists=True)
    trust: Path | None = setting(
        None, "Authorities of Content Credentials to trust (PEM).", exists=True, variable="REGISTRY_TRUST"
    )
    grace_s: float = setting(10.0, "After SIGTERM, time for running calls to end by themselves (s).", min=0)

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for settings that contradict one another."""
        Drawn.__post_init__(self)
        Listening.__post_init__(self)
        Observed.__post_init__(self)
        if self.tls_ca is None and self.anonymous is Anonymous.LOCAL and not self.is_local:
            raise typer.BadParameter(f"--listen {self.listen}: {_NOBODY_KNOWN}")
