"""A client that knows nothing but the address: as grpcurl does, by reflection."""

from __future__ import annotations

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from tests.service.conftest import Serving, serving_on
from tests.support.valkey import Valkey

SERVICES = {
    "unikat.v1.Studio",
    "unikat.v1.Batches",
    "unikat.v1.Operations",
    "inference.GRPCInferenceService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1alpha.ServerReflection",
}


def test_a_client_without_stubs_finds_the_service_and_calls_it(shared: Serving) -> None:
    reflection = ProtoReflectionDescriptorDatabase(shared.channel)
    assert set(reflection.get_services()) == SERVICES
    method = DescriptorPool(reflection).FindServiceByName("unikat.v1.Studio").FindMethodByName("Generate")
    assert method.server_streaming
    request_class, response_class = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
    wish = request_class(model="tiny", count=2, conditions=[{"attribute": "style", "category": "oil"}])
    call = shared.channel.unary_stream(
        "/unikat.v1.Studio/Generate", request_class.SerializeToString, response_class.FromString
    )(wish, timeout=20)
    shared.hand.take().complete()
    assert [r.WhichOneof("event") for r in call] == ["accepted", "artwork", "artwork", "finished"]


def test_channelz_is_served_for_debugging_only(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_DEBUG="1") as serving:
        services = set(ProtoReflectionDescriptorDatabase(serving.channel).get_services())
        assert services == SERVICES | {"grpc.channelz.v1.Channelz"}
        stub = channelz_pb2_grpc.ChannelzStub(serving.channel)
        assert stub.GetServers(channelz_pb2.GetServersRequest(start_server_id=0)).server
