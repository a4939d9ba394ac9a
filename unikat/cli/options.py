"""Settings that several commands share: each declared once, from its flag or its environment variable."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Target = Annotated[
    str, typer.Option(envvar="UNIKAT_TARGET", help="Where the service is: host:port, or another gRPC name.")
]
Tls = Annotated[
    bool, typer.Option("--tls", envvar="UNIKAT_TLS", help="Encrypt, trusting the system's certificate authorities.")
]
Ca = Annotated[
    Path | None, typer.Option(envvar="UNIKAT_CA", help="PEM file of the authorities to trust instead; implies --tls.")
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
Format = Annotated[Literal["png", "webp", "jpeg"], typer.Option(help="Image format.")]

DEFAULT_TARGET = "localhost:50051"
DEFAULT_MODELS = Path("models")
DEFAULT_DATA = Path(".unikat")
