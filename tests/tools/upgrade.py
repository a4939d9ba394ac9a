"""A rolling upgrade with calls in flight: `python -m tests.tools.upgrade`, in a checkout with its history.

The service and the worker of an earlier commit serve; those of this one join, the old ones leave one by one, an old
worker comes back, the new one goes. Meanwhile callers of both services draw without a pause: no call may fail, no index
may be missing, and an image has the same pixels whoever draws it. Two batches, one of each service, are drawn beside by
whichever workers there are: both must be whole, with the same pixels. Callers name the model without a version. Where
the release before knows how, an operator has pinned the one before the newest: all images must be that version's.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from grpc import StatusCode
from PIL import Image

from tests.support.valkey import running_valkey
from unikat import Studio
from unikat.batches.verify import verify
from unikat.errors import UnikatError

ROOT: Final = Path(__file__).parents[2]
CALLERS: Final = 3  # of each service
SEEDS: Final = 50
BATCH, SHARD = 3000, 50  # images
GRACE_S: Final = 20.0
DAY_S: Final = 86_400
BEGINNING: Final = "376eddc905ddddb8bd7dd482abecf22f3703f070"  # before it marks were others


@dataclass
class Release:
    """A checkout, and how its programs are started."""

    root: Path

    @property
    def is_first(self) -> bool:
        """Whether it is from before programs were packages of names of their own."""
        return not (self.root / "service" / "unikat_service").exists()

    @contextmanager
    def program(self, name: str, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
        """A running service or worker, and the line in which it says that it is ready."""
        module = name if self.is_first else f"unikat_{name}"
        paths = [self.root] if self.is_first else [self.root, *(self.root / each for each in ("service", "worker"))]
        settings = {**os.environ, **env, "PYTHONPATH": os.pathsep.join(map(str, paths))}
        process = subprocess.Popen(
            [sys.executable, "-m", module], cwd=self.root.parent, env=settings, stdout=subprocess.PIPE, text=True
        )
        try:
            assert process.stdout is not None
            ready = process.stdout.readline()
            assert "ready" in ready, f"{module} of {self.root} did not start"
            yield process, ready
        finally:
            process.terminate()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:  # as supervisors do: the first release may hang where it is stopped
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()


@dataclass
class Callers:
    """Threads that draw a model without a pause, and what they saw. `version` is what its name stands for."""

    model: str
    version: str
    phase: str = ""
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    _pixels: dict[int, bytes] = field(default_factory=dict)

    @contextmanager
    def of(self, name: str, target: str) -> Iterator[None]:
        """With callers of a service until the end of the block."""
        stopped = threading.Event()
        threads = [threading.Thread(target=self._draw, args=(name, target, stopped, n)) for n in range(CALLERS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def _draw(self, name: str, target: str, stopped: threading.Event, seed: int) -> None:
        with Studio(target) as studio:
            while not stopped.is_set():
                seed = (seed + 1) % SEEDS
                count = 1 + seed % 3 * 20
                try:
                    artworks = list(studio.generate(self.model, count=count, seed=seed))
                except Exception as error:
                    self.problems.append(f"{self.phase}, {name} service: {type(error).__name__}: {error}")
                    continue
                if {artwork.model for artwork in artworks} != {self.version}:
                    self.problems.append(f"{self.phase}, {name} service: seed {seed} was drawn by another model")
                if [artwork.index for artwork in artworks] != list(range(count)):
                    self.problems.append(f"{self.phase}, {name} service: seed {seed} has holes")
                pixels = np.asarray(Image.open(io.BytesIO(artworks[0].data))).tobytes()
                if self._pixels.setdefault(seed, pixels) != pixels:
                    self.problems.append(f"{self.phase}, {name} service: seed {seed} has other pixels")
                self.calls[self.phase, name] += 1


def upgrade(releases: tuple[Release, Release], models: Path, model: str, seconds: float) -> Callers:
    """The whole course from the one release to the other, `seconds` a phase."""
    old, new = releases
    *_, before, newest = sorted(int(folder.name) for folder in (models / model).iterdir())
    callers = Callers(model, f"{model}@{newest}")

    def phase(name: str, factor: float = 1.0) -> None:
        callers.phase = name
        time.sleep(seconds * factor)

    with (
        running_valkey("always") as valkey, tempfile.TemporaryDirectory() as out, ExitStack() as old_worker,
        ExitStack() as new_worker, ExitStack() as olds, ExitStack() as news,
    ):  # fmt: skip
        env = {
            "UNIKAT_REDIS_URL": valkey.url, "UNIKAT_MODELS": str(models), "UNIKAT_LISTEN": "127.0.0.1:0",
            "UNIKAT_DESTINATIONS": out,
        }  # fmt: skip
        old_worker.enter_context(old.program("worker", env))
        _, ready = olds.enter_context(old.program("service", env))
        if _pin(_target(ready), f"{model}@{before}"):
            callers.version = f"{model}@{before}"
        olds.enter_context(callers.of("old", _target(ready)))
        batches = [_begin_batch(_target(ready), model, Path(out) / "old")]
        phase("1 old service, old worker")
        new_worker.enter_context(new.program("worker", env))
        phase("2 a new worker joins")
        _, ready = news.enter_context(new.program("service", env))
        news.enter_context(callers.of("new", _target(ready)))
        batches.append(_begin_batch(_target(ready), model, Path(out) / "new"))
        phase("3 a new service joins")
        old_worker.close()
        phase("4 the old worker leaves", 2.5)  # it counts as alive for 10 s
        olds.close()
        phase("5 the old service leaves")
        with old.program("worker", env):
            phase("6 an old worker comes back")
            new_worker.close()
            phase("7 the new worker leaves")
            news.close()
        with new.program("worker", env), new.program("service", env) as (_, ready):
            callers.problems += _batch_problems(_target(ready), batches, Path(out))
    return callers


def _pin(target: str, version: str) -> bool:
    """Have a model's name mean this version; False for a release that does not know how."""
    with Studio(target) as studio:
        try:
            studio.operations.pin(version, "an upgrade changes nothing of it")
        except UnikatError as error:
            if error.code is not StatusCode.UNIMPLEMENTED:
                raise
            return False
    time.sleep(2.0)  # services read it every second
    return True


def _begin_batch(target: str, model: str, folder: Path) -> str:
    with Studio(target) as studio:
        return studio.create_batch(model, to=folder, count=BATCH, shard_size=SHARD, seed=SEEDS).id


def _batch_problems(target: str, batches: Sequence[str], out: Path) -> Iterator[str]:
    """What is wrong with the batches, once they have ended. Their files may be of two encoders."""
    with Studio(target) as studio:
        for batch in batches:
            *_, last = studio.watch_batch(batch, timeout=120)
            if last.state != "SUCCEEDED":
                yield f"batch {batch}: {last}"
    pictures = {}
    for name in ("old", "new"):
        report = verify(str(out / name))
        if not report.is_intact:
            yield f"batch of the {name} service: {report}"
        files = sorted((out / name / "images").glob("*/*.png"))
        pictures[name] = [np.asarray(Image.open(path)).tobytes() for path in files]
    if len(pictures["old"]) != BATCH or pictures["old"] != pictures["new"]:
        yield f"the batches differ: {[len(of) for of in pictures.values()]} images"


def _target(ready: str) -> str:
    found = re.search(r"listening on (\S+)", ready)
    assert found is not None, ready
    return found[1]


@contextmanager
def checked_out(commit: str) -> Iterator[Release]:
    """An earlier commit in a folder of its own, until the end of the block."""
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "release"
        subprocess.run(["git", "worktree", "add", "--quiet", "--detach", str(checkout), commit], cwd=ROOT, check=True)
        try:
            yield Release(checkout)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", str(checkout)], cwd=ROOT, check=True)


def release_before() -> str:
    """The newest tag; where there is none, the newest commit that is a day older than this one, from BEGINNING on."""
    tag = subprocess.run(["git", "describe", "--tags", "--abbrev=0"], cwd=ROOT, capture_output=True, text=True)
    if tag.returncode == 0:
        return tag.stdout.strip()
    made = int(_git("log", "-1", "--format=%ct"))
    older = _git("log", "-1", "--first-parent", "--format=%H", f"--before={made - DAY_S}")
    return older if older in _git("rev-list", f"{BEGINNING}..HEAD").split() else BEGINNING


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def main() -> int:
    """Run it; 1 if anything went wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", help="commit of the release before")
    parser.add_argument("--model", default="emoji", help="name of a model of several versions")
    parser.add_argument("--seconds", type=float, default=6.0, help="of a phase")
    asked = parser.parse_args()
    with checked_out(asked.release or release_before()) as release:
        callers = upgrade((release, Release(ROOT)), ROOT / "models", asked.model, asked.seconds)
    for (phase, name), calls in sorted(callers.calls.items()):
        print(f"{phase}: {calls} calls of the {name} service")
    print(f"{asked.model} was {callers.version} all the time")
    print(f"{len(callers.problems)} problems", *callers.problems[:20], sep="\n")
    return bool(callers.problems)


if __name__ == "__main__":
    raise SystemExit(main())
