"""`unikat tokens`: who may call a service, for what, and until when."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from unikat.cli import options
from unikat.cli.output import print_json, stderr, stdout
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.cli.redis import connected_redis

if TYPE_CHECKING:
    from redis import Redis

    from unikat.queue.tokens import Token

DAY: Final = 86_400.0  # s

Scope = StrEnum("Scope", ["generate", "batch", "claim", "admin"])  # SCOPES; mypy wants them spelled out

Name = Annotated[str, typer.Argument(metavar="NAME", help="The caller: whose its jobs and batches are.")]

tokens = typer.Typer(
    no_args_is_help=True, help="Who may call a service, for what, and until when: bearer tokens, kept in Redis."
)


@tokens.command()
def create(
    name: Name,
    scope: Annotated[
        list[Scope] | None,
        typer.Option(help="What it may do: generate, batch, claim (kept for later), admin (all). Repeat it. generate."),
    ] = None,
    days: Annotated[float, typer.Option(min=0, help="How long it is valid (days; 0: until it is revoked).")] = 90,
    redis_url: options.RedisUrl = None,
    data: options.Data = options.DEFAULT_DATA,
) -> None:
    """Make a token and print it, this once: Redis has its digest only.

    From then on a service that is reached by this machine only serves nobody without a token.
    """
    with _redis(redis_url, data) as redis:
        from unikat.queue.tokens import create as create_token

        scopes = [str(each) for each in scope or [Scope("generate")]]
        token, text = create_token(redis, name, scopes, days * DAY or None)
    _print_once(token, text)


@tokens.command("list")
def list_tokens(
    everything: Annotated[bool, typer.Option("--all", help="Also those that are expired or revoked.")] = False,
    as_json: options.AsJson = False,
    redis_url: options.RedisUrl = None,
    data: options.Data = options.DEFAULT_DATA,
) -> None:
    """List tokens, newest first: what is known of them, not what they are."""
    with _redis(redis_url, data) as redis:
        from unikat.queue.clock import redis_time
        from unikat.queue.tokens import read_all

        now, found = redis_time(redis), read_all(redis)
    shown = [token for token in found if everything or token.state(now) == "valid"]
    if as_json:
        for token in shown:
            print_json(_as_dict(token, now))
        return
    if not shown:
        stderr().print("There are no tokens. `unikat tokens create NAME` makes one.")
        return
    table = Table("name", "id", "state", "scopes", "created", "expires", box=None, pad_edge=False)
    for token in shown:
        expires = "never" if token.expires is None else _day(token.expires)
        words = (token.name, token.id, token.state(now), ", ".join(token.scopes), _day(token.created), expires)
        table.add_row(*map(Text, words))
    stdout().print(table, soft_wrap=False)


@tokens.command()
def revoke(
    whose: Annotated[str, typer.Argument(metavar="NAME|ID", help="All tokens of a caller, or the one with the id.")],
    redis_url: options.RedisUrl = None,
    data: options.Data = options.DEFAULT_DATA,
) -> None:
    """End tokens now: within a second no call is let in with them, and those under way have ended."""
    with _redis(redis_url, data) as redis:
        from unikat.queue.tokens import revoke as revoke_tokens

        ended = revoke_tokens(redis, whose)
    if not ended:
        raise Problem(f'no valid token is of "{whose}"', "`unikat tokens list` has them.", code=BAD_INPUT)
    for token in ended:
        stdout().print(Text(f"Token {token.id} of {token.name} is revoked."))


@tokens.command()
def rotate(
    name: Name,
    overlap: Annotated[
        float, typer.Option(min=0, help="How long the old ones stay valid meanwhile (hours; 0: they end now).")
    ] = 24,
    redis_url: options.RedisUrl = None,
    data: options.Data = options.DEFAULT_DATA,
) -> None:
    """Make a caller a new token, with scopes and lifetime of its newest, and have the old ones end."""
    with _redis(redis_url, data) as redis:
        from unikat.queue.tokens import rotate as rotate_token

        made = rotate_token(redis, name, overlap * 3600)
    if made is None:
        raise Problem(f'no valid token is of "{name}"', f"Make one: unikat tokens create {name}", code=BAD_INPUT)
    _print_once(*made)


def _redis(url: str | None, data: Path) -> AbstractContextManager[Redis]:
    return connected_redis(url, data, "unikat-tokens")


def _print_once(token: Token, text: str) -> None:
    until = "until it is revoked" if token.expires is None else f"until {_day(token.expires)}"
    about = f"Token {token.id} of {token.name}, for {', '.join(token.scopes)}, {until}. It is shown this once:"
    stderr().print(about, markup=False)
    print(text)  # alone on standard output, so that it can be put into a file


def _as_dict(token: Token, now: float) -> dict[str, object]:
    facts: dict[str, object] = {"name": token.name, "id": token.id, "state": token.state(now), "scopes": token.scopes}
    for name, moment in (("created", token.created), ("expires", token.expires), ("revoked", token.revoked)):
        facts[name] = None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()
    return facts


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))
