"""Settings that several commands share: each declared once, from its flag or its environment variable."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from unikat.cli.problems import BAD_INPUT, Problem
from unikat.credentials import TOKEN_FILE_VARIABLE, TOKEN_VARIABLE, find_token

if TYPE_CHECKING:
    from unikat.client import Studio

DEFAULT_TARGET = "localhost:50051"

Target = Annotated[
    str, typer.Option(envvar="UNIKAT_TARGET", help="Where the service is: host:port, or another gRPC name.")
]
Models = Annotated[Path, typer.Option(envvar="UNIKAT_MODELS", help="Folder of model bundles: <name>/<version>/.")]
Data = Annotated[
    Path, typer.Option(envvar="UNIKAT_DATA", help="Folder of the embedded Valkey's data, its socket, and all logs.")
]
RedisUrl = Annotated[
    str | None,
    typer.Option(
        envvar="UNIKAT_REDIS_URL",
        help="Redis or Valkey: redis://host:6379, rediss://..., unix:///path, or what Sentinels name as primary: "
        "redis+sentinel://host:26379,host:26379/service. Left out: the embedded Valkey.",
    ),
]

# Of what is to be drawn.
Reference = Annotated[str, typer.Argument(help='Model: "emoji" for its newest version, or "emoji@1".')]
Seed = Annotated[int | None, typer.Option(help="Seed; the same one draws the same images. Random.")]
Truncation = Annotated[
    float | None, typer.Option(help="0 (the typical image) to 1 (full variety) to 2. The model's default.")
]
Background = Annotated[
    str,
    typer.Option(
        help='Behind a drawing with alpha: "#rrggbb", "#rrggbbaa", a name of CSS, or "none" for a sticker. White.'
    ),
]
Credentials = Annotated[
    Literal["none", "sidecar", "embedded"],
    typer.Option(help="Content Credentials that the service signs: beside each file (<name>.c2pa), or in it."),
]
Originality = Annotated[
    Literal["off", "warn", "enforce"] | None,
    typer.Option(
        help="Drawings that are near to a training picture: say how near they are (warn), or draw them again and at "
        "last refuse them (enforce), where that is stricter than what the service does."
    ),
]
Format = Annotated[Literal["png", "webp", "jpeg"], typer.Option(help="Image format.")]

StorageKeysFile = Annotated[
    Path | None,
    typer.Option(
        "--storage-keys", envvar="UNIKAT_STORAGE_KEYS", help="File of the keys that batches are encrypted with."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead, one object a line.")]

Tls = Annotated[
    bool, typer.Option("--tls", envvar="UNIKAT_TLS", help="Encrypt, trusting the system's certificate authorities.")
]
Authorities = Annotated[
    Path | None,
    typer.Option(
        "--tls-ca", "--ca", envvar="UNIKAT_CA", help="PEM file of the authorities to trust instead; implies --tls."
    ),
]
ShownCertificate = Annotated[
    Path | None,
    typer.Option("--tls-cert", envvar="UNIKAT_CERT", help="PEM file of a certificate to show; implies --tls."),
]
ShownKey = Annotated[
    Path | None, typer.Option("--tls-key", envvar="UNIKAT_KEY", help="PEM file of the certificate's private key.")
]

DEFAULT_MODELS = Path("models")
DEFAULT_DATA = Path(".unikat")


def identity_of(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """What is shown of oneself. Raises Problem for one without the other."""
    if (certificate is None) != (key is None):
        raise Problem("--tls-cert and --tls-key go together: give both or none", code=BAD_INPUT)
    return (certificate, key) if certificate and key else None


@dataclass(frozen=True)
class Service:
    """Where the service is, whom to trust, and what to show of oneself: options of every command that calls it."""

    target: Target = DEFAULT_TARGET
    tls: Tls = False
    ca: Authorities = None
    certificate: ShownCertificate = None
    key: ShownKey = None
    token: Annotated[
        str | None,
        typer.Option(
            help="Token to show, else that of $UNIKAT_TOKEN. Others on this machine can read a command's options: "
            "prefer the variable or the file.",
        ),
    ] = None
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token to show, else that of $UNIKAT_TOKEN_FILE.")
    ] = None

    @property
    def is_identified(self) -> bool:
        """Whether the service is told who calls."""
        named = (os.environ.get(TOKEN_VARIABLE), os.environ.get(TOKEN_FILE_VARIABLE))
        return bool(self.certificate or self.token or self.token_file or any(named))

    def studio(self, reconnect_timeout: float = 60.0) -> Studio:
        """Raises Problem for options that are wrong, OSError for a file that cannot be read."""
        from unikat.client import Studio

        identity = identity_of(self.certificate, self.key)
        try:
            token = find_token(self.token, self.token_file) or ""  # none, whatever the environment has
            return Studio(
                self.target, tls=self.tls, ca=self.ca, identity=identity, token=token,
                reconnect_timeout=reconnect_timeout,
            )  # fmt: skip
        except ValueError as error:
            raise Problem(str(error), code=BAD_INPUT) from error


SERVICE = Service()
