"""A real PostgreSQL for tests: its own folder, its own unix socket, no TCP port."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

REQUIRED: Final = "UNIKAT_TEST_POSTGRES"  # set to 1, tests fail where there is no PostgreSQL
_SHARED: Final = "test"  # a database costs 7 MB of files, and a second to remove: most tests share one
_DEBIAN: Final = Path("/usr/lib/postgresql")
# Tests kill processes, not machines; and two cores are shared.
_SETTINGS: Final = {"fsync": "off", "listen_addresses": "", "max_connections": "40", "shared_buffers": "16MB"}


def binaries() -> Path | None:
    """The folder of `initdb`, `postgres`, `pg_ctl` and `pg_dump`: that of PATH, or Debian's newest."""
    named = shutil.which("pg_dump"), shutil.which("initdb")
    found = [Path(os.path.realpath(each)).parent for each in named if each]
    found += sorted(_DEBIAN.glob("*/bin"), key=lambda each: float(each.parent.name), reverse=True)
    return next((each for each in found if (each / "initdb").exists() and (each / "pg_dump").exists()), None)


def kinds_of_databases() -> list[str]:
    """What tests of the database run on: PostgreSQL where it is installed, or where CI says that it must be."""
    return ["sqlite", *(["postgresql"] if binaries() or os.environ.get(REQUIRED) else [])]


class Postgres:
    """A running server."""

    def __init__(self, directory: Path, programs: Path) -> None:
        self.directory = directory
        self.programs = programs
        self.user = _user()
        self._has_shared = False

    def run(self, program: str, *args: str) -> None:
        """Run one of PostgreSQL's programs as the server's user. Raises AssertionError with what it said."""
        command = [str(self.programs / program), *args]
        done = subprocess.run(
            command, user=self.user, cwd=self.directory, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert done.returncode == 0, f"{program}: {done.stdout}"

    def url(self, name: str) -> str:
        """Of one of its databases."""
        return f"postgresql+psycopg://postgres@/{name}?host={self.directory}"

    def empty_database(self) -> str:
        """The name of the one that tests take in turns, emptied."""
        if not self._has_shared:
            self._sql(f"CREATE DATABASE {_SHARED}")
            self._has_shared = True
        self._sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{_SHARED}'")
        self._sql("DROP SCHEMA public CASCADE", _SHARED)
        self._sql("CREATE SCHEMA public", _SHARED)
        return _SHARED

    @contextmanager
    def new_database(self, template: str = "template1", encoding: str = "UTF8") -> Iterator[str]:
        """The name of a further one, empty or as another one is, until the end of the block."""
        name = f"test_{secrets.token_hex(4)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {template} ENCODING '{encoding}'")
        yield name
        self._sql(f"DROP DATABASE {name} WITH (FORCE)")

    def _sql(self, statement: str, database: str = "postgres") -> None:
        import psycopg

        with psycopg.connect(f"host={self.directory} user=postgres dbname={database}", autocommit=True) as connection:
            connection.execute(statement.encode())


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A started server in a folder of its own, which is removed at the end."""
    programs = binaries()
    assert programs, f"no PostgreSQL in PATH and {_DEBIAN}: install it, or do not set {REQUIRED}"
    directory = Path(
        tempfile.mkdtemp(prefix="unikat-")
    )  # not tmp_path: the path of a unix socket has 107 bytes at most
    server = Postgres(directory, programs)
    data = directory / "data"
    try:
        if server.user is not None:
            shutil.chown(directory, server.user)
        server.run("initdb", "-D", str(data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        settings = "".join(f" -c {name}='{value}'" for name, value in _SETTINGS.items())
        log = str(directory / "log")  # pg_ctl's own output would hold our pipe open
        server.run("pg_ctl", "-D", str(data), "-w", "-t", "120", "-l", log, "-o", f"-k {directory}{settings}", "start")
        yield server
    finally:
        if (data / "postmaster.pid").exists():
            server.run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server for all tests of a process."""
    with running_postgres() as server:
        yield server


@pytest.fixture(params=kinds_of_databases())
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of a database that is empty."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/registry.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.url(server.empty_database())


def _user() -> str | None:
    """Who the server runs as; it refuses root."""
    if os.getuid():
        return None
    names = {each.pw_name for each in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
