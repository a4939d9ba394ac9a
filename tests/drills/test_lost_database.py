"""A registry is killed and its database lost: what was promised holds after backup, restore and recovery."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.provenance.registering import Owner, Registering, drawing, registering
from tests.support.postgres import kinds_of_databases
from tests.support.processes import Program
from tests.support.tiny_model import write_tiny_bundle
from unikat.certificate import Certificate
from unikat.errors import InvalidRequest, WrongState
from unikat.transparency import Checkpoint, check_views
from unikat.transparency.mirror import Mirror
from unikat.v1 import provenance_pb2 as pb
from unikat_registry.__main__ import app

ANNA, BELA = Owner("Anna"), Owner("Bela")
# PostgreSQL's part is tested by tests/registry; here, its processes cost seconds.
KINDS = [pytest.param(kind, marks=() if kind == "sqlite" else pytest.mark.long) for kind in kinds_of_databases()]


@dataclass
class Running:
    """A registry with its database, and what it has answered."""

    registry: Registering
    answers: list[pb.Certificate] = field(default_factory=list)

    def claim(self, seed: int) -> pb.Certificate:
        with self.registry.client() as client:
            self.answers.append(client.claim(ANNA.claim(seed)))
        return self.answers[-1]

    def command(self, *words: str, code: int = 0) -> str:
        """What `unikat registry …` prints."""
        done = CliRunner().invoke(app, [*words], env=self.registry.environment, catch_exceptions=True)
        said = done.output + (str(done.exception) if done.exception else "")
        assert done.exit_code == code, said
        return said

    def does_not_start(self) -> str:
        with Program("unikat_registry", env=self.registry.environment) as program:
            assert program.wait(60) == 1
            return program.output


@pytest.fixture(params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    url = f"sqlite:///{tmp_path}/registry.db"
    if request.param == "postgresql":
        server = request.getfixturevalue("postgres")
        url = server.url(server.empty_database())
    write_tiny_bundle(tmp_path / "models")
    with drawing(tmp_path / "models") as stack, registering(stack, tmp_path, url) as registry:
        yield Running(registry)


def lose_the_database(running: Running, request: pytest.FixtureRequest) -> None:
    running.registry.kill()
    if running.registry.database.startswith("sqlite"):
        for file in running.registry.folder.glob("registry.db*"):
            file.unlink()
    else:
        request.getfixturevalue("postgres").empty_database()


def test_a_database_is_lost_and_no_promise_is_broken(
    running: Running, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    kept = running.claim(1)
    named = running.claim(2)
    with ThreadPoolExecutor(3) as pool:  # the registry goes on while it is backed up
        claiming = [pool.submit(running.claim, seed) for seed in (3, 4, 5)]
        said = running.command("backup", str(tmp_path / "backup"))
        assert [each.result() for each in claiming]
    assert "Not in it: the keys of the log" in said
    check_backup(tmp_path / "backup", running)
    # After the backup: a claim, a transfer, and an erasure of what the backup has.
    later = running.claim(6)
    with running.registry.client() as client:
        running.answers.append(client.transfer(ANNA.transfer(kept.work, BELA)))
    assert f"Entry {named.work.entry}: erased" in running.command("erase", str(named.work.entry))
    unwanted = running.claim(7)
    before = (running.registry.folder / "log" / "checkpoint").read_text(encoding="utf-8")

    lose_the_database(running, request)
    assert "it was restored from a backup that is too old" in running.does_not_start()
    running.command("restore", str(tmp_path / "backup"))
    assert "it was restored from a backup that is too old" in running.does_not_start()
    said = running.command("recover")
    assert "1 transfers, 1 erasures" in said
    (lost,) = re.findall(r"Names of these entries are lost.*: (.*)", said)
    assert f"these entries are lost, as if erased, unless --certificate has them: {lost}" in running.command("recover")
    # What is erased while it is lost, nobody brings back.
    assert f"Entry {unwanted.work.entry}: erased" in running.command("erase", str(unwanted.work.entry))
    assert {later.work.entry, later.work.entry + 1} <= set(map(int, lost.split(", ")))
    said = running.command("recover", *certificates(running, tmp_path))
    assert "0 entries came back" in said
    assert f"names of {len(lost.split(', ')) - 1} entries are known again" in said
    assert "are lost" not in said

    running.registry.start()
    check_promises(running, before)
    with running.registry.client() as client:
        again = client.certificate(later.work.id)
        assert (again.work, again.image) == (later.work, later.image)
        assert client.redraw(later.work.id).same_file
        assert client.certificate(named.work.id).work.creator == ""  # neither backup nor certificate brings it back
        assert client.certificate(unwanted.work.id).work.creator == ""
        assert client.certificate(kept.work.id).work.owner == BELA.name
        with pytest.raises(InvalidRequest, match="claimed already"):
            client.claim(BELA.claim(6))
        with pytest.raises(WrongState, match="not the present owner"):
            client.transfer(ANNA.transfer(kept.work, BELA, 2))


def check_backup(backup: Path, running: Running) -> None:
    """Its files fit one another, and hold no key."""
    Mirror(backup / "log", running.registry.key.verifier).verify()
    with closing(sqlite3.connect(backup / "registry.db")) as connection:
        (entries,) = connection.execute("SELECT size FROM log_size").fetchone()
        assert connection.execute("SELECT count(*) FROM log_entries").fetchone() == (entries,)
        assert connection.execute("SELECT count(*) FROM works WHERE length(image) > 0").fetchone() == (entries,)
    seed = running.registry.key.seed
    for file in filter(Path.is_file, backup.rglob("*")):
        data = file.read_bytes()
        assert seed not in data
        assert seed.hex().encode() not in data
        assert not file.name.endswith((".part", "-wal", "-shm"))


def certificates(running: Running, folder: Path) -> list[str]:
    """Options that name files of all certificates."""
    words = []
    for number, answer in enumerate(running.answers):
        file = folder / f"{number}.json"
        file.write_bytes(answer.document)
        words += ["--certificate", str(file)]
    return words


def check_promises(running: Running, before: str) -> None:
    """Every certificate that was given verifies, and the log extends its checkpoint and the last published one."""
    key = running.registry.key.verifier
    mirror = Mirror(running.registry.folder / "log", key)
    mirror.verify()
    parsed = [Certificate.parse(answer.document) for answer in running.answers]
    for certificate in parsed:
        certificate.verify(key)
    for earlier in (before, *(certificate.checkpoint for certificate in parsed)):
        size = Checkpoint.parse(earlier).size
        assert size <= mirror.checkpoint.size
        check_views(earlier, mirror.note, key, mirror.consistency(size))
