"""A stock client: it knows the address and nothing else, and asks the server for its contract (like grpcurl)."""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase


def call_by_reflection(target: str, method: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """Call "package.Service/Method" with a JSON body; the answers as JSON."""
    service_name, _, method_name = method.partition("/")
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert service_name in database.get_services()
        pool = DescriptorPool(database)
        of = pool.FindServiceByName(service_name).FindMethodByName(method_name)
        request = json_format.ParseDict(body, GetMessageClass(of.input_type)())
        answer = GetMessageClass(of.output_type)
        path = f"/{service_name}/{method_name}"
        assert of.server_streaming
        call = channel.unary_stream(
            path, request_serializer=lambda m: m.SerializeToString(), response_deserializer=answer.FromString
        )
        return [json_format.MessageToDict(message) for message in call(request, timeout=60)]
