"""Callers of all kinds, each in a thread of its own, who rest between their calls."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from itertools import count, islice
from types import TracebackType
from typing import Final

import grpc

from tests.end_to_end.shop import Shop, plan
from tests.support.processes import eventually
from tests.support.tiny_model import STYLES, SUBJECTS
from unikat import Studio
from unikat.link import OPTIONS
from unikat.v1.studio_pb2 import GenerateRequest
from unikat.v1.studio_pb2_grpc import StudioStub

BATCH: Final = 2000  # images
KINDS: Final = ("draw", "generate", "leave", "vanish", "batch")
MANY: Final = 4000  # images of a call that is not read to its end
_PACED_BY: Final = 20  # calls of a kind: they decide how many there are a second from then on


class Load:
    """Until the end of the block; whatever goes wrong for a caller is raised there."""

    def __init__(self, shop: Shop, load: float, seed: int = 1, only: str = "") -> None:
        """`load`: calls under way at first, on average; each kind of caller has an equal part in it, or `only` one all.

        The calls a second that make this load stay, whatever else the machine does later: what Valkey holds of each
        call for a minute would grow with their number.
        """
        self.done: Counter[str] = Counter()
        self.latencies: list[float] = []  # seconds of calls for one image, until somebody takes them away
        self._shop = shop
        self._studio = Studio(shop.stack.target)
        self._stop = threading.Event()
        self._errors: list[BaseException] = []
        self._numbers = count(1)
        kinds: list[Callable[[random.Random], None]] = [getattr(self, kind) for kind in ([only] if only else KINDS)]
        self._share = load / len(kinds)  # of its time that each is at work
        self._threads = [
            threading.Thread(target=self._repeat, args=(kind, random.Random(seed + number)), daemon=True)
            for number, kind in enumerate(kinds)
        ]

    @property
    def failed(self) -> bool:
        return bool(self._errors)

    def draw(self, dice: random.Random) -> None:
        """One image, by a unary call."""
        began = time.perf_counter()
        self._studio.draw("tiny", _wish(dice))
        self.latencies.append(time.perf_counter() - began)

    def generate(self, dice: random.Random) -> None:
        """Some images, read to the end; half of the calls could be repeated."""
        asked = dice.randint(1, 64)
        request_id = f"call-{next(self._numbers)}" if dice.random() < 0.5 else ""
        images = list(self._studio.generate("tiny", _wish(dice), count=asked, request_id=request_id))
        assert [image.index for image in images] == list(range(asked))

    def leave(self, dice: random.Random) -> None:
        """The first images of many, then the call is cancelled."""
        wanted = dice.randint(0, 64)
        with self._studio.generate("tiny", _wish(dice), count=MANY) as images:
            assert len(list(islice(images, wanted))) == wanted

    def vanish(self, dice: random.Random) -> None:
        """The first images of many, then the connection is gone."""
        with grpc.insecure_channel(self._shop.stack.target, options=OPTIONS) as channel:
            responses = StudioStub(channel).Generate(GenerateRequest(model="tiny", count=MANY))
            for _ in islice(responses, dice.randint(1, 64)):
                continue

    def batch(self, dice: random.Random) -> None:
        """A batch, a third of them cancelled on the way; deleted with its files."""
        name = f"batch-{next(self._numbers)}"
        batch = self._shop.create(name, plans=plan(BATCH), shard_size=100)
        if dice.random() < 1 / 3:
            self._shop.calls.wait(batch.id, lambda found: found.drawn_count > 0, pause=0.2)
            self._shop.calls.cancel(batch.id)
        eventually(lambda: self._shop.calls.get(batch.id).HasField("end_time"), 600, pause=0.5)
        self._shop.calls.delete(batch.id)
        shutil.rmtree(self._shop.open_folder / name, ignore_errors=True)  # cancelled at once, it has none

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._studio.close()
        if error is None and self._errors:
            raise self._errors[0]

    def _repeat(self, act: Callable[[random.Random], None], dice: random.Random) -> None:
        try:
            took: list[float] = []
            while not self._stop.is_set():
                began = time.perf_counter()
                act(dice)
                self.done[act.__name__] += 1
                elapsed = time.perf_counter() - began
                if len(took) < _PACED_BY:
                    took.append(elapsed)
                self._stop.wait(sum(took) / len(took) / self._share - elapsed)
        except BaseException as error:  # the thread has nobody else to tell
            self._errors.append(error)


def _wish(dice: random.Random) -> dict[str, str]:
    return {} if dice.random() < 0.5 else {"style": dice.choice(STYLES[:2]), "subject": dice.choice(SUBJECTS)}
