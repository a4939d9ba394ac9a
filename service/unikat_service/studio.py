"""The Studio's methods. Each takes a request's bytes, returns or writes bytes, and raises what `translated` knows."""

from __future__ import annotations

import logging
import time
from typing import Final

import grpc

from unikat.bundle import key_of
from unikat.call_records import CallRecord, Stages, current_record
from unikat.call_records import log as lines
from unikat.conditions import FieldError
from unikat.paging import check_page
from unikat.queue.stream import is_refusal
from unikat.statuses import invalid
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import (
    DESCRIPTOR,
    Accepted,
    Artwork,
    GenerateRequest,
    GenerateResponse,
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
)
from unikat_service.budgets import seconds_of
from unikat_service.call import Call
from unikat_service.context import ServiceContext
from unikat_service.errors import Context, translated
from unikat_service.estimates import estimate
from unikat_service.paging import model_position, page_of
from unikat_service.requests import Order, check_generate, parse, parse_draw
from unikat_service.signing import no_signer
from unikat_service.terms import not_delivered, require_terms

NAME: Final = DESCRIPTOR.services_by_name["Studio"].full_name
_ARTWORK_TAG: Final = GenerateResponse.ARTWORK_FIELD_NUMBER << 3 | 2  # of a field with a length

ACCEPTED_WITHIN_S: Final = 0.02


class Studio:
    """`unikat.v1.Studio`."""

    def __init__(self, service: ServiceContext) -> None:
        self._service = service

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """To add to a server. No serializers: a result stream's entries are responses already, ready to be sent."""
        return grpc.method_handlers_generic_handler(
            NAME,
            {
                "ListModels": grpc.unary_unary_rpc_method_handler(translated(self.list_models)),
                "GetModel": grpc.unary_unary_rpc_method_handler(translated(self.get_model)),
                "Generate": grpc.unary_stream_rpc_method_handler(translated(self.generate)),
                "Draw": grpc.unary_unary_rpc_method_handler(translated(self.draw)),
                "EstimateWork": grpc.unary_unary_rpc_method_handler(translated(self.estimate_work)),
            },
        )

    async def list_models(self, data: bytes, context: Context) -> bytes:
        """A page of the models that are served."""
        request = parse(ListModelsRequest, data)
        size, after = check_page(request.page_size, request.page_token, model_position)
        snapshot = await self._service.catalogue.current()
        page, token = page_of(snapshot.sorted(), size, after)
        response = ListModelsResponse(models=map(_without_combinations, page), next_page_token=token)
        return response.SerializeToString()

    async def get_model(self, data: bytes, context: Context) -> bytes:
        """One model, complete."""
        request = parse(GetModelRequest, data)
        try:
            model = await self._service.catalogue.find(request.name, "name")
        except ValueError as error:
            raise invalid([FieldError("name", str(error))]) from error
        return model.SerializeToString()

    async def generate(self, data: bytes, context: Context) -> None:
        """Images, as they are drawn."""
        order = await self.check(parse(GenerateRequest, data))
        record = current_record()
        async with Call(self._service, order, context) as call:
            record.job = call.job_id
            # With the first image, if that comes soon: a message of its own would wake the caller, and take the core
            # from what draws the image.
            if call.is_next:
                await call.ready(ACCEPTED_WITHIN_S)
            accepted = _accepted(call, order)
            await context.write(GenerateResponse(accepted=accepted).SerializeToString())
            while (response := await call.next()) is not None:
                response = await self._signed_response(response, accepted) if order.is_signed else response
                begun = time.perf_counter()
                await context.write(response)
                record.sending += time.perf_counter() - begun
                note_sent(record, response, begun)
                del response  # else it is kept for as long as the next one is waited for, and nobody counts it

    async def draw(self, data: bytes, context: Context) -> bytes:
        """One image."""
        order = await self.check(parse_draw(data))
        async with Call(self._service, order, context) as call:
            record = current_record()
            record.job = call.job_id
            accepted = _accepted(call, order)
            end = Artwork(accepted=accepted).SerializeToString()
            response = await call.next()
            assert response is not None, "a job of one image ended without it"
            if order.is_signed:
                response = await self._signed_response(response, accepted)
            note_sent(record, response, time.perf_counter())
            if not is_refusal(response):
                artwork = artwork_in(response)
                # Fields of messages can be concatenated, so the image is neither parsed nor copied field by field.
                return artwork + end
        raise not_delivered(GenerateResponse.FromString(response).refused)

    async def estimate_work(self, data: bytes, context: Context) -> bytes:
        """What a call of Generate would be."""
        service = self._service
        order = await self.check(parse(GenerateRequest, data))
        snapshot, count = service.catalogue.snapshot, order.request.count
        seconds = seconds_of(count, snapshot.rates.get(order.model.digest, 0.0))
        ahead = await service.calls.work_in_progress(service.catalogue.clock.now())
        return estimate(order.model, count, seconds, ahead, snapshot).SerializeToString()

    async def check(self, request: GenerateRequest) -> Order:
        """A request whose every field is right, and which can be drawn. Raises UnikatError."""
        order = await check_generate(request, self._service.catalogue, self._service.settings)
        if order.is_signed and self._service.signing is None:
            raise no_signer()
        require_terms(order.model, order.terms, self._service.catalogue.snapshot)
        current_record().model = key_of(order.model)
        return order

    async def _signed_response(self, response: bytes, accepted: Accepted) -> bytes:
        """The response with its image signed; one without an image as it is."""
        if response[0] != _ARTWORK_TAG:
            return response
        return _response_of(await self._signed(artwork_in(response), accepted))

    async def _signed(self, artwork: bytes, accepted: Accepted) -> bytes:
        assert self._service.signing is not None
        return await self._service.signing.sign(artwork, accepted.model, accepted.credentials)


def _accepted(call: Call, order: Order) -> Accepted:
    accepted = call.accepted
    if order.is_signed:
        accepted.credentials = order.request.credentials
    return accepted


def note_sent(record: CallRecord, response: bytes, since: float) -> None:
    """A response was sent, or is about to be, which could be `since`."""
    if response[0] == _ARTWORK_TAG:
        if not record.images:
            record.first = since - record.begun
            if record.trace or lines.isEnabledFor(logging.INFO):  # a span or a line says them; the rest goes unread
                of = GenerateResponse.FromString(response).artwork.timings
                record.stages = Stages(
                    *(each.seconds + each.nanos / 1e9 for each in (of.queued, of.batched, of.drawn, of.encoded))
                )
        record.images += 1
    elif is_refusal(response):
        record.refused += 1
    record.bytes += len(response)


def artwork_in(response: bytes) -> bytes:
    """The serialized Artwork in a serialized GenerateResponse, whose first field it is. Raises ValueError."""
    if not response or response[0] != _ARTWORK_TAG:
        raise ValueError("the response is not an artwork")
    length, at, shift = 0, 1, 0
    while True:
        length |= (response[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if response[at - 1] < 0x80:
            return response[at : at + length]


def _response_of(artwork: bytes) -> bytes:
    """The inverse of `artwork_in`: the image is not parsed once more."""
    head, length = bytearray([_ARTWORK_TAG]), len(artwork)
    while length >= 0x80:
        head.append(length & 0x7F | 0x80)
        length >>= 7
    head.append(length)
    return bytes(head) + artwork


def _without_combinations(model: Model) -> Model:
    listed = Model()
    listed.CopyFrom(model)
    del listed.combinations[:]
    return listed
