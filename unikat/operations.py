"""What an operator steers a running system by: `Studio.operations`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from unikat.asking import ASK_AGAIN, Asker
from unikat.link import run
from unikat.v1 import operations_pb2 as pb


@dataclass(frozen=True)
class Change:
    """What somebody changed: `action` is "load", "unload", "pin", "unpin" or "drain"; `subject` a model or a worker."""

    action: str
    subject: str
    caller: str
    reason: str
    at: datetime

    @classmethod
    def of(cls, message: pb.Change) -> Change:
        action = pb.Change.Action.Name(message.action).removeprefix("ACTION_").lower()
        at = message.create_time.ToDatetime(tzinfo=UTC)
        return cls(action, message.subject, message.caller, message.reason, at)


@dataclass(frozen=True)
class Control:
    """What holds now, each as the change that it is from."""

    pinned: tuple[Change, ...]
    unloaded: tuple[Change, ...]
    loaded: tuple[Change, ...]
    draining: tuple[Change, ...]

    @classmethod
    def of(cls, message: pb.Control) -> Control:
        fields = (message.pinned, message.unloaded, message.loaded, message.draining)
        return cls(*(tuple(map(Change.of, changes)) for changes in fields))


class AsyncOperations(Asker):
    """Methods need the scope `admin` and raise the errors of `unikat.errors`; `reason` is for the record.

    Changes hold within two seconds, outlast restarts, and cut nothing off that is under way.
    """

    async def load(self, model: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """Have a model version ("emoji@2") served again, and every worker load it before it is asked for."""
        request = pb.LoadModelRequest(model=model, reason=reason)
        return Change.of(await self._ask(self._link.operations.LoadModel, request, timeout))

    async def unload(self, model: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """Take a model version out of service: new calls are `unikat.errors.WrongState`, others are finished."""
        request = pb.UnloadModelRequest(model=model, reason=reason)
        return Change.of(await self._ask(self._link.operations.UnloadModel, request, timeout))

    async def pin(self, model: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """Have the name of a model version ("emoji@2") mean this one."""
        request = pb.PinModelRequest(model=model, reason=reason)
        return Change.of(await self._ask(self._link.operations.PinModel, request, timeout))

    async def unpin(self, name: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """Have a model's name mean its newest version again."""
        request = pb.UnpinModelRequest(name=name, reason=reason)
        return Change.of(await self._ask(self._link.operations.UnpinModel, request, timeout))

    async def drain(self, worker: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """Have a worker finish what it has in hand, and exit."""
        request = pb.DrainWorkerRequest(worker=worker, reason=reason)
        return Change.of(await self._ask(self._link.operations.DrainWorker, request, timeout))

    async def control(self, *, timeout: float = 10.0) -> Control:
        """What holds now."""
        request = pb.GetControlRequest()
        return Control.of(await self._ask(self._link.operations.GetControl, request, timeout, ASK_AGAIN))

    async def history(self, *, timeout: float = 10.0) -> AsyncIterator[Change]:
        """All changes, newest first; pages are fetched as they are needed, `timeout` is for each."""
        request = pb.ListChangesRequest()
        while True:
            page = await self._ask(self._link.operations.ListChanges, request, timeout, ASK_AGAIN)
            for message in page.changes:
                yield Change.of(message)
            request.page_token = page.next_page_token
            if not request.page_token:
                return


class Operations:
    """The same for blocking callers."""

    def __init__(self, calls: AsyncOperations) -> None:
        self._calls = calls

    def load(self, model: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """See `AsyncOperations.load`."""
        return run(self._calls.load(model, reason, timeout=timeout))

    def unload(self, model: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """See `AsyncOperations.unload`."""
        return run(self._calls.unload(model, reason, timeout=timeout))

    def pin(self, model: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """See `AsyncOperations.pin`."""
        return run(self._calls.pin(model, reason, timeout=timeout))

    def unpin(self, name: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """See `AsyncOperations.unpin`."""
        return run(self._calls.unpin(name, reason, timeout=timeout))

    def drain(self, worker: str, reason: str = "", *, timeout: float = 10.0) -> Change:
        """See `AsyncOperations.drain`."""
        return run(self._calls.drain(worker, reason, timeout=timeout))

    def control(self, *, timeout: float = 10.0) -> Control:
        """See `AsyncOperations.control`."""
        return run(self._calls.control(timeout=timeout))

    def history(self, *, timeout: float = 10.0) -> Iterator[Change]:
        """See `AsyncOperations.history`."""
        changes = self._calls.history(timeout=timeout)
        while True:
            try:
                yield run(anext(changes))
            except StopAsyncIteration:
                return
