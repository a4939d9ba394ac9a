"""The TypeScript client: built from the protos as they are, and tested by Node's runner against real services."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.end_to_end.stack import Stack, running_stack
from tests.support.callers import locked_service, make_token
from tests.support.processes import eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import running_valkey
from tests.tools.typescript import CLIENT, GENERATED, generate
from unikat.aio import AsyncStudio

REQUIRED: Final = "UNIKAT_TEST_NODE"  # set to 1, tests fail where there is no Node
# A blend whose shares, as float32, come to others once they are divided by their sum again.
WISH: Final[dict[str, Any]] = {"subject": "sea", "style": {"ink": 49, "oil": 88, "chalk": 28}}

# Of npm, for a registry that is not reached; whatever else is wrong with the packages is a failure.
UNREACHED: Final = re.compile(
    r"code (ENOTFOUND|EAI_AGAIN|EAI_FAIL|ECONN\w+|E\w*TIMEDOUT|ERR_SOCKET_TIMEOUT|E\w+UNREACH)\b"
)


@pytest.fixture(scope="module")
def built() -> Path:
    """The client's folder, with what it needs and what it is compiled to."""
    is_required = os.environ.get(REQUIRED)
    if not (is_required or (shutil.which("node") and shutil.which("npm"))):
        pytest.skip("node and npm are not there")
    lock, installed = CLIENT / "package-lock.json", CLIENT / "node_modules" / ".package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
        try:
            run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
        except AssertionError as error:
            if is_required or not UNREACHED.search(str(error)):
                raise
            pytest.skip(f"no registry of packages is reached: {error}")
    shutil.rmtree(CLIENT / "dist", ignore_errors=True)
    run("npm", "run", "build")
    return CLIENT


def run(*command: str, **env: str) -> str:
    """What it says. Raises AssertionError with that where it fails."""
    done = subprocess.run(
        command,
        cwd=CLIENT,
        env=os.environ | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "slow", size=32, work=5000)  # some 10 ms an image
    with running_stack(models) as running:
        yield running


def test_its_messages_are_what_the_protos_generate(built: Path, tmp_path: Path) -> None:
    generated = generate(tmp_path)
    assert generated == sorted(path.relative_to(built / GENERATED) for path in (built / GENERATED).rglob("*.ts"))
    for path in generated:
        wanted = (tmp_path / path).read_text()
        assert wanted == (built / GENERATED / path).read_text(), f"{path}: run python -m tests.tools.typescript"


def test_its_lock_names_no_registry() -> None:
    assert "://" not in (CLIENT / "package-lock.json").read_text(encoding="utf-8").replace(
        "https://opencollective.com", ""
    )
    assert json.loads((CLIENT / "package-lock.json").read_text(encoding="utf-8"))["lockfileVersion"] == 3


def test_it_draws_what_python_draws_and_goes_on_where_a_service_was_killed(
    built: Path, stack: Stack, tmp_path: Path
) -> None:
    expected = asyncio.run(expected_of(stack.target))
    (tmp_path / "expected.json").write_text(json.dumps(expected))
    killing = threading.Thread(target=kill_when_asked, args=(stack, tmp_path / "kill"), daemon=True)
    killing.start()
    env = {
        "UNIKAT_TARGET": stack.target,
        "UNIKAT_EXPECTED": str(tmp_path / "expected.json"),
        "UNIKAT_FOLDER": str(tmp_path),
    }
    with running_valkey() as valkey, locked_service(valkey, tmp_path) as locked:
        (tmp_path / "ca.pem").write_bytes(locked.authority.root)
        token = make_token(locked.serving.redis, "node", "generate")
        said = run("npm", "test", **env, UNIKAT_LOCKED=locked.serving.target, UNIKAT_LOCKED_TOKEN=token)
    killing.join()
    assert "# fail 0" in said
    assert "# skipped 0" in said
    eventually(lambda: stack.queued() == 0)  # what was left was called off


async def expected_of(target: str) -> dict[str, Any]:
    """Ids and digests of the files that Python's client gets."""
    async with AsyncStudio(target) as studio:
        six = [
            each async for each in studio.generate("tiny", WISH, seed=2**63 + 5, first_index=3, count=6, format="webp")
        ]
        sixty = [each async for each in studio.generate("slow", seed=5, count=60)]
    return {
        name: [{"id": each.id, "index": each.index, "sha256": hashlib.sha256(each.data).hexdigest()} for each in drawn]
        for name, drawn in (("six", six), ("sixty", sixty))
    } | {"where": WISH, "seed": str(2**63 + 5)}


def kill_when_asked(stack: Stack, asked: Path) -> None:
    """The tests ask for it by a file, and learn by another that a service is there again."""
    eventually(asked.exists, deadline=200)
    assert stack.service is not None
    stack.service.kill()
    stack.start_service()
