"""Who calls: the name of a bearer token, or the common name of the client's certificate, or nobody in particular."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from google.rpc.code_pb2 import Code

from unikat.credentials import name_problem
from unikat.errors import Reason, UnikatError, error_of, make_status
from unikat.queue.tokens import split
from unikat_service.access import ADMIN, BATCH, GENERATE
from unikat_service.errors import Context
from unikat_service.settings import Anonymous, Settings
from unikat_service.tokens import Tokens

NOBODY: Final = "default"  # the name of callers who show nothing

UNKNOWN: Final = "?"  # in audit lines; nobody can be called so

_HEADER: Final = "authorization"
_SCHEME: Final = "bearer "


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what for.

    `name` is whose turn it is, whose budget is spent and whose the batches are; `sees_all`: batches of others as well.
    `token` is the id of the token that was shown.
    """

    name: str
    scopes: frozenset[str]
    sees_all: bool = False
    token: str = ""

    @property
    def is_known(self) -> bool:
        """Whether a token or a certificate says who it is."""
        return is_told_apart(self.name)

    @property
    def confined_to(self) -> str | None:
        """The owner whose batches it may see and make; None: any."""
        return None if self.sees_all else self.name

    def own(self, request_id: str) -> str:
        """What a request_id is in Redis. Callers who are known have their own; others share those that there were."""
        return f"{self.name}/{request_id}" if self.is_known and request_id else request_id


def is_told_apart(name: str) -> bool:
    """Whether a caller's name says who it is."""
    return name != NOBODY


_current: ContextVar[Caller] = ContextVar("caller")


def current() -> Caller:
    """Who makes the call that this task serves. Raises LookupError outside of one."""
    return _current.get()


def be(caller: Caller) -> None:
    """Set what `current` says in this task."""
    _current.set(caller)


class Callers:
    """Identifies callers."""

    def __init__(self, settings: Settings, tokens: Tokens) -> None:
        self.tokens = tokens
        self._anonymous = settings.anonymous
        self._is_local = settings.is_local
        self._has_certificates = settings.tls_ca is not None
        self._certificate_scopes = settings.scopes_of_certificates

    async def identify(self, context: Context) -> Caller:
        """Raises UnikatError: UNAUTHENTICATED, or PERMISSION_DENIED for a certificate that names nobody."""
        shown = [value for key, value in context.invocation_metadata() or () if key == _HEADER]
        if shown:  # it says more than a certificate, which may be of the machine or of a proxy
            return await self._of_token(shown)
        if self._has_certificates:
            return Caller(common_name(context), self._certificate_scopes)
        return await self._nobody()

    async def _of_token(self, shown: Sequence[str | bytes]) -> Caller:
        text = shown[0] if isinstance(shown[0], str) else shown[0].decode(errors="replace")
        parts = split(text[len(_SCHEME) :].strip()) if text.lower().startswith(_SCHEME) else None
        if parts is None or len(shown) > 1:
            raise Refused(UNKNOWN, "authorization is not one `Bearer unikat_...`")
        id, secret = parts
        token = await self.tokens.find(id)
        if token is None or not token.is_proven_by(secret):
            raise Refused(f"token {id}", "no such token")
        if (state := self.tokens.state(token)) != "valid":
            raise Refused(token.name, f"token {id} is {state}")
        scopes = frozenset(token.scopes)
        return Caller(token.name, scopes, sees_all=ADMIN in scopes, token=id)

    async def _nobody(self) -> Caller:
        """A caller who shows nothing. It sees all where nobody is known, and its own where others are."""
        if self._anonymous is Anonymous.ALL:
            return Caller(NOBODY, frozenset({GENERATE, BATCH}), sees_all=not await self.tokens.exist())
        if self._anonymous is Anonymous.NONE or not self._is_local:
            raise Refused(UNKNOWN, "neither token nor certificate")
        if await self.tokens.exist():
            raise Refused(UNKNOWN, "no token, and this service has some")
        return Caller(NOBODY, frozenset({GENERATE, BATCH, ADMIN}), sees_all=True)


class Refused(UnikatError):
    """Nobody whom this service knows. The caller is not told more than that; the audit line has `who` and `why`."""

    def __init__(self, who: str, why: str) -> None:
        text = "show a token of this service that is valid: --token or UNIKAT_TOKEN; `unikat tokens create` makes one"
        super().__init__(make_status(Code.UNAUTHENTICATED, text, Reason.UNAUTHENTICATED))
        self.who, self.why = who, why


def common_name(context: Context) -> str:
    """The caller as its certificate names it.

    Raises UnikatError (PERMISSION_DENIED) for a certificate whose common name cannot be an owner.
    """
    name = b"".join(context.auth_context().get("x509_common_name", ())).decode(errors="replace")
    if problem := name_problem(name):
        text = f"the client certificate's common name names nobody: {problem}"
        raise error_of(make_status(Code.PERMISSION_DENIED, text, Reason.CERTIFICATE))
    return name
