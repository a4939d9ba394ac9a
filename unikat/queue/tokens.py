"""Bearer tokens in Redis: who may call, for what, and until when.

A token is "unikat_<id>_<secret>". The id finds the record and may be shown; of the secret, Redis has the SHA-256. A
slow hash (argon2, scrypt) protects what people choose, because guesses are few: a secret here is 256 random bits, for
which 2^255 guesses are needed on average whatever one of them costs, and it is checked with every call.

Records stay when they are revoked or expired, so that a refusal can be told to be of whom.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, cast

from redis import Redis
from redis.client import Pipeline

from unikat.credentials import SCOPES, name_problem
from unikat.queue.clock import redis_time

# Hash: id -> JSON of a Token without its id. Not below `unikat:`, so that an ACL which opens that to a worker does not
# let it make tokens, and the service may be let read them only.
TOKENS_KEY: Final = "unikat-tokens"


_TOKEN: Final = re.compile(r"unikat_(?P<id>[0-9a-f]{16})_(?P<secret>[A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class Token:
    """What Redis has of a token. Times are Unix times (s) of Redis' clock; `expires` None is never."""

    id: str
    name: str
    digest: str
    scopes: tuple[str, ...]
    created: float
    expires: float | None = None
    revoked: float | None = None

    @classmethod
    def from_json(cls, id: str, text: str | bytes) -> Token:
        """Raises ValueError for what is no record. Fields of later releases are ignored."""
        try:
            facts = json.loads(text)
            return cls(
                id, str(facts["name"]), str(facts["digest"]), tuple(map(str, facts["scopes"])),
                float(facts["created"]), _time(facts.get("expires")), _time(facts.get("revoked")),
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"the record of token {id} cannot be read: {error!r}") from error

    def to_json(self) -> str:
        facts = asdict(self)
        del facts["id"]
        return json.dumps(facts)

    def state(self, now: float) -> str:
        """ "valid", "expired" or "revoked"."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "valid"

    def is_proven_by(self, secret: str) -> bool:
        """Whether the secret is this token's; in a time that does not depend on how much of it is right."""
        return hmac.compare_digest(digest_of(secret), self.digest)


def digest_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def split(text: str) -> tuple[str, str] | None:
    """Id and secret of a token; None for what is none."""
    found = _TOKEN.fullmatch(text)
    return (found["id"], found["secret"]) if found else None


def create(redis: Redis, name: str, scopes: Iterable[str], lifetime: float | None) -> tuple[Token, str]:
    """A new token for a caller, valid `lifetime` seconds: its record, and the text that is shown this once.

    Raises ValueError for a name or a scope that there cannot be.
    """
    wanted = tuple(scope for scope in SCOPES if scope in set(scopes))
    if problem := name_problem(name):
        raise ValueError(problem)
    if not wanted or set(scopes) - set(SCOPES):
        raise ValueError(f"scopes are some of {', '.join(SCOPES)}, not {', '.join(scopes) or 'none'}")
    now = redis_time(redis)
    token, text = _new(name, wanted, now, lifetime)
    redis.hset(TOKENS_KEY, token.id, token.to_json())
    return token, text


def read_all(redis: Redis) -> list[Token]:
    """All records, the newest first. Raises RedisError, ValueError."""
    found = cast(dict[Any, Any], redis.hgetall(TOKENS_KEY))
    return sorted((Token.from_json(_text(id), value) for id, value in found.items()), key=lambda t: -t.created)


def revoke(redis: Redis, whose: str) -> list[Token]:
    """End the tokens of a name, or the one that has the id; those that were valid. Raises RedisError, ValueError."""

    def change(known: list[Token], now: float) -> list[Token]:
        return [replace(token, revoked=now) for token in known if whose in (token.name, token.id)]

    return _change(redis, change)


def rotate(redis: Redis, name: str, overlap: float) -> tuple[Token, str] | None:
    """A new token with scopes and lifetime of a caller's newest one; the old ones end in `overlap` seconds.

    None if the caller has no valid token. Raises RedisError, ValueError.
    """
    made: list[tuple[Token, str]] = []

    def change(known: list[Token], now: float) -> list[Token]:
        made.clear()
        mine = [token for token in known if token.name == name]
        if not mine:
            return []
        newest = mine[0]
        lifetime = None if newest.expires is None else newest.expires - newest.created
        made.append(_new(name, newest.scopes, now, lifetime))
        until = now + overlap
        ending = [replace(t, expires=until if t.expires is None else min(t.expires, until)) for t in mine]
        return [*ending, made[0][0]]

    _change(redis, change)
    return made[0] if made else None


def _change(redis: Redis, change: Callable[[list[Token], float], list[Token]]) -> list[Token]:
    """Write what `change` makes of the valid tokens, the newest first; nobody else changes any meanwhile."""
    changed: list[Token] = []

    def step(pipe: Pipeline) -> None:
        now = redis_time(redis)
        found = cast(dict[Any, Any], pipe.hgetall(TOKENS_KEY))
        tokens = [Token.from_json(_text(id), value) for id, value in found.items()]
        valid = sorted((t for t in tokens if t.state(now) == "valid"), key=lambda t: -t.created)
        changed[:] = change(valid, now)
        pipe.multi()
        for token in changed:
            pipe.hset(TOKENS_KEY, token.id, token.to_json())

    redis.transaction(step, TOKENS_KEY)
    return changed


def _new(name: str, scopes: tuple[str, ...], now: float, lifetime: float | None) -> tuple[Token, str]:
    id, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
    expires = None if lifetime is None else now + lifetime
    return Token(id, name, digest_of(secret), scopes, now, expires), f"unikat_{id}_{secret}"


def _time(value: object) -> float | None:
    return None if value is None else float(cast(float, value))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
