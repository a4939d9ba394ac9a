"""Clients of all kinds, in flight all the time; what they see goes into a history."""

from __future__ import annotations

import asyncio
import math
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import grpc

from tests.drills.history import Accepted, Asked, Ended, History, How, Image, Seen
from tests.drills.recipes import LAST_INDEX, RECIPES, digest_of, files_of
from unikat import AsyncStudio, Batch
from unikat.errors import DeadlineExceeded, Unavailable, UnikatError, WrongState
from unikat.link import OPTIONS
from unikat.request import generate_request
from unikat.v1.studio_pb2 import Artwork, GenerateRequest, GenerateResponse
from unikat.v1.studio_pb2_grpc import StudioStub

T = TypeVar("T")

INTERACTIVE, BATCHES = 5, 2  # callers at a time
LARGEST: Final = 40  # images of a call
SHARD: Final = 16
PATIENCE_S: Final = 60.0  # for which a call that was cut off is sent again
_CODE: Final = grpc.StatusCode
# What a lost connection and a stream that was reset are, depending on the code, and what a full queue is.
_PASSING: Final = frozenset(
    {_CODE.UNAVAILABLE, _CODE.INTERNAL, _CODE.UNKNOWN, _CODE.DEADLINE_EXCEEDED, _CODE.RESOURCE_EXHAUSTED}
)


class Callers:
    """Clients in the event loop of a thread, until the end of the block; then their calls have a minute to end."""

    def __init__(self, history: History, targets: list[str], out: Path, seed: int) -> None:
        self.history = history
        self._targets, self._out, self._dice = targets, out, Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="callers", daemon=True)
        self._stopping = False
        self._batches = 0
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Callers:
        self._thread.start()
        self.run(self._begin())
        return self

    def __exit__(self, *_: object) -> None:
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, steps: Coroutine[Any, Any, T]) -> T:
        """What a coroutine returns that runs beside the callers."""
        assert not any(task.done() for task in self._tasks), "a caller broke down"
        return asyncio.run_coroutine_threadsafe(steps, self._loop).result(PATIENCE_S * 3)

    async def storm(self, count: int) -> None:
        """So many calls at once, each called off after a moment."""
        await asyncio.gather(*(self._called_off(self._dice.uniform(0.0, 0.5)) for _ in range(count)))

    async def vanish(self, count: int, target: str, cut: Callable[[], None]) -> None:
        """So many calls at once over a road of their own, which is then `cut`."""
        async with grpc.aio.insecure_channel(target, options=OPTIONS) as channel:
            stub = StudioStub(channel)
            calls = [asyncio.create_task(self._raw(stub)) for _ in range(count)]
            await asyncio.sleep(self._dice.uniform(0.0, 0.3))
            await asyncio.to_thread(cut)
            await asyncio.gather(*calls)

    async def _begin(self) -> None:
        self._studios = [AsyncStudio(target, reconnect_timeout=PATIENCE_S) for target in self._targets]
        both = "ipv4:" + ",".join(self._targets)
        self._studios.append(AsyncStudio(both, reconnect_timeout=PATIENCE_S))
        self._channels = [grpc.aio.insecure_channel(target, options=OPTIONS) for target in self._targets]
        self._tasks = [asyncio.create_task(self._call_on_and_on(n)) for n in range(INTERACTIVE)]
        self._tasks += [asyncio.create_task(self._batch_on_and_on()) for _ in range(BATCHES)]

    async def _end(self) -> None:
        self._stopping = True
        _, late = await asyncio.wait(self._tasks, timeout=PATIENCE_S * 2)
        for task in late:
            task.cancel()
        done, _ = await asyncio.wait(self._tasks, timeout=10)
        for studio in self._studios:
            await studio.close()
        for channel in self._channels:
            await channel.close(None)
        for task in done - late:
            task.result()

    async def _call_on_and_on(self, number: int) -> None:
        kinds: list[Callable[[], Awaitable[None]]] = [
            self._generate, self._draw, lambda: self._raw(self._stub()), self._resumed, self._cancelled, self._twice,
        ]  # fmt: skip
        while not self._stopping:
            await kinds[number % len(kinds)]()
            number += 1
            await asyncio.sleep(self._dice.uniform(0.0, 0.5))

    async def _batch_on_and_on(self) -> None:
        while not self._stopping:
            await self._batch()

    def _studio(self) -> AsyncStudio:
        return self._dice.choice(self._studios)

    def _stub(self) -> StudioStub:
        return StudioStub(self._dice.choice(self._channels))

    def _asked(self, largest: int = LARGEST, is_batch: bool = False) -> Asked:
        first = 0 if is_batch else self._dice.randrange(LAST_INDEX - largest)
        count = self._dice.randint(largest // 2, largest)
        return Asked(self._dice.choice(list(RECIPES)), first, count, uuid.uuid4().hex, is_batch)

    async def _generate(self, asked: Asked | None = None) -> None:
        await self._deliver(asked or self._asked())

    async def _cancelled(self) -> None:
        """Called off after some images."""
        await self._deliver(self._asked(), most=self._dice.randrange(LARGEST // 2))

    async def _called_off(self, seconds: float) -> None:
        """Called off with the first image after a moment, or a second later: on a slow road none may come."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._deliver(self._asked(), until=time.monotonic() + seconds), seconds + 1)

    async def _twice(self) -> None:
        """Two calls with one request_id."""
        asked = self._asked()
        await asyncio.gather(self._generate(asked), self._generate(asked))

    async def _deliver(self, asked: Asked, most: float = math.inf, until: float = math.inf) -> None:
        """Called off after more than so many images, with the first one after a moment, or with its task."""
        recipe, call, accepted = RECIPES[asked.recipe], self.history.begin(asked), False
        try:
            async with self._studio().generate(
                recipe.model, recipe.where, count=asked.count, first_index=asked.first, seed=recipe.seed,
                request_id=asked.request_id,
            ) as images:  # fmt: skip
                found = await images.accepted()
                accepted = True
                self.history.add(call, Accepted(found.model, found.seed, found.job_id))
                async for image in images:
                    self.history.add(call, Image(image.index, image.id, digest_of(image.data)))
                    if image.index - asked.first >= most or time.monotonic() > until:
                        self.history.add(call, Ended(How.CANCELLED))
                        return
                how = How.FAILED if images.finished is None else How.FINISHED
            self.history.add(call, Ended(how))
        except asyncio.CancelledError:
            self.history.add(call, Ended(How.CANCELLED))
            raise
        except UnikatError as error:
            self.history.add(call, Ended(How.FAILED if accepted else How.REFUSED, _why(error)))

    async def _draw(self) -> None:
        asked = self._asked()
        asked = Asked(asked.recipe, asked.first, 1, asked.request_id)
        recipe, call = RECIPES[asked.recipe], self.history.begin(asked)
        try:
            image = await self._studio().draw(
                recipe.model, recipe.where, index=asked.first, seed=recipe.seed, request_id=asked.request_id
            )
        except UnikatError as error:
            self.history.add(call, Ended(How.REFUSED, _why(error)))
        else:
            assert image.accepted is not None
            self.history.add(call, Accepted(image.accepted.model, image.accepted.seed, image.accepted.job_id))
            self.history.add(call, Image(image.index, image.id, digest_of(image.data)))
            self.history.add(call, Ended(How.FINISHED))

    async def _raw(self, stub: StudioStub) -> None:
        """Without a request_id: nobody can come back for what is cut off."""
        asked = self._asked()
        asked = Asked(asked.recipe, asked.first, asked.count)
        recipe, call = RECIPES[asked.recipe], self.history.begin(asked)
        request = generate_request(
            recipe.model, recipe.where, count=asked.count, first_index=asked.first, seed=recipe.seed, request_id=""
        )
        try:
            async for response in _begun(stub, request):
                self._note(call, response)
            self.history.add(call, Ended(How.FINISHED))
        except grpc.aio.AioRpcError as error:
            how = How.REFUSED if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED else How.CUT
            self.history.add(call, Ended(how, f"{error.code()} {error.details()}"))

    async def _resumed(self) -> None:
        """Broken off by its caller in the middle, and gone on with by `after_index`."""
        asked = self._asked()
        recipe, call = RECIPES[asked.recipe], self.history.begin(asked)
        request = generate_request(
            recipe.model, recipe.where, count=asked.count, first_index=asked.first, seed=recipe.seed,
            request_id=asked.request_id,
        )  # fmt: skip
        left, until, accepted = self._dice.randrange(asked.count), time.monotonic() + PATIENCE_S, False
        model = ""
        while True:
            try:
                stream = _begun(self._stub(), request)
                async for response in stream:
                    if response.HasField("accepted") and model not in ("", response.accepted.model):
                        stream.cancel()  # as our client does: what comes is not the rest of what was
                        self.history.add(call, Ended(How.FAILED, f"DATA_LOSS: {model}, then {response.accepted.model}"))
                        return
                    model = response.accepted.model or model
                    self._note(call, response)
                    accepted, left = True, left - 1
                    if response.HasField("artwork"):
                        request.after_index, until = response.artwork.index, time.monotonic() + PATIENCE_S
                    if left == 0:
                        stream.cancel()
                self.history.add(call, Ended(How.FINISHED))
                return
            except asyncio.CancelledError:  # by ourselves
                continue
            except grpc.aio.AioRpcError as error:
                if error.code() in _PASSING and time.monotonic() < until:
                    await asyncio.sleep(0.2)
                    continue
                how = How.FAILED if accepted else How.REFUSED
                self.history.add(call, Ended(how, f"{error.code()} {error.details()}"))
                return

    def _note(self, call: str, response: GenerateResponse) -> None:
        if response.HasField("accepted"):
            found = response.accepted
            self.history.add(call, Accepted(found.model, found.seed, found.job_id))
        elif response.HasField("artwork"):
            self.history.add(call, _image(response.artwork))

    async def _batch(self) -> None:
        """Created, watched, and some called off; its files are read when it has ended."""
        asked = self._asked(LAST_INDEX, is_batch=True)
        self._batches += 1
        folder = self._out / f"{self._batches:05}"
        recipe, call = RECIPES[asked.recipe], self.history.begin(asked)
        called_off = self._dice.random() < 0.2
        try:
            batch = await self._studio().create_batch(
                recipe.model, to=folder, where=recipe.where, count=asked.count, shard_size=SHARD, seed=recipe.seed,
                request_id=asked.request_id,
            )  # fmt: skip
        except UnikatError as error:
            self.history.add(call, Ended(How.REFUSED, _why(error)))
            return
        self.history.add(call, Accepted(batch.model, batch.seed, batch.id))
        try:
            last = await self._watched(call, batch, called_off)
        except UnikatError as error:
            self.history.add(call, Ended(How.FAILED, _why(error)))
            return
        for image in await asyncio.to_thread(files_of, folder):
            if image.id or last.state == "SUCCEEDED":  # a batch called off may have files of a worker that was killed
                self.history.add(call, image)
        hows = {"SUCCEEDED": How.FINISHED, "CANCELLED": How.CANCELLED}
        self.history.add(call, Ended(hows.get(last.state, How.FAILED), str(last)[:500]))

    async def _watched(self, call: str, batch: Batch, called_off: bool) -> Batch:
        last = batch
        async for last in self._studio().watch_batch(batch.id):
            self.history.add(call, Seen(last.revision))
            if called_off and last.drawn > 0 and last.ended is None:
                with suppress(Unavailable, DeadlineExceeded, WrongState):  # with the next message; or it has ended
                    await self._studio().cancel_batch(batch.id)
                    called_off = False
        return last


def _begun(stub: StudioStub, request: GenerateRequest) -> Any:  # noqa: ANN401  (the stubs annotate the blocking call)
    return stub.Generate(request)


def _image(artwork: Artwork) -> Image:
    return Image(artwork.index, artwork.id, digest_of(artwork.image))


def _why(error: UnikatError) -> str:
    return f"{type(error).__name__} {error.reason}: {error}"
