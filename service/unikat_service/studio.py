"""The Studio's methods. Each takes a request's bytes, returns or writes bytes, and raises what `translated` knows."""

from __future__ import annotations

import grpc

from unikat.conditions import FieldError
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import (
    DESCRIPTOR,
    GenerateRequest,
    GetModelRequest,
    ListModelsRequest,
    ListModelsResponse,
)
from unikat_service.call import Backstage, Call
from unikat_service.errors import Context, invalid, translated
from unikat_service.paging import check_page, model_position, page_of
from unikat_service.requests import check_generate, parse

NAME = DESCRIPTOR.services_by_name["Studio"].full_name


class Studio:
    """`unikat.v1.Studio`."""

    def __init__(self, backstage: Backstage, max_count: int) -> None:
        """`max_count`: images that one call may ask for."""
        self._backstage = backstage
        self._max_count = max_count

    def handlers(self) -> grpc.GenericRpcHandler[bytes, bytes]:
        """To add to a server. No serializers: a result stream's entries are responses already, ready to be sent."""
        return grpc.method_handlers_generic_handler(
            NAME,
            {
                "ListModels": grpc.unary_unary_rpc_method_handler(translated(self.list_models)),
                "GetModel": grpc.unary_unary_rpc_method_handler(translated(self.get_model)),
                "Generate": grpc.unary_stream_rpc_method_handler(translated(self.generate)),
            },
        )

    async def list_models(self, data: bytes, context: Context) -> bytes:
        """A page of the models that are served."""
        request = parse(ListModelsRequest, data)
        size, after = check_page(request.page_size, request.page_token, model_position)
        snapshot = await self._backstage.catalogue.current()
        page, token = page_of(snapshot.sorted(), size, after)
        response = ListModelsResponse(models=map(_without_combinations, page), next_page_token=token)
        return response.SerializeToString()

    async def get_model(self, data: bytes, context: Context) -> bytes:
        """One model, complete."""
        request = parse(GetModelRequest, data)
        try:
            model = await self._backstage.catalogue.find(request.name, "name")
        except ValueError as error:
            raise invalid([FieldError("name", str(error))]) from error
        return model.SerializeToString()

    async def generate(self, data: bytes, context: Context) -> None:
        """Images, as they are drawn."""
        request = parse(GenerateRequest, data)
        order = await check_generate(request, self._backstage.catalogue, self._max_count)
        await Call(self._backstage, order, context).run()


def _without_combinations(model: Model) -> Model:
    listed = Model()
    listed.CopyFrom(model)
    del listed.combinations[:]
    return listed
