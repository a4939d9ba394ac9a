"""Services whose callers show certificates, so that they are told apart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc

from unikat.cli.authority import Authority


class Names:
    """An authority, the settings of services that trust it, and channels of callers that it names."""

    def __init__(self, folder: Path) -> None:
        """`folder` is for the certificates."""
        self._authority = Authority.create()
        pair = self._authority.issue_server(("localhost", "127.0.0.1"), 1)
        files = {"CERT": pair.certificate, "KEY": pair.key, "CA": self._authority.root}
        self.settings: dict[str, str] = {}
        for name, content in files.items():
            (folder / f"{name}.pem").write_bytes(content)
            self.settings[f"UNIKAT_TLS_{name}"] = str(folder / f"{name}.pem")
        self._shown: dict[str, tuple[bytes, bytes]] = {}

    def shown_by(self, name: str) -> tuple[bytes, bytes, bytes]:
        """What the caller of that name shows: the authority's certificate, a key, a certificate (PEM)."""
        if name not in self._shown:
            pair = self._authority.issue_client(name, 1)
            self._shown[name] = pair.key, pair.certificate
        return self._authority.root, *self._shown[name]

    @contextmanager
    def channel(self, name: str, target: str) -> Iterator[grpc.Channel]:
        """A connection of its own of the caller of that name."""
        with channel_of(self.shown_by(name), target) as channel:
            yield channel


@contextmanager
def channel_of(shown: tuple[bytes, bytes, bytes], target: str) -> Iterator[grpc.Channel]:
    """A connection of its own of a caller that shows these."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(target, grpc.ssl_channel_credentials(*shown), options) as channel:
        yield channel
