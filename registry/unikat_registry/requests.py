"""What a request must be: everything that is wrong with it is said at once, before anything is drawn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc.code_pb2 import Code

from unikat.certificate import KEY_BYTES, SIGNATURE_BYTES
from unikat.conditions import FieldError
from unikat.errors import Reason, UnikatError, bad_field, error_of
from unikat.statuses import invalid
from unikat.v1 import provenance_pb2 as pb

MAX_BYTES: Final = 16 * 2**20  # of a request
LONGEST_NAME: Final = 200  # characters
_ID: Final = re.compile(r"[0-9a-f]{16}(?:[0-9a-f]{48})?")

M = TypeVar("M", bound=Message)


def parse(kind: type[M], data: bytes) -> M:
    """The message of a request's bytes. Raises UnikatError (INVALID_ARGUMENT)."""
    try:
        return kind.FromString(data)
    except DecodeError as error:
        raise invalid([FieldError("request", f"is no such message: {error}")]) from error


def check_claim(request: pb.ClaimArtworkRequest) -> None:
    """Raises UnikatError (INVALID_ARGUMENT). What a model knows is checked by the service."""
    _raise(
        *_named("creator", request.creator, needed=True),
        *_named("title", request.title),
        *_named("owner", request.owner),
        *_sized("owner_key", request.owner_key, KEY_BYTES),
        *([] if request.recipe.model else [FieldError("recipe.model", 'must be "name" or "name@version"')]),
    )


def check_transfer(request: pb.TransferArtworkRequest) -> None:
    """Raises UnikatError (INVALID_ARGUMENT)."""
    _raise(
        *_identified(request.id),
        *_named("new_owner", request.new_owner, needed=True),
        *_sized("new_owner_key", request.new_owner_key, KEY_BYTES),
        *_sized("signature", request.signature, SIGNATURE_BYTES),
    )


def check_id(id: str) -> None:
    """Raises UnikatError (INVALID_ARGUMENT)."""
    _raise(*_identified(id))


def check_list(request: pb.ListArtworksRequest) -> None:
    """Raises UnikatError (INVALID_ARGUMENT)."""
    _raise(*(_sized("owner_key", request.owner_key, KEY_BYTES) if request.owner_key else ()))


def no_such_work(id: str) -> UnikatError:
    """NOT_FOUND."""
    text = f'nobody has claimed the artwork "{id}"; ListArtworks names the works that there are'
    return error_of(bad_field("id", text, Code.NOT_FOUND, Reason.WORK_NOT_FOUND))


def _identified(id: str) -> Iterator[FieldError]:
    if not _ID.fullmatch(id):
        yield FieldError("id", f"must be an artwork's id (16 hex digits) or digest (64 hex digits), not {id[:80]!r}")


def _named(field: str, text: str, needed: bool = False) -> Iterator[FieldError]:
    if len(text) > LONGEST_NAME or not (text.isprintable() and text.strip() == text) or (needed and not text):
        least = 1 if needed else 0
        yield FieldError(field, f"must be {least} to {LONGEST_NAME} printable characters without blanks at the ends")


def _sized(field: str, data: bytes, size: int) -> Iterator[FieldError]:
    if len(data) != size:
        yield FieldError(field, f"must have {size} bytes (Ed25519), not {len(data)}")


def _raise(*problems: FieldError) -> None:
    if problems:
        raise invalid(problems)
