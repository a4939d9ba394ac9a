"""A registry as a process, above a service and workers that draw for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import Program, free_port
from unikat.certificate import transfer_text
from unikat.key_file import add_key, read_keys
from unikat.registry import Registry
from unikat.transparency import SigningKey
from unikat.v1 import provenance_pb2 as pb

ORIGIN = "art.example/log"
READY = r"registry ready: listening on"


@dataclass
class Registering:
    """A registry that can be killed and started again at the same address."""

    stack: Stack
    folder: Path
    database: str
    port: int = field(default_factory=free_port)
    program: Program | None = None
    metrics: str = ""

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def key(self) -> SigningKey:
        """What it signs with."""
        (seed,) = read_keys(self.folder / "log.key").values()
        return SigningKey(ORIGIN, seed)

    @property
    def environment(self) -> dict[str, str]:
        """Its settings."""
        return {
            "UNIKAT_REGISTRY_LISTEN": self.target, "UNIKAT_REGISTRY_DATABASE": self.database,
            "UNIKAT_REGISTRY_KEY": str(self.folder / "log.key"), "UNIKAT_REGISTRY_LOG": str(self.folder / "log"),
            "UNIKAT_REGISTRY_ORIGIN": ORIGIN, "UNIKAT_TARGET": self.stack.target,
            "UNIKAT_REGISTRY_LINK": "https://art.example/verify/", "UNIKAT_METRICS": self.metrics,
        } | {name: value for name, value in self.stack.env.items() if name.startswith("OTEL_")}  # fmt: skip

    def start(self) -> None:
        """Returns when it listens."""
        if not (self.folder / "log.key").exists():
            add_key(self.folder / "log.key", "first")
        self.program = Program("unikat_registry", env=self.environment)
        self.program.wait_for_line(READY, 60)

    def kill(self) -> None:
        """SIGKILL."""
        assert self.program is not None
        self.program.kill()

    def client(self, reconnect_timeout: float = 60.0) -> Registry:
        """A connection to it."""
        return Registry(self.target, reconnect_timeout=reconnect_timeout)


@contextmanager
def registering(stack: Stack, folder: Path, database: str = "", metrics: str = "") -> Iterator[Registering]:
    """A registry that listens, with a database in `folder` or the one of a URL."""
    registry = Registering(stack, folder, database or f"sqlite:///{folder}/registry.db", metrics=metrics)
    try:
        registry.start()
        yield registry
    finally:
        if registry.program is not None:
            registry.program.kill()
            print(*registry.program.lines[-30:], sep="\n")


@contextmanager
def drawing(folder: Path) -> Iterator[Stack]:
    """A service and a worker with the bundles of `folder`."""
    with running_stack(folder) as stack:
        yield stack


class Owner:
    """Somebody with a key."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._key = Ed25519PrivateKey.generate()
        self.public = self._key.public_key().public_bytes_raw()

    def claim(self, seed: int, index: int = 0, **more: object) -> pb.ClaimArtworkRequest:
        """A request for an ink drawing of the tiny model."""
        recipe = pb.ArtworkRecipe(model="tiny@1", seed=seed, index=index)
        recipe.conditions.add(attribute="style", category="ink")
        return pb.ClaimArtworkRequest(
            recipe=recipe,
            title=f"Sea {seed}",
            creator=self.name,
            owner_key=self.public,
            **more,  # type: ignore[arg-type]
        )

    def transfer(self, work: pb.Work, to: Owner, number: int = 1) -> pb.TransferArtworkRequest:
        """Signed by this owner."""
        signature = self._key.sign(transfer_text(ORIGIN, work.digest, number, self.public, to.public))
        return pb.TransferArtworkRequest(
            id=work.digest.hex(), new_owner=to.name, new_owner_key=to.public, signature=signature
        )
