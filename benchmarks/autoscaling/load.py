"""Calls that come at a rate, whether or not earlier ones have ended, and what became of each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Thread

from unikat import AsyncStudio
from unikat.errors import UnikatError


@dataclass(frozen=True)
class Phase:
    """So many calls a second for so long (s)."""

    name: str
    calls_per_second: float
    seconds: float


@dataclass(frozen=True)
class Call:
    """`sent` is in seconds since the load began, `waited` until the image was there; `image` is its id, or why not."""

    phase: str
    sent: float
    waited: float
    image: str
    failed: bool


class Load:
    """Its calls are for one image each, and run in a thread until the last one has ended."""

    def __init__(self, target: str, model: str, phases: Sequence[Phase]) -> None:
        self.calls: list[Call] = []
        self.began = time.monotonic()
        self._target = target
        self._model = model
        self._phases = phases
        self._thread = Thread(target=lambda: asyncio.run(self._run()), name="load", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether there is more to come."""
        return self._thread.is_alive()

    @property
    def now(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self.began

    def wait(self, seconds: float) -> None:
        """Until it has ended, at most so long."""
        self._thread.join(seconds)

    async def _run(self) -> None:
        tasks: list[asyncio.Task[None]] = []
        begins = 0.0
        async with AsyncStudio(self._target) as studio:
            for phase in self._phases:
                for number in range(round(phase.calls_per_second * phase.seconds)):
                    await asyncio.sleep(max(0.0, begins + number / phase.calls_per_second - self.now))
                    tasks.append(asyncio.create_task(self._call(studio, phase.name, len(tasks))))
                begins += phase.seconds
                await asyncio.sleep(max(0.0, begins - self.now))
            await asyncio.gather(*tasks)

    async def _call(self, studio: AsyncStudio, phase: str, seed: int) -> None:
        sent = self.now
        try:
            artwork = await studio.draw(self._model, seed=seed)
        except UnikatError as error:
            self.calls.append(Call(phase, sent, self.now - sent, f"{type(error).__name__}: {error}", failed=True))
        else:
            self.calls.append(Call(phase, sent, self.now - sent, artwork.id, failed=False))
