"""`unikat keys`: an authority of one's own, the certificates that it signs, and the passwords of Redis' users."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from secrets import token_urlsafe
from types import ModuleType
from typing import Annotated, Final

import typer
from rich.text import Text

from unikat.cli.files import write
from unikat.cli.output import stdout
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.credentials import name_problem

# What is mounted where: the service needs its own folder only, never the authority's key.
AUTHORITY, SERVICE, CLIENTS, REDIS = "authority", "service", "clients", "redis"
LONGEST_COMMON_NAME: Final = 64  # X.509
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")

Folder = Annotated[Path, typer.Option("--keys", envvar="UNIKAT_KEYS", help="Folder of authority and certificates.")]
Names = Annotated[list[str] | None, typer.Option("--name", help="Host name or IP address that clients use. Repeat it.")]
Days = Annotated[int, typer.Option(min=1, help="How long the certificate is valid (days).")]

DEFAULT_KEYS = Path("keys")
DEFAULT_DAYS: Final = 365

keys = typer.Typer(
    no_args_is_help=True,
    help="Keys: an authority of your own, certificates of service and clients, passwords of Redis' users.",
)


@keys.command()
def init(name: Names = None, days: Days = DEFAULT_DAYS, keys: Folder = DEFAULT_KEYS) -> None:
    """Make an authority, and a certificate of it for the service."""
    folder = keys / AUTHORITY
    if (folder / "ca.key").exists():
        hint = f"A new certificate for the service: unikat keys server --keys {keys}"
        raise Problem(f"{folder} has an authority already", hint, code=BAD_INPUT)
    with _working() as authority:
        authority.Authority.create().save(folder, "ca")
    stdout().print(
        Text(f"{folder}/ca.crt is what clients trust (--tls-ca); keep {folder}/ca.key where nobody else is.")
    )
    server(name, days, keys)


@keys.command()
def server(name: Names = None, days: Days = DEFAULT_DAYS, keys: Folder = DEFAULT_KEYS) -> None:
    """Make the service's certificate anew, by default for the names of the one that is there.

    A service that runs shows it to the next connection.
    """
    folder = keys / SERVICE
    with _working() as authority:
        old = [] if name or not (folder / "tls.crt").exists() else authority.names_in((folder / "tls.crt").read_bytes())
        names = list(dict.fromkeys([*(name or old), *LOCAL_NAMES]))
        authority.Authority.load(keys / AUTHORITY).issue_server(names, days).save(folder, "tls")
    files = f"--tls-cert {folder}/tls.crt --tls-key {folder}/tls.key"
    stdout().print(Text(f"For {', '.join(names)}: unikat serve {files}"))


@keys.command()
def client(
    name: Annotated[str, typer.Argument(help="The caller: whose its jobs and batches are.")],
    days: Days = DEFAULT_DAYS,
    keys: Folder = DEFAULT_KEYS,
) -> None:
    """Make a certificate for a client, which a service asks for that has --tls-ca."""
    folder = keys / CLIENTS / name
    problem = name_problem(name)
    if problem or len(name) > LONGEST_COMMON_NAME or not name.strip("."):
        problem = problem or f"NAME: a certificate names at most {LONGEST_COMMON_NAME} characters, and not only dots"
        raise Problem(problem, code=BAD_INPUT)
    with _working() as authority:
        authority.Authority.load(keys / AUTHORITY).issue_client(name, days).save(folder, "tls")
    files = f"--tls-ca {folder}/ca.crt --tls-cert {folder}/tls.crt --tls-key {folder}/tls.key"
    stdout().print(Text(f"{name} calls with {files}"))


@keys.command()
def redis(
    address: Annotated[str, typer.Option(help="Where programs reach it: host:port.")] = "valkey:6379",
    keys: Folder = DEFAULT_KEYS,
) -> None:
    """Make passwords for Redis' users: an ACL file for the server, and compose.env with the programs' URLs.

    Made again, all passwords are others: restart what has them.
    """
    if find_spec("redis") is None:
        raise Problem("not installed: redis", "Install it: pip install 'unikat[queue]'")
    from unikat.queue.acl import USERS, acl_file

    passwords = {user: token_urlsafe(32) for user in (*USERS, "admin")}
    file, environment = keys / REDIS / "users.acl", keys / "compose.env"
    variables = {
        "UNIKAT_TLS_DIR": str((keys / SERVICE).resolve()),
        "UNIKAT_ACL_FILE": str(file.resolve()),
        **{
            f"UNIKAT_{user.upper()}_REDIS_URL": f"redis://{user}:{word}@{address}/0" for user, word in passwords.items()
        },
    }
    if os.getuid():  # whose the service's key is; root runs no container
        variables["UNIKAT_SERVICE_USER"] = f"{os.getuid()}:{os.getgid()}"
    with _working():
        file.parent.mkdir(parents=True, exist_ok=True)
        write(file, acl_file(passwords).encode(), 0o644)  # digests of 256 random bits: the server's user reads it
        write(environment, "".join(f"{name}={value}\n" for name, value in variables.items()).encode(), 0o600)
    stdout().print(Text(f"docker compose --env-file {environment} ...; another server takes --aclfile {file}"))
    if not os.getuid():
        stdout().print(Text(f"The container of the service runs as user 10001: chown -R 10001:10001 {keys / SERVICE}"))


@contextmanager
def _working() -> Iterator[ModuleType]:
    """The module `authority`; what is missing or cannot be written becomes a problem."""
    try:
        from unikat.cli import authority
    except ImportError as error:
        raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[keys]'") from error
    try:
        yield authority
    except FileNotFoundError as error:
        raise Problem(f"{error.filename} is missing", "Make an authority: unikat keys init", code=BAD_INPUT) from error
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror or error}") from error
    except ValueError as error:
        raise Problem(str(error), code=BAD_INPUT) from error
