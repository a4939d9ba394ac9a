"""The Open Inference Protocol as stock clients speak it: the images of Studio, and what is wrong by name."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image
from redis import Redis

from tests.end_to_end.stack import Stack, running_stack
from tests.service.by_hand import described, image_of
from tests.service.calls import fields_of, refusal_of
from tests.service.conftest import Serving, serving_on
from tests.service.stock_client import infer, stock
from tests.support.callers import make_token
from tests.support.processes import eventually
from tests.support.proxy import running_proxy
from tests.support.tiny_model import tiny_model, write_tiny_bundle
from tests.support.valkey import Valkey
from unikat.aio import AsyncStudio
from unikat.artwork import Artwork
from unikat.errors import NotFound, Overloaded, PermissionDenied, Reason, Unauthenticated, WrongState
from unikat.inference import open_inference_pb2 as pb
from unikat.recipes.text import parse_mix
from unikat.v1.operations_pb2 import UnloadModelRequest
from unikat.v1.operations_pb2_grpc import OperationsStub

SEED = {"seed": ["UINT64", [1], [7]]}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service with a worker of "tiny" (16 px, two versions) and "sticker" (64 px with alpha)."""
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(Path(models), directions=3)
    write_tiny_bundle(Path(models), version=2)
    write_tiny_bundle(Path(models), "sticker", size=64, alpha=True)
    with running_stack(models) as running:
        yield running


def drawn(stack: Stack, model: str, where: Any = None, **options: Any) -> list[Artwork]:  # noqa: ANN401
    """The same by the client of Python."""

    async def draw() -> list[Artwork]:
        async with AsyncStudio(stack.target) as studio:
            return [artwork async for artwork in studio.generate(model, where, **options)]

    return asyncio.run(draw())


def content(result: dict[str, Any], output: str) -> list[bytes]:
    """The elements of an output, or its one block of numbers."""
    assert "found" in result, result
    return [base64.b64decode(part) for part in result["found"]["outputs"][output]["content"]]


def test_a_stock_client_lists_and_reads_the_models(stack: Stack) -> None:
    live, ready, tiny, other, server, index, metadata, config = (
        each["found"]
        for each in stock(
            stack.target,
            {"call": "is_server_live"},
            {"call": "is_server_ready"},
            {"call": "is_model_ready", "arguments": ["tiny", "1"]},
            {"call": "is_model_ready", "arguments": ["other"]},
            {"call": "get_server_metadata", "options": {"as_json": True}},
            {"call": "get_model_repository_index", "options": {"as_json": True}},
            {"call": "get_model_metadata", "arguments": ["sticker"], "options": {"as_json": True}},
            {"call": "get_model_config", "arguments": ["tiny", "1"], "options": {"as_json": True}},
        )
    )
    assert (live, ready, tiny, other) == (True, True, True, False)
    assert server["name"] == "unikat"
    assert [(each["name"], each["version"]) for each in index["models"]] == [
        ("sticker", "1"), ("tiny", "2"), ("tiny", "1"),
    ]  # fmt: skip
    assert {each["name"]: each["datatype"] for each in metadata["inputs"]} == {
        "seed": "UINT64", "index": "UINT32", "count": "UINT32", "conditions": "BYTES", "recipe": "BYTES",
        "truncation": "FP32", "background": "BYTES",
    }  # fmt: skip
    shapes = {each["name"]: each["shape"] for each in metadata["outputs"]}
    assert shapes == {"image": ["-1"], "pixels": ["-1", "64", "64", "4"], "artwork": ["-1"]}
    tensors = [*config["config"]["input"], *config["config"]["output"]]
    assert {each["name"]: each["data_type"] for each in tensors}["pixels"] == "TYPE_UINT8"


def test_it_draws_the_bytes_that_any_client_draws(stack: Stack) -> None:
    where = {"style": "ink", "subject": {"sea": 0.75, "hill": 0.25}}
    (result,) = stock(
        stack.target,
        infer(
            "tiny", ("artwork", "image"), "1", id="mine", parameters={"format": "webp"},
            inputs={
                "conditions": ["BYTES", [1], [json.dumps(where)]], "count": ["UINT32", [1], [3]],
                "index": ["UINT32", [1], [5]], "truncation": ["FP32", [1], [0.5]], **SEED,
            },
        ),
    )  # fmt: skip
    expected = drawn(stack, "tiny@1", where, seed=7, count=3, first_index=5, truncation=0.5, format="webp")
    assert content(result, "image") == [artwork.data for artwork in expected]
    facts = [json.loads(text) for text in content(result, "artwork")]
    assert [(each["id"], each["index"]) for each in facts] == [(artwork.id, artwork.index) for artwork in expected]
    assert not any("image" in each for each in facts)
    response = result["found"]["response"]
    assert (response["model_name"], response["model_version"], response["id"]) == ("tiny", "1", "mine")
    assert response["parameters"]["seed"] == {"uint64_param": "7"}


def test_pixels_are_those_of_the_image(stack: Stack) -> None:
    sticker = {"background": ["BYTES", [1], ["none"]], "count": ["UINT32", [1], [2]], **SEED}
    both, opaque, plain = stock(
        stack.target,
        infer("sticker", ("image", "pixels"), inputs=sticker),
        infer("sticker", ("pixels",), inputs=SEED),  # its file has no alpha
        infer("tiny", ("pixels",), inputs=SEED),
    )
    files = [np.asarray(Image.open(io.BytesIO(file)).convert("RGBA")) for file in content(both, "image")]
    assert both["found"]["outputs"]["pixels"]["shape"] == [2, 64, 64, 4]
    assert content(both, "pixels") == [np.stack(files).tobytes()]
    assert opaque["found"]["outputs"]["pixels"]["shape"] == [1, 64, 64, 4]
    (expected,) = drawn(stack, "tiny", seed=7, count=1)
    assert content(plain, "pixels") == [expected.array().tobytes()]


def test_a_recipe_draws_its_artwork_and_a_seed_is_picked_where_none_is_given(stack: Stack) -> None:
    line, where = "7:3*0.8,9:0*0.6,shift:2*1.5", {"style": "oil", "subject": "hill"}
    mixed, picked = stock(
        stack.target,
        infer(
            "tiny", version="1",
            inputs={"recipe": ["BYTES", [1], [line]], "conditions": ["BYTES", [1], [json.dumps(where)]]},
        ),
        infer("tiny"),
    )  # fmt: skip
    (expected,) = drawn(stack, "tiny@1", where, recipe=parse_mix(line), count=1)
    assert content(mixed, "image") == [expected.data]
    seed = int(picked["found"]["response"]["parameters"]["seed"]["uint64_param"])
    (expected,) = drawn(stack, "tiny", seed=seed, count=1)
    assert content(picked, "image") == [expected.data]


def wrong_steps() -> list[tuple[dict[str, Any], str]]:
    """Steps that are refused, and what the message says."""
    text = ["BYTES", [1]]
    return [
        (infer("tiny", inputs={"seed": ["UINT64", [2], [7, 8]]}), "inputs[seed].shape: must be [1], not [2]"),
        (infer("tiny", inputs={"seed": ["INT64", [1], [7]]}), "inputs[seed].datatype: must be UINT64"),
        (
            infer("tiny", inputs={"sead": ["UINT64", [1], [7]]}),
            'inputs[0].name: there is no "sead"; did you mean "seed"',
        ),
        (infer("tiny", ("pixel",), inputs=SEED), 'outputs[0].name: there is no "pixel"; did you mean "pixels"'),
        (infer("tinny", inputs=SEED), 'model_name: there is no model "tinny"; did you mean "tiny'),
        (infer("tiny", version="9", inputs=SEED), 'model_name: there is no model "tiny@9"'),
        (infer("tiny", inputs={"conditions": [*text, ["{"]]}), "conditions: must be a JSON object"),
        (infer("tiny", inputs={"conditions": [*text, ["[]"]]}), "conditions: must be a JSON object"),
        (infer("tiny", inputs={"conditions": [*text, ['{"style": "inc"}']]}), 'did you mean "ink"'),
        (infer("tiny", inputs={"conditions": [*text, ['{"style": {"ink": NaN}}']]}), "weights[ink]: must be a finite"),
        (infer("tiny", inputs={"conditions": [*text, ['{"style": 3}']]}), "conditions[0]: style must be a category"),
        (infer("tiny", inputs={"recipe": [*text, ["seven"]]}), "recipe:"),
        (infer("tiny", inputs={"recipe": [*text, ["7:3"]], **SEED}), "seed: must be left out"),
        (infer("tiny", inputs={"count": ["UINT32", [1], [0]]}), "count: must be 1 to"),
        (infer("tiny", inputs={"truncation": ["FP32", [1], [3.0]]}), "truncation: must be"),
        (infer("tiny", inputs={"background": [*text, ["red"]]}), "background: must be left out"),
        (infer("tiny", parameters={"format": "gif"}, inputs=SEED), "format: must be one of png, webp, jpeg"),
        (infer("tiny", parameters={"format": 3}, inputs=SEED), "parameters[format]: must be string_param"),
        (infer("tiny", parameters={"colour": "red"}, inputs=SEED), "parameters[colour]: there is no such parameter"),
        (infer("tiny", ("pixels",), parameters={"format": "jpeg"}, inputs=SEED), "format: must be png or webp"),
        *(
            (infer("sticker", outputs, inputs={"count": ["UINT32", [1], [2049]], **SEED}), "count: must be 1 to 2048")
            for outputs in ((), ("artwork",))
        ),
    ]


def test_what_is_wrong_is_refused_by_name_with_the_valid_choices(stack: Stack) -> None:
    wrong = wrong_steps()
    found = stock(stack.target, *(step for step, _ in wrong))
    for (step, says), result in zip(wrong, found, strict=True):
        code = "NOT_FOUND" if says.startswith("model_name") else "INVALID_ARGUMENT"
        assert result.get("code") == f"StatusCode.{code}", (step, result)
        assert says in result["message"], (step, result)
    assert stack.queued() == 0


def tensor(name: str = "seed", **fields: Any) -> pb.ModelInferRequest.InferInputTensor:  # noqa: ANN401
    datatype = "BYTES" if name == "conditions" else "UINT64"
    return pb.ModelInferRequest.InferInputTensor(**({"name": name, "datatype": datatype, "shape": [1]} | fields))


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        ({"inputs": [tensor()]}, "inputs[seed]", "one element"),
        ({"inputs": [tensor(contents={"int_contents": [7]})]}, "inputs[seed].contents", "uint64_contents"),
        ({"inputs": [tensor(contents={"uint64_contents": [7, 8]})]}, "inputs[seed]", "not 2"),
        ({"inputs": [tensor()] * 2, "raw_input_contents": [b"\7" * 8] * 2}, "inputs[1].name", "twice"),
        ({"inputs": [tensor()], "raw_input_contents": [b"\7" * 8] * 2}, "raw_input_contents", "1, not 2"),
        ({"inputs": [tensor()], "raw_input_contents": [b"\7" * 9]}, "inputs[seed]", "elements of 8 bytes"),
        ({"inputs": [tensor()], "raw_input_contents": [b"\7" * 16]}, "inputs[seed]", "not 2"),
        (
            {"inputs": [tensor(contents={"uint64_contents": [7]})], "raw_input_contents": [b"\7" * 8]},
            "inputs[seed].contents",
            "left out",
        ),
        ({"inputs": [tensor("conditions")], "raw_input_contents": [b"\7\0\0\0{}"]}, "inputs[conditions]", "length"),
        ({"inputs": [tensor("conditions")], "raw_input_contents": [b"\1\0\0\0\xff"]}, "inputs[conditions]", "UTF-8"),
        (
            {"inputs": [tensor(parameters={"a": {"bool_param": True}})], "raw_input_contents": [b"\7" * 8]},
            "inputs[seed].parameters[a]",
            "no such parameter",
        ),
        (
            {"outputs": [{"name": "image", "parameters": {"classification": {"int64_param": 3}}}]},
            "outputs[image].parameters[classification]",
            "no such parameter",
        ),
        ({"outputs": [{"name": "image"}] * 2}, "outputs[1].name", "twice"),
        ({"model_version": "one"}, "model_name", "version"),
        ({"parameters": {"attempt": {"int64_param": 9}}}, "attempt", "0 to 8"),
        ({"parameters": {"attempt": {"int64_param": -1}}}, "attempt", "whole number"),
    ],
)
def test_what_stock_clients_do_not_send_is_refused_by_name_too(
    shared: Serving, request_: dict[str, Any], field: str, says: str
) -> None:
    request = pb.ModelInferRequest(**({"model_name": "tiny"} | request_))
    found = fields_of(model_infer(shared.channel), request)
    assert list(found) == [field]
    assert says in found[field]


def model_infer(channel: grpc.Channel, method: str = "ModelInfer") -> Any:  # noqa: ANN401  # of any method
    path, answer = f"/inference.GRPCInferenceService/{method}", getattr(pb, f"{method}Response")
    return channel.unary_unary(path, lambda message: message.SerializeToString(), answer.FromString)


def test_elements_may_be_in_messages_as_well(stack: Stack) -> None:
    request = pb.ModelInferRequest(model_name="tiny")
    request.inputs.extend([tensor(contents={"uint64_contents": [7]}), tensor("conditions")])
    request.inputs[1].contents.bytes_contents.append(b'{"style": "ink"}')
    with grpc.insecure_channel(stack.target) as channel:
        (raw,) = model_infer(channel)(request, timeout=30).raw_output_contents
    (expected,) = drawn(stack, "tiny", {"style": "ink"}, seed=7, count=1)
    assert raw == len(expected.data).to_bytes(4, "little") + expected.data


def test_a_request_id_joins_the_job_that_it_stands_for(stack: Stack) -> None:
    named = {"request_id": "once"}
    first, again, other = stock(
        stack.target,
        infer("tiny", parameters=named),
        infer("tiny", parameters=named),
        infer("tiny", parameters=named, inputs=SEED),
    )
    assert content(first, "image") == content(again, "image")
    jobs = [each["found"]["response"]["parameters"]["job_id"] for each in (first, again)]
    assert jobs[0] == jobs[1]
    assert other["code"] == "StatusCode.ALREADY_EXISTS"


def test_tokens_and_quotas_hold_for_it(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_CALLER_IMAGES_PER_MINUTE="2") as serving:
        tokens = {scope: make_token(serving.redis, f"only-{scope}", scope) for scope in ("generate", "batch")}
        request, call = pb.ModelInferRequest(model_name="tiny"), model_infer(serving.channel)
        assert isinstance(refusal_of(call, request, 20), Unauthenticated)
        assert isinstance(
            refusal_of(lambda: call(request, metadata=shown(tokens["batch"]), timeout=20)), PermissionDenied
        )
        read = model_infer(serving.channel, "ModelMetadata")
        assert read(pb.ModelMetadataRequest(name="tiny"), metadata=shown(tokens["batch"])).versions == ["1"]
        missing = refusal_of(lambda: read(pb.ModelMetadataRequest(name="x"), metadata=shown(tokens["batch"])))
        assert isinstance(missing, NotFound)
        assert list(missing.fields) == ["name"]
        assert jobs_of(serving.redis) == []
        begun = call.future(request, metadata=shown(tokens["generate"]), timeout=20)
        taken = serving.hand.take()
        assert taken.job.caller == "only-generate"
        request.inputs.append(tensor("count", datatype="UINT32", contents={"uint_contents": [2]}))
        spent = refusal_of(lambda: call(request, metadata=shown(tokens["generate"]), timeout=20))
        assert (type(spent), spent.reason) == (Overloaded, Reason.QUOTA_EXCEEDED)
        taken.complete()
        assert begun.result().raw_output_contents[0][4:] == image_of(0)
        headers = {"authorization": f"Bearer {tokens['batch']}"}
        (refused,) = stock(serving.target, infer("tiny", headers=headers))
        assert refused["code"] == "StatusCode.PERMISSION_DENIED", refused


def test_its_calls_are_counted_with_all_others(valkey: Valkey) -> None:
    with serving_on(valkey, UNIKAT_MAX_CALLS="1") as serving:
        request, call = pb.ModelInferRequest(model_name="tiny"), model_infer(serving.channel)
        begun = call.future(request, timeout=20)
        taken = serving.hand.take()
        refused = refusal_of(call, request, 20)
        assert (type(refused), refused.reason) == (Overloaded, Reason.TOO_MANY_CALLS)
        taken.complete()
        assert begun.result().outputs[0].shape == [1]


def test_an_answer_counts_until_it_is_sent(serving: Serving) -> None:
    serving.hand.announce(described(tiny_model("large", size=1024)))
    wait_until_served(serving, "large")
    request, call = pb.ModelInferRequest(model_name="large"), model_infer(serving.channel)
    request.inputs.append(tensor("count", datatype="UINT32", contents={"uint_contents": [10]}))
    unlimited = [("grpc.max_receive_message_length", -1)]
    with running_proxy(serving.target) as proxy, grpc.insecure_channel(proxy.target, options=unlimited) as channel:
        slow = [model_infer(channel).future(request, timeout=60) for _ in range(4)]  # of 30 MiB each, by the pixels
        taken = [serving.hand.take(500_000) for _ in slow]
        proxy.stall()
        for each in taken:
            each.complete()
        for each in taken:  # all have all their images
            serving.program.wait_for_line(f"job={each.job_id} images=10 .*code=OK")
        refused = refusal_of(call, request, 20)
        assert (type(refused), refused.reason) == (Overloaded, Reason.TOO_MANY_CALLS)
        assert "holds answers of 128 MiB" in str(refused)
        proxy.heal()
        assert [len(each.result().raw_output_contents[0]) for each in slow] == [10 * 500_004] * 4
        begun = call.future(request, timeout=20)
        serving.hand.take().complete()
        assert begun.result().outputs[0].shape == [10]


def wait_until_served(serving: Serving, *names: str) -> None:
    """Until the index has these models, and no other."""
    listed = model_infer(serving.channel, "RepositoryIndex")
    eventually(lambda: tuple(each.name for each in listed(pb.RepositoryIndexRequest()).models) == names)


def test_a_refused_image_ends_the_call_and_its_job(serving: Serving) -> None:
    request = pb.ModelInferRequest(model_name="tiny")
    request.inputs.append(tensor("count", datatype="UINT32", contents={"uint_contents": [3]}))
    begun = model_infer(serving.channel).future(request, timeout=20)
    taken = serving.hand.take()
    taken.publish(0)
    taken.refuse(1)
    refused = refusal_of(begun.result)
    assert (type(refused), refused.reason) == (WrongState, Reason.CONTENT)
    assert "image 1 was drawn and is not delivered" in str(refused)
    serving.program.wait_for_line(r"call method=ModelInfer .*refused=1 .*reason=CONTENT")
    eventually(lambda: not serving.redis.keys("unikat:calls:*"))
    assert taken.publish(2).state == "ended", "nobody waits for it"


def test_a_model_is_ready_while_a_worker_serves_it_and_nobody_unloaded_it(serving: Serving) -> None:
    def ready() -> list[bool]:
        call = model_infer(serving.channel, "ModelReady")
        return [call(pb.ModelReadyRequest(name=name)).ready for name in ("tiny", "other")]

    serving.hand.announce(described(tiny_model("other")), name="w2")
    wait_until_served(serving, "other", "tiny")
    assert ready() == [True, True]
    serving.hand.bury("w2")  # lately served: calls for it still wait for a worker
    wait_until_served(serving, "tiny")
    OperationsStub(serving.channel).UnloadModel(UnloadModelRequest(model="tiny@1"))
    wait_until_served(serving)
    assert ready() == [False, False]


def shown(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def jobs_of(redis: Redis) -> list[bytes]:
    return list(redis.scan_iter("rq:job:*"))
