"""Processes that append to a log and publish it, and are killed while they do."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine, event

from tests.registry.conftest import KEY, ORIGIN
from unikat.transparency import Proof
from unikat_registry.database import open_database, writing
from unikat_registry.log import Log

CONTEXT: Final = multiprocessing.get_context("forkserver")  # no process inherits another's connections
CONTEXT.set_forkserver_preload(["tests.drills.log_victims"])


def killed_at(step: int, url: str, folder: Path, answers: Path) -> None:
    """Append one entry, commit, publish, prove, answer; killed before the step of this number, or not at all.

    A step is a statement, a commit, a call that changes the file system, or one that syncs it.
    """
    engine = open_database(url)
    left = step

    def count(*_given: object, **_named: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    for name in ("before_cursor_execute", "after_cursor_execute", "commit", "rollback"):
        event.listen(engine, name, count)
    for module, name in ((os, "fsync"), (os, "replace"), (os, "mkdir"), (os, "open"), (shutil, "rmtree")):
        setattr(module, name, _counted(getattr(module, name), count))
    answer(engine, folder, answers, f"killed at {step}".encode())


def opens_until(step: int, url: str) -> None:
    """Open an empty database; killed before the statement of this number, or not at all."""
    left = step

    def count(*_given: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    open_database(url).dispose()


def writer(url: str, folder: Path, answers: Path, name: str) -> None:
    """Append, publish and answer until killed."""
    engine = open_database(url)
    number = 0
    while True:
        answer(engine, folder, answers, f"{name} {number}".encode())
        number += 1


def answer(engine: Engine, folder: Path, answers: Path, leaf: bytes) -> None:
    """Enter one leaf as a registry does, and write down the proof that the caller gets."""
    log = Log(engine, ORIGIN, KEY)
    with writing(engine) as session:
        index = log.append(session, leaf)
    log.publish(folder)
    line = json.dumps({"leaf": leaf.decode(), "proof": log.prove(index).to_json()})
    with answers.open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def answered(answers: Path) -> list[tuple[bytes, Proof]]:
    """Leaf and proof of every answer; the last line may be cut off."""
    lines = answers.read_text(encoding="utf-8").splitlines(keepends=True) if answers.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [(each["leaf"].encode(), Proof.from_json(each["proof"])) for each in found]


def _counted(work: Callable[..., Any], count: Callable[[], None]) -> Callable[..., Any]:
    def counted(*args: Any, **named: Any) -> Any:  # noqa: ANN401  # as the function that it stands for
        count()
        return work(*args, **named)

    return counted
