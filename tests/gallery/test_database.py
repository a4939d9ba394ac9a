"""The gallery's database file: made, migrated, refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner

from unikat_gallery.database import open_database, open_existing, writing
from unikat_gallery.tables import METADATA
from unikat_gallery.votes.command import app


def test_the_migrations_make_the_tables_that_the_code_expects(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "folder" / "gallery.db")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    engine.dispose()
    assert (tmp_path / "folder" / "gallery.db").stat().st_mode & 0o077 == 0


def test_a_database_of_a_newer_release_and_what_is_none_are_refused(tmp_path: Path) -> None:
    engine = open_database(tmp_path / "gallery.db")
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(ValueError, match="newer release"):
        open_database(tmp_path / "gallery.db")
    (tmp_path / "text.db").write_text("no database, whatever its name says\n" * 100)
    with pytest.raises(ValueError, match=r"text\.db: file is not a database"):
        open_database(tmp_path / "text.db")


def test_a_database_that_is_only_read_is_not_migrated(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unable to open database file"):
        open_existing(tmp_path / "gallery.db")
    assert not (tmp_path / "gallery.db").exists()
    open_database(tmp_path / "gallery.db").dispose()
    engine = open_existing(tmp_path / "gallery.db")
    with pytest.raises(OperationalError, match="readonly database"), writing(engine) as connection:
        connection.execute(text("DELETE FROM votes"))
    engine.dispose()
    engine = open_database(tmp_path / "gallery.db")
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
        connection.execute(text("DROP TABLE votes"))
    words = ["votes", "report", "--database", str(tmp_path / "gallery.db"), "--out", str(tmp_path)]
    error = CliRunner().invoke(app, words).exception
    assert "the tables of migration 0001, and this release those of 0002" in str(error)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM alembic_version")) == "0001"
    engine.dispose()
    (tmp_path / "text.db").write_text("no database, whatever its name says\n" * 100)
    with pytest.raises(ValueError, match=r"text\.db: file is not a database"):
        open_existing(tmp_path / "text.db")
