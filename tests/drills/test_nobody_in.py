"""Nobody in: every method of every service, called by whoever must not, refuses with the right code, does nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from redis import Redis

from tests.service.batch_hand import BatchHand
from tests.service.calls import code_of, fields_of, refusal_of
from tests.support.callers import Locked, contents, locked_service, make_token
from tests.support.valkey import running_valkey
from unikat.cli.authority import Authority, KeyPair
from unikat.credentials import SCOPES
from unikat.errors import NotFound, Unauthenticated
from unikat.inference import open_inference_pb2 as oip
from unikat.queue.server import PROBE_KEY
from unikat.queue.tokens import revoke
from unikat.v1 import batches_pb2 as pb
from unikat.v1 import operations_pb2, studio_pb2
from unikat.v1.batches_pb2_grpc import BatchesStub
from unikat.v1.studio_pb2 import GenerateRequest, GetModelRequest, ListModelsRequest
from unikat.v1.studio_pb2_grpc import StudioStub
from unikat_service import access

OPEN = "/grpc.health.v1.Health/Check"
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
WAIT_S = 20.0


@dataclass
class House:
    """A locked service with every method there is, and batches of a caller `victim` in every state.

    `pair` is the certificate of a caller "somebody" where the service asks for one.
    """

    locked: Locked
    pair: KeyPair | None
    tokens: dict[str, str]
    methods: Mapping[str, MethodDescriptor]
    requests: Mapping[str, Message]

    def codes(self, token: str = "", pair: KeyPair | None = None, empty: bool = False) -> dict[str, grpc.StatusCode]:
        """With which each method ends, called with a request that would do something, or an empty one."""
        with self.locked.channel(token, pair or self.pair) as channel:
            return {
                path: self._code(channel, path, b"" if empty or path not in self.requests else self._data(path))
                for path in self.methods
            }

    def _data(self, path: str) -> bytes:
        return self.requests[path].SerializeToString()

    def _code(self, channel: grpc.Channel, path: str, data: bytes) -> grpc.StatusCode:
        """OK as soon as there is a response."""
        method = self.methods[path]
        if method.client_streaming:
            found = code_of(lambda: first(channel.stream_stream(path, bytes, bytes)(iter([data]), timeout=WAIT_S)))
        elif method.server_streaming:
            found = code_of(lambda: first(channel.unary_stream(path, bytes, bytes)(data, timeout=WAIT_S)))
        else:
            found = code_of(lambda: channel.unary_unary(path, bytes, bytes)(data, timeout=WAIT_S) and None)
        return found or grpc.StatusCode.OK


def first(responses: Any) -> None:  # noqa: ANN401  # of any method
    """Wait for a response, and leave."""
    next(responses, None)
    responses.cancel()


def requests_on(running: str, failed: str, ended: str) -> dict[str, Message]:
    """A request for each method that changes or tells something, where it is let in."""
    plan = pb.CreateBatchRequest(model="tiny", plans=[pb.Plan(count=10)], destination="/out/mallory")
    return {
        "/unikat.v1.Studio/ListModels": ListModelsRequest(),
        "/unikat.v1.Studio/GetModel": GetModelRequest(name="tiny"),
        "/unikat.v1.Studio/Generate": GenerateRequest(model="tiny", count=2, request_id="mallory"),
        "/unikat.v1.Studio/Draw": GenerateRequest(model="tiny", request_id="mallory-one"),
        "/unikat.v1.Studio/EstimateWork": GenerateRequest(model="tiny", count=2),
        "/unikat.v1.Batches/CreateBatch": plan,
        "/unikat.v1.Batches/EstimateBatch": plan,
        "/unikat.v1.Batches/GetBatch": pb.GetBatchRequest(id=running),
        "/unikat.v1.Batches/ListBatches": pb.ListBatchesRequest(owner="victim"),
        "/unikat.v1.Batches/WatchBatch": pb.WatchBatchRequest(id=running),
        "/unikat.v1.Batches/CancelBatch": pb.CancelBatchRequest(id=running),
        "/unikat.v1.Batches/RetryBatch": pb.RetryBatchRequest(id=failed),
        "/unikat.v1.Batches/DeleteBatch": pb.DeleteBatchRequest(id=ended),
        "/unikat.v1.Operations/LoadModel": operations_pb2.LoadModelRequest(model="tiny@1"),
        "/unikat.v1.Operations/UnloadModel": operations_pb2.UnloadModelRequest(model="tiny@1"),
        "/unikat.v1.Operations/PinModel": operations_pb2.PinModelRequest(model="tiny@1"),
        "/unikat.v1.Operations/UnpinModel": operations_pb2.UnpinModelRequest(name="tiny"),
        "/unikat.v1.Operations/DrainWorker": operations_pb2.DrainWorkerRequest(worker="victim"),
        "/unikat.v1.Operations/GetControl": operations_pb2.GetControlRequest(),
        "/unikat.v1.Operations/ListChanges": operations_pb2.ListChangesRequest(),
        "/inference.GRPCInferenceService/ModelInfer": oip.ModelInferRequest(model_name="tiny"),
        "/inference.GRPCInferenceService/ModelReady": oip.ModelReadyRequest(name="tiny"),
        "/inference.GRPCInferenceService/ModelMetadata": oip.ModelMetadataRequest(name="tiny"),
        "/inference.GRPCInferenceService/ModelConfig": oip.ModelConfigRequest(name="tiny"),
        "/grpc.health.v1.Health/Check": HealthCheckRequest(service="tiny"),
        "/grpc.health.v1.Health/Watch": HealthCheckRequest(service="tiny"),
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": ServerReflectionRequest(list_services=""),
    }


def expected_scopes(path: str) -> set[str]:
    """What docs/deploy.md promises, one scope of which is enough."""
    service, _, method = path[1:].partition("/")
    if service == "unikat.v1.Batches":
        return {"batch", "admin"}
    if method in {"Generate", "Draw", "EstimateWork", "ModelInfer"}:
        return {"generate", "admin"}
    return {"admin"} if "channelz" in service or service == "unikat.v1.Operations" else set(SCOPES)


@pytest.fixture(scope="module", params=["tokens", "certificates"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = {"UNIKAT_DESTINATIONS": "/out", "UNIKAT_DEBUG": "1", "UNIKAT_REFLECTION": "1"}
    folder, mutual = tmp_path_factory.mktemp("tls"), request.param == "certificates"
    with running_valkey() as valkey, locked_service(valkey, folder, mutual, **settings) as locked:
        redis = locked.serving.redis
        tokens = {scope: make_token(redis, f"only-{scope}", scope) for scope in SCOPES}
        tokens["victim"] = make_token(redis, "victim")
        pair = locked.authority.issue_client("somebody", 1) if mutual else None
        methods = methods_of(locked, tokens["admin"], pair)
        yield House(locked, pair, tokens, methods, requests_on(*batches_of(locked, tokens["victim"], pair)))
        assert "Traceback" not in locked.serving.program.output


def methods_of(locked: Locked, token: str, pair: KeyPair | None) -> dict[str, MethodDescriptor]:
    """All that the service has, by its own word."""
    with locked.channel(token, pair) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        pool, services = DescriptorPool(database), database.get_services()
        found = [method for name in services for method in pool.FindServiceByName(name).methods]
        return {f"/{method.containing_service.full_name}/{method.name}": method for method in found}


def batches_of(locked: Locked, token: str, pair: KeyPair | None) -> list[str]:
    """Three batches: one that runs, one that failed, one that has ended."""
    hand, ids = BatchHand(locked.serving.redis), []
    with locked.channel(token, pair) as channel:
        for n in range(3):
            wish = pb.CreateBatchRequest(model="tiny", plans=[pb.Plan(count=10)], destination=f"/out/{n}")
            ids.append(BatchesStub(channel).CreateBatch(wish).id)
    hand.finish(ids[1], fail=(0,))
    hand.finish(ids[2])
    return ids


@contextmanager
def nothing_changes(house: House) -> Iterator[None]:
    """What is in Redis before and after is the same."""
    before = settled(house.locked.serving.redis)
    yield
    after = settled(house.locked.serving.redis)
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == set()


def settled(redis: Redis) -> dict[bytes, object]:
    """What is in Redis when calls that ended are done with, and the key with which a service tries it has expired."""
    while True:
        found = contents(redis)
        time.sleep(0.2)  # longer than a service waits before it gives leases up
        if contents(redis) == found and not any(key.startswith(PROBE_KEY.encode()) for key in found):
            return found


def others(house: House, allowed: grpc.StatusCode = grpc.StatusCode.OK) -> dict[str, grpc.StatusCode]:
    """What every method answers to somebody whom the service does not know."""
    return {path: allowed if path == OPEN else UNAUTHENTICATED for path in house.methods}


def test_the_table_of_scopes_has_every_method_that_there_is(house: House) -> None:
    assert house.methods.keys() == access.SCOPES.keys()
    assert {path.partition("/unikat.v1.")[2] for path in house.requests if "unikat" in path} == {
        f"{service.name}/{method.name}"
        for file in (studio_pb2.DESCRIPTOR, pb.DESCRIPTOR, operations_pb2.DESCRIPTOR)
        for service in file.services_by_name.values()
        for method in service.methods
    }


def test_whom_the_service_does_not_know_it_tells_its_health_only(house: House) -> None:
    redis, victim = house.locked.serving.redis, house.tokens["victim"]
    expired = make_token(redis, "late", "admin", lifetime=0.001)
    revoked = make_token(redis, "gone", "admin")
    revoke(redis, "gone")
    flipped = victim[:-1] + ("A" if victim[-1] != "A" else "B")
    unknown = f"unikat_{'0' * 16}_{victim[-43:]}"
    with nothing_changes(house):
        for bad in (expired, revoked, flipped, unknown, "unikat", "x" * 4000):
            assert house.codes(bad) == others(house), bad
        if house.pair is None:
            assert house.codes() == others(house)


def test_a_token_opens_what_its_scopes_open_and_nothing_else(house: House) -> None:
    for scope in SCOPES:
        found = house.codes(house.tokens[scope], empty=True)
        let_in = {path for path, code in found.items() if code not in (DENIED, UNAUTHENTICATED)}
        assert let_in == {path for path in house.methods if path == OPEN or scope in expected_scopes(path)}, scope


def test_with_too_little_scope_nothing_changes(house: House) -> None:
    with nothing_changes(house):
        found = house.codes(house.tokens["claim"])
    shut = {path for path in house.methods if path != OPEN and "claim" not in expected_scopes(path)}
    assert {path for path, code in found.items() if code == DENIED} == shut


def test_batches_of_others_are_not_there(house: House) -> None:
    mallory = make_token(house.locked.serving.redis, "mallory", "batch")
    about_one = ("GetBatch", "WatchBatch", "CancelBatch", "RetryBatch", "DeleteBatch")
    with nothing_changes(house), house.locked.channel(mallory, house.pair) as channel:
        stub = BatchesStub(channel)
        for name in about_one:
            call, request = getattr(stub, name), house.requests[f"/unikat.v1.Batches/{name}"]
            error = refusal_of(call, request)
            assert isinstance(error, NotFound), name
        assert not stub.ListBatches(pb.ListBatchesRequest()).batches
        assert not stub.ListBatches(pb.ListBatchesRequest(owner="victim")).batches
        as_victim = pb.CreateBatchRequest(model="tiny", plans=[pb.Plan(count=1)], destination="/out/m", owner="victim")
        assert list(fields_of(stub.CreateBatch, as_victim)) == ["owner"]
    audit = [line for line in house.locked.serving.program.output.splitlines() if "is of somebody else" in line]
    assert len(audit) == len(about_one)
    assert all('caller="mallory" peer="ipv' in line and 'method="/unikat.v1.Batches/' in line for line in audit)


def test_a_request_id_stands_for_another_job_with_every_caller(house: House) -> None:
    hand, redis = house.locked.serving.hand, house.locked.serving.redis
    both = [house.tokens["victim"], make_token(redis, "twin")]
    seen: list[tuple[str, str]] = []
    for token, count in zip(both, (1, 2), strict=True):  # other content: a shared id would be ALREADY_EXISTS
        with house.locked.channel(token, house.pair) as channel:
            call = StudioStub(channel).Generate(GenerateRequest(model="tiny", count=count, request_id="r"), timeout=20)
            job = hand.take()
            job.complete()
            accepted = next(iter(call)).accepted
            assert [each.WhichOneof("event") for each in call] == ["artwork"] * count + ["finished"]
            seen.append((accepted.job_id, job.job.caller))
    assert [caller for _, caller in seen] == ["victim", "twin"]
    assert seen[0][0] != seen[1][0]


def test_an_administrator_sees_all_and_does_all(house: House) -> None:
    with house.locked.channel(house.tokens["admin"], house.pair) as channel:
        stub = BatchesStub(channel)
        found = stub.ListBatches(pb.ListBatchesRequest(owner="victim")).batches
        assert len(found) == 3
        assert stub.GetBatch(pb.GetBatchRequest(id=found[0].id)).owner == "victim"


def test_a_certificate_that_another_authority_signed_is_let_in_nowhere(house: House) -> None:
    if house.pair is None:  # here it is the service that somebody else pretends to be
        with house.locked.channel(root=Authority.create().root) as channel:
            assert house._code(channel, OPEN, b"") == grpc.StatusCode.UNAVAILABLE
        return
    stranger = Authority.create().issue_client("somebody", 1)
    outside = dict.fromkeys(house.methods, grpc.StatusCode.UNAVAILABLE)
    with nothing_changes(house):
        assert house.codes(house.tokens["admin"], stranger) == outside
        with house.locked.channel(house.tokens["admin"]) as channel:  # and none at all
            assert {house._code(channel, path, b"") for path in house.methods} == {grpc.StatusCode.UNAVAILABLE}


def test_a_revoked_token_ends_the_calls_under_way_and_opens_nothing_within_a_second(
    house: House, is_long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    redis, waits = house.locked.serving.redis, []
    for n in range(40 if is_long else 4):
        token = make_token(redis, f"leaver-{n}")
        with house.locked.channel(token, house.pair) as channel:
            wish = pb.CreateBatchRequest(model="tiny", plans=[pb.Plan(count=10)], destination=f"/out/leaver-{n}")
            batch = BatchesStub(channel).CreateBatch(wish)
            watch = BatchesStub(channel).WatchBatch(pb.WatchBatchRequest(id=batch.id))
            assert next(iter(watch)).id == batch.id
            revoke(redis, f"leaver-{n}")
            began = time.monotonic()
            assert isinstance(refusal_of(lambda rest: rest, watch), Unauthenticated)
            waits.append(time.monotonic() - began)
            again = refusal_of(BatchesStub(channel).GetBatch, pb.GetBatchRequest(id=batch.id))
            assert isinstance(again, Unauthenticated)
    with capsys.disabled():
        print(f"\n{len(waits)} tokens revoked; calls under way ended after {max(waits):.2f} s at the latest")
    assert max(waits) < 1.0
