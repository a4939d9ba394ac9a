"""Settings of the gallery: each is declared once, with its flag, environment variable, default and reason."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import typer

from unikat.loopback import is_loopback
from unikat.observed import Observed
from unikat.settings import setting


@dataclass(frozen=True)
class Settings(Observed):
    """What `unikat gallery` can be told. The token for the service is $UNIKAT_TOKEN's, or $UNIKAT_TOKEN_FILE's."""

    listen: str = setting(
        "127.0.0.1:8080",
        "Address to listen on (host:port; port 0 takes a free one).",
        variable="GALLERY_LISTEN",
    )
    url: str = setting(
        "",
        "Where people reach it, for example https://art.example: what other names lead to it is refused, and QR codes "
        "and links begin with it. Left out: the address, as only this machine reaches it.",
        variable="GALLERY_URL",
    )
    database: Path = setting(
        Path(".unikat/gallery/gallery.db"),
        "File of favourites, albums and votes (SQLite).",
        variable="GALLERY_DATABASE",
    )
    cache_mb: int = setting(
        64, "Images that are kept in memory (MB): the others are drawn again.", min=1, variable="GALLERY_CACHE_MB"
    )
    max_streams: int = setting(
        64,
        "Walls, films and exports that are drawn at the same time, of all visitors.",
        min=1,
        variable="GALLERY_MAX_STREAMS",
    )
    visitor_streams: int = setting(
        4,
        "Walls, films and exports that are drawn at the same time for one visitor.",
        min=1,
        variable="GALLERY_VISITOR_STREAMS",
    )
    cors_origins: str = setting(
        "",
        "Other sites whose pages may call /v1 from a browser, comma-separated (https://art.example; none: no other "
        "site). They draw in the gallery's name, unless they show a token of their own.",
        variable="GALLERY_CORS_ORIGINS",
    )
    vote_model: str = setting(
        "", "Model whose versions people vote on, for example portraits (none: the first one that is served)."
    )
    vote_truncations: str = setting("0.7,1", "Truncations at which its versions are voted on, comma-separated.")
    artist_pictures: Path | None = setting(
        None,
        "Folder of pictures by the artist, which the model was not trained on; without it nobody is asked which one is "
        "by the artist.",
        exists=True,
    )
    visitor_votes: int = setting(30, "Pairs that one visitor is shown a minute.", min=1)
    max_votes: int = setting(600, "Pairs that are shown a minute, of all visitors.", min=1)
    visitor_claims: int = setting(
        20, "Works that one visitor claims an hour, refused ones included (0: certificates are shown, no more).", min=0
    )
    max_claims: int = setting(200, "Works that all visitors together claim an hour.", min=1)
    visitor_verifications: int = setting(60, "Pictures that one visitor has verified an hour.", min=1)
    max_verifications: int = setting(600, "Pictures that all visitors together have verified an hour.", min=1)
    target: str = setting("localhost:50051", "The service that draws: host:port, or another gRPC name.")
    registry: str = setting(
        "",
        "The registry of claimed works: host:port, or another gRPC name (none: nothing can be claimed, and pictures "
        "are verified by what they carry alone).",
    )
    tls: bool = setting(False, "Encrypt what goes to service and registry, trusting the system's authorities.")
    ca: Path | None = setting(None, "Authorities of both to trust instead (PEM); implies --tls.", exists=True)
    cert: Path | None = setting(None, "Certificate to show to both (PEM).", exists=True)
    cert_key: Path | None = setting(None, "Private key of that certificate (PEM).", exists=True, variable="KEY")
    mark_keys: Path | None = setting(
        None,
        "File of secret keys of watermarks, to find their marks in pictures that visitors verify; a registry has keys "
        "of its own.",
        exists=True,
    )

    def __post_init__(self) -> None:
        """Raises typer.BadParameter for settings that contradict one another."""
        super().__post_init__()
        if (self.cert is None) != (self.cert_key is None):
            raise typer.BadParameter("--cert and --cert-key go together: give both or none")
        host, colon, port = self.listen.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) <= 65535):
            raise typer.BadParameter(f"--listen {self.listen}: it must be host:port, for example 127.0.0.1:8080")
        if not self.truncations or any(not 0 <= each <= 2 for each in self.truncations):
            raise typer.BadParameter(f"--vote-truncations {self.vote_truncations}: numbers from 0 to 2, as in 0.7,1")
        if self.url and not (_is_site(self.url)):
            raise typer.BadParameter(f"--url {self.url}: it must be http:// or https:// and a host, without a path")
        for origin in self.origins:
            if not _is_site(origin):
                raise typer.BadParameter(f"--cors-origins {origin}: https:// and a host, without a path; * is none")
        if not self.url and not is_loopback(self.listen):
            raise typer.BadParameter(
                f"--listen {self.listen}: other machines reach this address; say by which name, with --url"
            )

    @property
    def origins(self) -> frozenset[str]:
        """`cors_origins`, each as a browser says it."""
        return frozenset(filter(None, (each.strip().rstrip("/") for each in self.cors_origins.split(","))))

    @property
    def truncations(self) -> list[float]:
        """Those that are voted on, each once; a text that is no number is NaN."""
        return list(dict.fromkeys(_number(text) for text in self.vote_truncations.split(",")))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _is_site(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not (parts.path or parts.query)
