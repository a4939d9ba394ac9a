"""The log: one sequence without gaps, whoever appends, and proofs of what is committed."""

from __future__ import annotations

from itertools import chain

import pytest
from sqlalchemy import Engine, event, select
from sqlalchemy.orm import Session

from tests.registry.conftest import KEY, ORIGIN
from tests.registry.writers import append_at_once
from unikat.transparency import Checkpoint, SigningKey, check_views, merkle
from unikat_registry.database import reading, writing
from unikat_registry.log import LONGEST_LEAF, Log
from unikat_registry.tables import ENTRIES

PROCESSES, EACH = 3, 15


def leaf(number: int) -> bytes:
    return f"entry {number}".encode()


def leaves_of(engine: Engine) -> list[bytes]:
    """All entries."""
    with reading(engine) as session:
        return list(session.scalars(select(ENTRIES.c.leaf).order_by(ENTRIES.c.entry)))


def fill(engine: Engine, log: Log, count: int) -> None:
    with writing(engine) as session:
        for number in range(count):
            assert log.append(session, leaf(number)) == number


def test_every_entry_of_every_size_is_proven(engine: Engine, log: Log) -> None:
    notes = [log.checkpoint()]
    leaves = [leaf(number) for number in range(19)]
    for number, each in enumerate(leaves):
        with writing(engine) as session:
            assert log.append(session, each) == number
        notes.append(log.checkpoint())
    for size, note in enumerate(notes):
        assert Checkpoint.open(note, KEY.verifier).root == merkle.root(size, merkle.nodes_of(leaves[:size] or [b""]))
    for size in range(1, 20):
        for index in range(size):
            found = log.prove(index, size)
            assert found.checkpoint == notes[size]
            found.verify(leaves[index], KEY.verifier)
    for old in range(20):
        check_views(notes[old], notes[19], KEY.verifier, log.consistency(old, 19))


def test_an_entry_is_there_when_its_transaction_is_committed(engine: Engine, log: Log) -> None:
    with writing(engine) as session:
        log.append(session, b"one")
        assert log.size() == 0
        with pytest.raises(ValueError, match="has no leaf 0"):
            log.prove(0)
    assert log.size() == 1
    assert leaves_of(engine) == [b"one"]


def test_an_entry_whose_transaction_fails_leaves_no_gap(engine: Engine, log: Log) -> None:
    fill(engine, log, 5)
    with Session(engine) as session:
        assert log.append(session, b"lost") == 5
        session.rollback()
    with writing(engine) as session:
        assert log.append(session, b"kept") == 5
    log.prove(5).verify(b"kept", KEY.verifier)


def test_processes_that_append_at_once_make_one_sequence(database_url: str, engine: Engine, log: Log) -> None:
    indexes = append_at_once(database_url, PROCESSES, EACH)
    size = log.size()
    assert size == PROCESSES * EACH * 4 // 5
    assert sorted(chain(*indexes)) == list(range(size))
    assert all(each == sorted(each) for each in indexes)
    leaves = leaves_of(engine)
    assert len(set(leaves)) == size
    assert Checkpoint.open(log.checkpoint(), KEY.verifier).root == merkle.root(size, merkle.nodes_of(leaves))
    for index, each in enumerate(leaves):
        log.prove(index).verify(each, KEY.verifier)


def test_appending_and_proving_read_and_write_few_rows(engine: Engine, log: Log) -> None:
    fill(engine, log, 255)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    with writing(engine) as session:
        log.append(session, leaf(255))  # completes eight subtrees
    assert len([each for each in statements if not each.startswith(("BEGIN", "COMMIT"))]) == 4
    statements.clear()
    log.prove(100)
    assert len([each for each in statements if each.startswith("SELECT")]) == 3


def test_both_keys_sign_while_one_follows_the_other(engine: Engine) -> None:
    new = SigningKey(ORIGIN, bytes(32))
    log = Log(engine, ORIGIN, KEY, [new])
    fill(engine, log, 3)
    for key in (KEY, new):
        log.prove(1).verify(leaf(1), key.verifier)
    after = Log(engine, ORIGIN, new)
    check_views(log.checkpoint(), after.checkpoint(), new.verifier)


def test_a_key_of_another_name_is_refused(engine: Engine) -> None:
    with pytest.raises(ValueError, match="the key is named elsewhere, and the log registry"):
        Log(engine, ORIGIN, SigningKey("elsewhere", bytes(32)))


def test_what_is_not_there_is_refused(engine: Engine, log: Log) -> None:
    fill(engine, log, 3)
    with pytest.raises(ValueError, match="size: the log has 0 to 3 entries, not 4"):
        log.prove(0, 4)
    with pytest.raises(ValueError, match="size: the log has 0 to 3 entries, not 4"):
        log.consistency(1, 4)
    with pytest.raises(ValueError, match="has no leaf 2"):
        log.prove(2, 2)


def test_a_leaf_has_a_length_that_a_bundle_can_say(engine: Engine, log: Log) -> None:
    for wrong in (b"", bytes(LONGEST_LEAF + 1)):
        with pytest.raises(ValueError, match=f"leaf: 1 to {LONGEST_LEAF} bytes"), writing(engine) as session:
            log.append(session, wrong)
    with writing(engine) as session:
        assert log.append(session, bytes(LONGEST_LEAF)) == 0


def test_a_database_that_lost_a_hash_says_so(engine: Engine, log: Log) -> None:
    fill(engine, log, 4)
    with writing(engine) as session:
        session.connection().exec_driver_sql("DELETE FROM log_nodes WHERE level = 1 AND place = 0")
    with pytest.raises(ValueError, match=r"is damaged: it lacks the log's node \(1, 0\)"):
        log.prove(2)
