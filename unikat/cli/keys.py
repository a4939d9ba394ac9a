"""`unikat keys`: authorities of one's own, passwords of Redis' users, keys of watermarks, batches and the log."""

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

from unikat.cli.output import stdout
from unikat.cli.problems import BAD_INPUT, Problem
from unikat.credentials import name_problem
from unikat.files import write_whole
from unikat.key_file import add_key, read_keys
from unikat.mark_keys import add_mark_key

# What is mounted where: the service needs its own folder only, never the authority's key.
AUTHORITY, SERVICE, CLIENTS, REDIS = "authority", "service", "clients", "redis"
MARKS: Final = "marks"
CONTENT_AUTHORITY, CONTENT = "content-authority", "content"
STORAGE: Final = "storage"
OWNERS: Final = "owners"
LOG: Final = "log"
LONGEST_COMMON_NAME: Final = 64  # X.509
LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")

Folder = Annotated[Path, typer.Option("--keys", envvar="UNIKAT_KEYS", help="Folder of authority and certificates.")]
Names = Annotated[list[str] | None, typer.Option("--name", help="Host name or IP address that clients use. Repeat it.")]
Days = Annotated[int, typer.Option(min=1, help="How long the certificate is valid (days).")]

DEFAULT_KEYS = Path("keys")
DEFAULT_DAYS: Final = 365

_REAL: Final = """\
Readers elsewhere say of it: valid, but the signer is unknown. That takes a certificate whose root is on C2PA's trust \
list: apply to the conformance program (c2pa.org/conformance), and have one of the listed authorities sign a key that \
never leaves its machine. A certificate for signed mail or documents reads as this one does."""

keys = typer.Typer(
    no_args_is_help=True,
    help="Keys: authorities of your own, certificates of service, clients and Content Credentials, passwords of Redis' "
    "users, watermarks, batches, the registry's log.",
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
def content(
    name: Annotated[str, typer.Option(help="Who signs, as readers show it.")] = "Unikat (development)",
    days: Days = DEFAULT_DAYS,
    keys: Folder = DEFAULT_KEYS,
) -> None:
    """Make a certificate that signs Content Credentials, for development, and an authority of its own if there is none.

    A service that runs goes on with the one before until it is started again.
    """
    if not 0 < len(name) <= LONGEST_COMMON_NAME:
        raise Problem(f"--name: a certificate names 1 to {LONGEST_COMMON_NAME} characters", code=BAD_INPUT)
    roots, folder = keys / CONTENT_AUTHORITY, keys / CONTENT
    with _working() as authority:
        # Not the one of TLS: who trusts pictures need not trust servers, nor the other way round.
        if not (roots / "ca.key").exists():
            authority.Authority.create(f"{name[: LONGEST_COMMON_NAME - 5]} root").save(roots, "ca")
        authority.Authority.load(roots).issue_signer(name, days).save(folder, "sign")
    files = f"--credentials-cert {folder}/sign.crt --credentials-key {folder}/sign.key"
    stdout().print(Text(f"unikat serve {files}; who reads trusts {folder}/ca.crt: unikat credentials show --trust"))
    stdout().print(Text(_REAL))


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
    with _problems():
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, acl_file(passwords).encode(), 0o644)  # digests of 256 random bits: the server's user reads it
        write_whole(environment, "".join(f"{name}={value}\n" for name, value in variables.items()).encode(), 0o600)
    stdout().print(Text(f"docker compose --env-file {environment} ...; another server takes --aclfile {file}"))
    if not os.getuid():
        stdout().print(Text(f"The container of the service runs as user 10001: chown -R 10001:10001 {keys / SERVICE}"))


@keys.command()
def mark(
    id: Annotated[str, typer.Argument(help="Name of the key: lower-case letters, digits and -.")],
    keys: Folder = DEFAULT_KEYS,
) -> None:
    """Make a secret key of watermarks, and add it to those that are there: only who has it finds its marks."""
    file = keys / MARKS
    with _problems():
        add_mark_key(file, id)
    stdout().print(Text(f"Every worker: --mark-keys {file}"))
    stdout().print(Text(f"Then new images get it by `unikat serve --mark {id}`. Keep the file: old marks need it."))


@keys.command()
def storage(
    id: Annotated[str, typer.Argument(help="Name of the key: lower-case letters, digits and -.")],
    keys: Folder = DEFAULT_KEYS,
) -> None:
    """Make a key that batches can be encrypted with, and add it to those that are there.

    What is encrypted with a key that is lost is lost.
    """
    file = keys / STORAGE
    with _problems():
        add_key(file, id)
    stdout().print(Text(f"Every worker: --storage-keys {file}; then: unikat batch create ... --encrypt {id}"))
    stdout().print(Text(f"Keep a copy of {file} elsewhere: what is encrypted with a key that is lost is lost."))


@keys.command()
def log(
    id: Annotated[str, typer.Argument(help="Name of the key in its file: lower-case letters, digits and -.")],
    origin: Annotated[str, typer.Option(help="Name of the log, as its checkpoints say it: a URL without https://.")],
    keys: Folder = DEFAULT_KEYS,
) -> None:
    """Make a key (Ed25519) that signs checkpoints of the registry's log, and add it to those that are there.

    All keys of the file sign. Printed is what verifies them: publish it.
    """
    file = keys / LOG
    with _working(), _problems():
        from unikat.transparency.keys import read_signing_keys
        from unikat.transparency.note import check_name

        check_name(origin)
        add_key(file, id)
        verifiers = [key.verifier for key in read_signing_keys(file, origin)]
    stdout().print(Text(f"The registry signs with {file}; keep a copy elsewhere. Readers verify with:"))
    for verifier in verifiers:
        stdout().print(Text(str(verifier)), soft_wrap=True)


@keys.command()
def owner(
    name: Annotated[str, typer.Argument(help="Whose: lower-case letters, digits and -.")], keys: Folder = DEFAULT_KEYS
) -> None:
    """Make a key (Ed25519) of an owner of works: who has it can hand them on, and nobody without it."""
    secret, public = keys / OWNERS / f"{name}.key", keys / OWNERS / f"{name}.pub"
    if secret.exists():
        raise Problem(f"{secret} is there already", code=BAD_INPUT)
    with _working(), _problems():
        from unikat.owner_key import public_of

        add_key(secret, name)
        (seed,) = read_keys(secret).values()
        write_whole(public, f"{public_of(seed).hex()}\n".encode())
    stdout().print(Text(f"Claim with --owner-key {public}; hand on with --key {secret}: keep a copy elsewhere."))


@contextmanager
def _working() -> Iterator[ModuleType]:
    """The module `authority`, which needs `cryptography`."""
    try:
        from unikat.cli import authority
    except ImportError as error:
        raise Problem(f"not installed: {error.name}", "Install it: pip install 'unikat[keys]'") from error
    with _problems():
        yield authority


@contextmanager
def _problems() -> Iterator[None]:
    """What is missing or cannot be written becomes a problem."""
    try:
        yield
    except FileNotFoundError as error:
        raise Problem(f"{error.filename} is missing", "Make an authority: unikat keys init", code=BAD_INPUT) from error
    except OSError as error:
        raise Problem(f"{error.filename}: {error.strerror or error}") from error
    except ValueError as error:
        raise Problem(str(error), code=BAD_INPUT) from error
