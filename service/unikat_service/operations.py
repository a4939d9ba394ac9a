"""The methods of `unikat.v1.Operations`: what operators say of models and workers (`unikat.queue.control`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final

import grpc
from google.rpc.code_pb2 import Code

from unikat.bundle import key_of, parse_reference
from unikat.conditions import FieldError, choose_from
from unikat.errors import Reason, bad_field, error_of
from unikat.paging import check_page, decode, encode
from unikat.queue import control
from unikat.queue.control import Action, Change, entry_of, time_of
from unikat.queue.scripts import script
from unikat.statuses import invalid
from unikat.v1 import operations_pb2 as pb
from unikat_service import audit
from unikat_service.callers import current
from unikat_service.catalogue import Snapshot
from unikat_service.context import ServiceContext
from unikat_service.errors import Context, translated
from unikat_service.requests import parse

NAME: Final = pb.DESCRIPTOR.services_by_name["Operations"].full_name
_ENTRY: Final = re.compile(r"[0-9]{1,15}-[0-9]{1,20}")


class Operations:
    """`unikat.v1.Operations`. Who may call it, the gate says."""

    def __init__(self, service: ServiceContext) -> None:
        self._service = service

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        methods = {
            "LoadModel": self.load_model,
            "UnloadModel": self.unload_model,
            "PinModel": self.pin_model,
            "UnpinModel": self.unpin_model,
            "DrainWorker": self.drain_worker,
            "GetControl": self.get_control,
            "ListChanges": self.list_changes,
        }
        return grpc.method_handlers_generic_handler(
            NAME, {name: grpc.unary_unary_rpc_method_handler(translated(method)) for name, method in methods.items()}
        )

    async def load_model(self, data: bytes, context: Context) -> bytes:
        request = parse(pb.LoadModelRequest, data)
        snapshot, key = await self._version(request.model, request.reason)
        if key not in snapshot.control.unloaded:
            _require(key, map(key_of, snapshot.sorted()), "model", "model")
        return await self._change(Action.LOAD, key, request.reason)

    async def unload_model(self, data: bytes, context: Context) -> bytes:
        request = parse(pb.UnloadModelRequest, data)
        snapshot, key = await self._version(request.model, request.reason)
        pin = snapshot.control.pinned.get(key.partition("@")[0])
        if pin is not None and pin.subject == key:
            text = f"{key} is what its name is pinned to; pin another version, or unpin it, first"
            raise error_of(bad_field("model", text, Code.FAILED_PRECONDITION, Reason.PINNED))
        if key not in snapshot.control.unloaded:
            _require(key, map(key_of, snapshot.sorted()), "model", "model")
        return await self._change(Action.UNLOAD, key, request.reason)

    async def pin_model(self, data: bytes, context: Context) -> bytes:
        request = parse(pb.PinModelRequest, data)
        snapshot, key = await self._version(request.model, request.reason)
        if key in snapshot.control.unloaded:
            text = f"{key} is unloaded; `unikat models load {key}` has it served again"
            raise error_of(bad_field("model", text, Code.FAILED_PRECONDITION, Reason.MODEL_UNLOADED))
        _require(key, map(key_of, snapshot.sorted()), "model", "model")
        return await self._change(Action.PIN, key, request.reason)

    async def unpin_model(self, data: bytes, context: Context) -> bytes:
        request = parse(pb.UnpinModelRequest, data)
        _check_reason(request.reason)
        await self._service.catalogue.refresh()
        pinned = self._service.catalogue.snapshot.control.pinned
        _require(request.name, pinned, "name", "pinned name")
        return await self._change(Action.UNPIN, request.name, request.reason)

    async def drain_worker(self, data: bytes, context: Context) -> bytes:
        request = parse(pb.DrainWorkerRequest, data)
        _check_reason(request.reason)
        await self._service.catalogue.refresh()
        snapshot = self._service.catalogue.snapshot
        _require(request.worker, snapshot.worker_names, "worker", "live worker")
        gone = snapshot.control.draining.keys() - snapshot.worker_names  # that were lost before they could leave
        return await self._change(Action.DRAIN, request.worker, request.reason, gone)

    async def get_control(self, data: bytes, context: Context) -> bytes:
        """What holds now, as Redis has it."""
        parse(pb.GetControlRequest, data)
        await self._service.catalogue.refresh()
        snapshot = self._service.catalogue.snapshot
        held = snapshot.control
        leaving = {name: said for name, said in held.draining.items() if name in snapshot.worker_names}
        fields = {"pinned": held.pinned, "unloaded": held.unloaded, "loaded": held.loaded, "draining": leaving}
        found = pb.Control()
        for name, changes in fields.items():
            getattr(found, name).extend(_message(changes[of]) for of in sorted(changes))
        return found.SerializeToString()

    async def list_changes(self, data: bytes, context: Context) -> bytes:
        """A page of the record."""
        request = parse(pb.ListChangesRequest, data)
        size, after = check_page(request.page_size, request.page_token, _position)
        newest = "+" if after is None else f"({after}"
        entries = await self._service.commands.execute("XREVRANGE", control.RECORD_KEY, newest, "-", "COUNT", size + 1)
        response = pb.ListChangesResponse(changes=_messages(entries[:size]))
        if len(entries) > size:
            response.next_page_token = encode("changes", entries[size - 1][0].decode())
        return response.SerializeToString()

    async def _version(self, reference: str, reason: str) -> tuple[Snapshot, str]:
        """What is served now, and the "name@version" that is meant. Raises UnikatError."""
        _check_reason(reason)
        try:
            name, version = parse_reference(reference)
        except ValueError as error:
            raise invalid([FieldError("model", str(error))]) from error
        if version is None:
            raise invalid([FieldError("model", f'must say which version, as "{name}@1"')])
        await self._service.catalogue.refresh()
        return self._service.catalogue.snapshot, f"{name}@{version}"

    async def _change(self, action: Action, subject: str, why: str, gone: Iterable[str] = ()) -> bytes:
        who = current().name
        made = control.arguments(action, subject, who, why, gone)
        id = await self._service.commands.run(script("control"), *made)
        audit.changed(f"{action} {subject}", why)
        await self._service.catalogue.refresh()  # it holds here at once
        return _message(Change(action, subject, who, why, time_of(id))).SerializeToString()


def _check_reason(reason: str) -> None:
    """Raises UnikatError (INVALID_ARGUMENT)."""
    if not reason.isprintable():
        raise invalid([FieldError("reason", "must be one line, without control characters")])


def _require(name: str, known: Iterable[str], field: str, noun: str) -> None:
    """Raises UnikatError (NOT_FOUND) with what there is."""
    there = list(known)
    if name not in there:
        text = f'there is no {noun} "{name}"; {choose_from(there, name)}'
        reason = Reason.MODEL_NOT_FOUND if field == "model" else Reason.BAD_FIELD
        raise error_of(bad_field(field, text, Code.NOT_FOUND, reason))


def _position(token: str) -> str:
    (id,) = decode("changes", token)
    if not _ENTRY.fullmatch(id):
        raise ValueError(token)
    return str(id)


def _messages(entries: Iterable[tuple[bytes, Sequence[bytes]]]) -> Iterator[pb.Change]:
    """Entries of the record, without what nobody of ours wrote."""
    for entry in entries:
        with suppress(ValueError):
            yield _message(entry_of(*entry))


def _message(change: Change) -> pb.Change:
    action = f"ACTION_{change.action.name}"
    message = pb.Change(action=action, subject=change.subject, caller=change.who, reason=change.why)
    message.create_time.FromMilliseconds(round(change.at * 1000))
    return message
