"""The protocol's methods. What is drawn is checked, queued, charged and delivered as by `unikat.v1.Studio`."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from importlib.metadata import version
from typing import Final

import grpc
from google.protobuf.message import Message
from google.rpc.code_pb2 import Code

from unikat.bundle import key_of
from unikat.call_records import current_record
from unikat.conditions import FieldError
from unikat.errors import NotFound, Reason, Unavailable, UnikatError, WrongState, error_of, retry_later
from unikat.inference import open_inference_pb2 as pb
from unikat.queue.stream import is_refusal
from unikat.statuses import invalid
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import Artwork, GenerateResponse
from unikat_service.call import Call
from unikat_service.context import ServiceContext
from unikat_service.errors import Context, translated
from unikat_service.open_inference.inputs import Asked, read, reference, renamed
from unikat_service.open_inference.outputs import MAX_ANSWER_BYTES, answer_bytes, check_answer, filled
from unikat_service.open_inference.tensors import config, metadata
from unikat_service.requests import Order, parse
from unikat_service.studio import Studio, note_sent
from unikat_service.terms import not_delivered

NAME: Final = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
EXTENSIONS: Final = ("model_configuration",)
# What all answers hold at a time, until gRPC has sent them; beyond it, calls are told to come back.
MAX_HELD_BYTES: Final = 4 * MAX_ANSWER_BYTES
RETRY_S: Final = 1.0


class OpenInference:
    """`inference.GRPCInferenceService`."""

    def __init__(self, service: ServiceContext, studio: Studio) -> None:
        self._service = service
        self._studio = studio
        self._held = 0  # bytes of answers under way

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """To add to a server."""
        methods = {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelInfer": self.model_infer,
            "ModelConfig": self.model_config,
            "RepositoryIndex": self.repository_index,
        }
        return grpc.method_handlers_generic_handler(
            NAME,
            {
                name: grpc.unary_unary_rpc_method_handler(translated(method), response_serializer=_serialized)
                for name, method in methods.items()
            },
        )

    async def server_live(self, data: bytes, context: Context) -> Message:
        """This process answers."""
        parse(pb.ServerLiveRequest, data)
        return pb.ServerLiveResponse(live=True)

    async def server_ready(self, data: bytes, context: Context) -> Message:
        """Whether Redis answers and a worker is alive."""
        parse(pb.ServerReadyRequest, data)
        catalogue = self._service.catalogue
        with suppress(Unavailable):
            await catalogue.current()  # asks again where none was alive a moment ago
        return pb.ServerReadyResponse(ready=catalogue.healthy and bool(catalogue.snapshot.live))

    async def model_ready(self, data: bytes, context: Context) -> Message:
        """Whether a live worker serves a model."""
        request = parse(pb.ModelReadyRequest, data)
        try:
            model = await self._find(request.name, request.version)
        except (NotFound, Unavailable, WrongState):
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=key_of(model) in self._service.catalogue.snapshot.live)

    async def server_metadata(self, data: bytes, context: Context) -> Message:
        """Name and release of the service."""
        parse(pb.ServerMetadataRequest, data)
        return pb.ServerMetadataResponse(name="unikat", version=version("unikat"), extensions=EXTENSIONS)

    async def model_metadata(self, data: bytes, context: Context) -> Message:
        """Inputs and outputs of a model."""
        request = parse(pb.ModelMetadataRequest, data)
        model = await self._find(request.name, request.version)
        every = self._service.catalogue.snapshot.sorted()
        return metadata(model, [str(each.version) for each in every if each.name == model.name])

    async def model_config(self, data: bytes, context: Context) -> Message:
        """The same in the form of Triton's configuration."""
        request = parse(pb.ModelConfigRequest, data)
        return pb.ModelConfigResponse(config=config(await self._find(request.name, request.version)))

    async def repository_index(self, data: bytes, context: Context) -> Message:
        """The models that a live worker serves."""
        request = parse(pb.RepositoryIndexRequest, data)
        if request.repository_name:
            raise invalid([FieldError("repository_name", "must be left out: there is one repository")])
        snapshot = await self._service.catalogue.current()
        models = [model for model in snapshot.sorted() if key_of(model) in snapshot.live]
        kind = pb.RepositoryIndexResponse.ModelIndex
        return pb.RepositoryIndexResponse(
            models=[kind(name=model.name, version=str(model.version), state="READY") for model in models]
        )

    async def model_infer(self, data: bytes, context: Context) -> Message:
        """Images of one answer."""
        request = parse(pb.ModelInferRequest, data)
        try:
            asked = read(request)
            order = await self._studio.check(asked.request)
        except UnikatError as error:
            raise renamed(error) from error
        check_answer(order, asked.outputs)
        # Of several images: one is held no longer than by Draw.
        size = answer_bytes(order, asked.outputs) if order.request.count > 1 else 0
        if self._held + size > MAX_HELD_BYTES:
            text = f"this service holds answers of {MAX_HELD_BYTES >> 20} MiB already; come back in {RETRY_S:g} s"
            raise error_of(retry_later(Code.RESOURCE_EXHAUSTED, text, Reason.TOO_MANY_CALLS, RETRY_S))
        self._held += size
        context.add_done_callback(lambda _: self._give_back(size))  # type: ignore[arg-type]  # as in Room
        return await self._drawn(request.id, asked, order, context)

    def _give_back(self, size: int) -> None:
        self._held -= size

    async def _drawn(self, id: str, asked: Asked, order: Order, context: Context) -> pb.ModelInferResponse:
        responses: list[bytes] = []
        async with Call(self._service, order, context) as call:
            accepted, record = call.accepted, current_record()
            record.job = call.job_id
            while len(responses) < order.request.count:
                response = await call.next()
                assert response is not None, "a job ended before its last image"
                if is_refusal(response):  # raised in the block: nobody waits for the images behind it
                    note_sent(record, response, time.perf_counter())
                    raise not_delivered(GenerateResponse.FromString(response).refused)
                responses.append(response)
        answer = pb.ModelInferResponse(model_name=order.model.name, model_version=str(order.model.version), id=id)
        answer.parameters["seed"].uint64_param = accepted.seed
        answer.parameters["first_index"].int64_param = accepted.first_index
        answer.parameters["job_id"].string_param = accepted.job_id
        answer.parameters["model_digest"].string_param = accepted.model_digest
        artworks: list[Artwork] = [GenerateResponse.FromString(response).artwork for response in responses]
        filled_in = await asyncio.to_thread(filled, answer, asked.outputs, order.model, artworks)
        for response in responses:
            note_sent(record, response, time.perf_counter())  # all of them can be sent only now
        record.bytes = filled_in.ByteSize()
        return filled_in

    async def _find(self, name: str, version: str) -> Model:
        """Raises UnikatError, with the field as callers of this protocol know it."""
        try:
            return await self._service.catalogue.find(reference(name, version), "name")
        except ValueError as error:
            raise invalid([FieldError("name", str(error))]) from error


def _serialized(message: Message) -> bytes:
    return message.SerializeToString()
