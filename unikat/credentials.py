"""What callers are called, and what a client shows of itself: a bearer token, and where it may be sent."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from unikat.loopback import is_loopback

TOKEN_VARIABLE: Final = "UNIKAT_TOKEN"
TOKEN_FILE_VARIABLE: Final = "UNIKAT_TOKEN_FILE"

NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,128}")
NAME_RULE: Final = "1 to 128 characters of A-Z a-z 0-9 . _ @ -"
RESERVED: Final = frozenset({"default", "anon"})  # callers whom nobody identified

SCOPES: Final = ("generate", "batch", "claim", "admin")  # of tokens and certificates

_SENDABLE: Final = re.compile(r"[!-~]+")

Metadata = tuple[tuple[str, str], ...]


def name_problem(name: str) -> str | None:
    """Why a caller cannot be called so; None if it can."""
    if NAME.fullmatch(name) and name not in RESERVED:
        return None
    return f"a caller's name has {NAME_RULE}, and is none of {', '.join(sorted(RESERVED))}; not {name!r}"


def find_token(given: str | None, file: str | Path | None = None) -> str | None:
    """The token that was given or is in `file`, else that of $UNIKAT_TOKEN, else that in the file $UNIKAT_TOKEN_FILE.

    Raises OSError for a file that cannot be read, ValueError for what cannot be a token; neither shows it.
    """
    named = os.environ.get(TOKEN_FILE_VARIABLE)
    text = given
    if text is None and file is not None:
        text = Path(file).read_text()
    if text is None:
        text = os.environ.get(TOKEN_VARIABLE) or (Path(named).read_text() if named else "")
    token = text.strip()
    if token and not _SENDABLE.fullmatch(token):
        raise ValueError("a token is one word of ASCII, as `unikat tokens create` printed it")
    return token or None


def metadata_of(token: str | None, target: str, is_encrypted: bool) -> Metadata:
    """What is sent with every call. Raises ValueError for a token that others could read on its way."""
    if token is None:
        return ()
    if not (is_encrypted or is_loopback(target)):
        how = "use TLS (--tls, or --tls-ca FILE; in Python tls=True or ca=...)"
        raise ValueError(f"the token would be sent to {target} for everybody on the way to read: {how}, or show none")
    return (("authorization", f"Bearer {token}"),)
