"""The service with a real worker behind it: what is drawn arrives, the same each time."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from PIL import Image

from tests.service.calls import code_of, indices
from tests.service.conftest import READY
from tests.support.processes import eventually, spawn
from tests.support.tiny_model import write_tiny_bundle
from tests.support.valkey import running_valkey
from unikat.v1.studio_pb2 import Artwork, GenerateRequest, GenerateResponse, ListModelsRequest
from unikat.v1.studio_pb2_grpc import StudioStub


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a service that a worker with the tiny model works for."""
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(Path(models), work=20)
    with running_valkey() as valkey:
        environment = {
            "UNIKAT_REDIS_URL": valkey.url,
            "UNIKAT_MODELS": str(models),
            "UNIKAT_LISTEN": "127.0.0.1:0",
            "UNIKAT_THREADS": "1",
        }
        with spawn("unikat_worker", env=environment), spawn("unikat_service", env=environment) as service:
            address = f"127.0.0.1:{service.wait_for_line(READY)[1]}"
            with grpc.insecure_channel(address) as channel:
                eventually(lambda: code_of(StudioStub(channel).ListModels, ListModelsRequest()) is None, deadline=60)
            yield address
            assert "Traceback" not in service.output


@pytest.fixture
def studio(target: str) -> Iterator[StudioStub]:
    """A client."""
    with grpc.insecure_channel(target) as channel:
        yield StudioStub(channel)


def artworks(responses: list[GenerateResponse]) -> list[Artwork]:
    return [response.artwork for response in responses if response.HasField("artwork")]


@pytest.mark.parametrize(
    ("image_format", "media_type"),
    [("IMAGE_FORMAT_UNSPECIFIED", "image/png"), ("IMAGE_FORMAT_WEBP", "image/webp"),
     ("IMAGE_FORMAT_JPEG", "image/jpeg")],
)  # fmt: skip
def test_every_image_decodes_and_is_what_was_announced(studio: StudioStub, image_format: str, media_type: str) -> None:
    wish = GenerateRequest(model="tiny@1", count=9, seed=7, format=image_format)
    responses = list(studio.Generate(wish, timeout=30))
    assert [r.WhichOneof("event") for r in responses] == ["accepted"] + ["artwork"] * 9 + ["finished"]
    assert indices(responses) == list(range(9))
    for artwork in artworks(responses):
        assert artwork.media_type == media_type
        assert artwork.seed == 7
        assert artwork.model_digest == responses[0].accepted.model_digest
        with Image.open(io.BytesIO(artwork.image)) as image:
            assert image.size == (artwork.width, artwork.height) == (16, 16)


def test_a_cut_off_call_that_is_resumed_gets_the_bytes_of_one_that_was_not(target: str, studio: StudioStub) -> None:
    whole = GenerateRequest(model="tiny", count=300, seed=11)
    expected = [artwork.image for artwork in artworks(list(studio.Generate(whole, timeout=30)))]
    wish = GenerateRequest(model="tiny", count=300, seed=11, request_id=str(uuid.uuid4()))
    received: list[bytes] = []
    # Each connection is cut after some images, which cancels the job; the next call opens it anew.
    for enough in (5, 70, 180, 300):
        with grpc.insecure_channel(target) as channel:
            for response in StudioStub(channel).Generate(wish, timeout=30):
                received += [artwork.image for artwork in artworks([response])]
                if len(received) == enough:
                    break
        wish.after_index = len(received) - 1
    assert received == expected


def test_any_image_of_a_seed_can_be_drawn_alone(studio: StudioStub) -> None:
    whole = artworks(list(studio.Generate(GenerateRequest(model="tiny", count=12, seed=3), timeout=30)))
    wish = GenerateRequest(model="tiny", count=4, seed=3, first_index=7, request_id=str(uuid.uuid4()))
    accepted, *some, _ = studio.Generate(wish, timeout=30)
    assert accepted.accepted.first_index == 7
    assert [(a.index, a.id, a.image) for a in artworks(some)] == [(a.index, a.id, a.image) for a in whole[7:11]]
    wish.after_index = 9
    assert indices(list(studio.Generate(wish, timeout=30))) == [10]


def test_an_index_that_needs_all_its_bits_is_drawn(studio: StudioStub) -> None:
    wish = GenerateRequest(model="tiny", count=2, seed=3, first_index=2**32 - 2)
    assert indices(list(studio.Generate(wish, timeout=30))) == [2**32 - 2, 2**32 - 1]
