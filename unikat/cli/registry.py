"""Where a registry is, for the commands that call it, and its errors as a person should read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from unikat.cli import options
from unikat.cli.problems import BAD_INPUT, Problem, explain

if TYPE_CHECKING:
    from unikat.registry import Registry

# Field of a request -> how it is written on the command line.
_FLAGS: Final = {
    "title": "--title", "creator": "--creator", "owner": "--owner", "owner_key": "--owner-key", "picture": "FILE",
    "id": "ID", "new_owner": "--to", "new_owner_key": "--to-key", "signature": "--key", "recipe.conditions": "--where",
    "recipe.model": "WHAT", "recipe.seed": "WHAT", "recipe.index": "WHAT", "recipe.truncation": "--truncation",
    "recipe.background": "--background",
}  # fmt: skip


@dataclass(frozen=True)
class Address:
    """Where the registry is, whom to trust, and what to show of oneself."""

    registry: Annotated[
        str, typer.Option(envvar="UNIKAT_REGISTRY", help="Where the registry is: host:port, or another gRPC name.")
    ] = "localhost:50052"
    tls: options.Tls = False
    ca: options.Authorities = None
    tls_cert: options.ShownCertificate = None
    tls_key: options.ShownKey = None


ADDRESS: Final = Address()


@contextmanager
def connect(at: Address) -> Iterator[Registry]:
    """A registry whose errors become problems that a person can read."""
    from unikat.errors import Unavailable, UnikatError
    from unikat.registry import Registry

    identity = options.identity_of(at.tls_cert, at.tls_key)
    try:
        with Registry(at.registry, tls=at.tls, ca=at.ca, identity=identity, reconnect_timeout=3.0) as registry:
            yield registry
    except UnikatError as error:
        if isinstance(error, Unavailable) and not error.reason:
            start = "`unikat up` starts one, or `unikat registry`; --registry or UNIKAT_REGISTRY says where it is."
            raise Problem(f"no registry answers on {at.registry}", start) from error
        raise explain(error, _flag) from error
    except OSError as error:
        if error.filename is None:  # standard output: the program's end says it
            raise
        raise Problem(f"{error.filename}: {error.strerror or error}") from error


def _flag(field: str) -> str:
    bare = field.partition("[")[0]
    return _FLAGS.get(bare, bare)


def public_key(text: str) -> bytes:
    """A public key: 64 hex digits, or the file that holds them. Raises Problem."""
    try:
        if Path(text).is_file():
            text = Path(text).read_text(encoding="utf-8").strip()
        key = bytes.fromhex(text)
    except (OSError, ValueError) as error:
        raise Problem(f"{text[:80]}: neither a public key (64 hex digits) nor a file of one", code=BAD_INPUT) from error
    if len(key) != 32:
        raise Problem(f"a public key has 64 hex digits, not {len(text)}", code=BAD_INPUT)
    return key
