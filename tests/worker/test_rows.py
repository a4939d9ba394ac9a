"""Rows to a session's inputs, and drawn rows to messages: no worker, no Redis."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.tiny_model import LATENT, tiny_model
from unikat.conditions import CompleteConditions, Schema, Weights, to_messages
from unikat.identity import artwork_digest, short_id
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model
from unikat.v1.studio_pb2 import GenerateResponse, Renderer
from unikat_worker.drawing import ImageFile, Responses, Times, digest_of
from unikat_worker.inputs import feeds
from unikat_worker.rows import Row

MODEL = tiny_model()
MODEL.digest = "sha256:" + "0" * 64
SCHEMA = Schema(MODEL)
RENDERER = Renderer(provider="CPUExecutionProvider", runtime="onnxruntime 1", processor="x86_64")
TIMES = Times(queued=0.25, batched=-0.001, drawn=2.5, encoded=0.000125)

ASKED: list[Weights] = [
    {},
    {"style": {"oil": 1.0}},
    {"style": {"ink": 0.25, "chalk": 0.75}},
    {"style": {"chalk": 1.0}, "subject": {"hill": 1.0}},
]
ROWS = st.lists(
    st.builds(
        Row,
        weights=st.sampled_from(ASKED),
        seed=st.integers(0, 2**64 - 1),
        index=st.integers(0, 2**32 - 1),
        truncation=st.floats(0, 2, width=32),
    ),
    min_size=1,
    max_size=9,
)


@given(ROWS)
def test_a_row_is_fed_as_if_it_were_alone(rows: list[Row]) -> None:
    inputs, complete = feeds(SCHEMA, MODEL, rows)
    assert {name: (values.shape, values.dtype.name) for name, values in inputs.items()} == {
        "latent": ((len(rows), LATENT), "float32"),
        "truncation": ((len(rows), 1), "float32"),
        "condition": ((len(rows), 5), "float32"),
    }
    for position, row in enumerate(rows):
        (weights,) = SCHEMA.complete(row.weights, row.seed, [row.index])
        assert complete[position].weights == weights
        assert inputs["latent"][position].tobytes() == latents(row.seed, [row.index], LATENT).tobytes()
        assert inputs["condition"][position].tobytes() == SCHEMA.vectors([weights]).tobytes()
        assert inputs["truncation"][position, 0] == row.truncation


@given(ROWS, st.sampled_from(["png-3", "webp-2"]))
def test_a_response_says_what_its_image_was_made_of(rows: list[Row], encoder: str) -> None:
    _, complete = feeds(SCHEMA, MODEL, rows)
    responses = Responses(MODEL, RENDERER)
    for row, conditions in zip(rows, complete, strict=True):
        asked = replace(row, encoder=encoder, mark="open")
        made = artwork_digest(MODEL.digest, conditions.weights, row.seed, row.index, row.truncation)
        assert digest_of(MODEL, asked, conditions) == made
        file = ImageFile(f"bytes of {row.index}".encode(), "image/png", made, bytes(32))
        artwork = GenerateResponse.FromString(responses.response(asked, conditions, file, TIMES)).artwork
        assert (artwork.digest, artwork.id) == (made, short_id(made))
        assert (artwork.index, artwork.seed, artwork.truncation) == (row.index, row.seed, row.truncation)
        assert (artwork.image, artwork.media_type) == (file.data, "image/png")
        assert (artwork.width, artwork.height, artwork.model_digest) == (16, 16, MODEL.digest)
        assert list(artwork.conditions) == to_messages(conditions.weights)
        renderer = artwork.renderer
        assert (renderer.provider, renderer.processor) == ("CPUExecutionProvider", "x86_64")
        assert (renderer.encoder, renderer.mark) == (encoder, "open")


def test_times_are_durations_and_never_negative() -> None:
    row = Row({}, 1, 0, 0.8)
    _, (conditions,) = feeds(SCHEMA, MODEL, [row])
    file = ImageFile(b"", "image/png", bytes(32), bytes(32))
    message = Responses(MODEL, RENDERER).response(row, conditions, file, TIMES)
    timings = GenerateResponse.FromString(message).artwork.timings
    assert timings.queued.ToMicroseconds() == 250_000
    assert timings.batched.ToMicroseconds() == 0  # the clocks of two machines disagree
    assert (timings.drawn.seconds, timings.drawn.nanos) == (2, 500_000_000)
    assert timings.encoded.ToMicroseconds() == 125


def test_two_truncations_of_the_same_conditions_do_not_share_what_was_kept() -> None:
    rows = [Row({"style": {"ink": 1.0}, "subject": {"sea": 1.0}}, 1, 0, truncation) for truncation in (0.5, 0.75)]
    _, complete = feeds(SCHEMA, MODEL, rows)
    assert complete[0] is complete[1]
    sent = responses_of(MODEL, rows, complete)
    artworks = [GenerateResponse.FromString(message).artwork for message in sent]
    assert [artwork.truncation for artwork in artworks] == [0.5, 0.75]
    assert artworks[0].id != artworks[1].id


def test_a_model_with_alpha_is_fed_the_background_which_is_a_part_of_the_identity() -> None:
    model = tiny_model(alpha=True)
    asked = ["", "#ff000080", "#00000000"]
    rows = [Row({"style": {"ink": 1.0}, "subject": {"sea": 1.0}}, 1, 0, 1.0, background) for background in asked]
    inputs, complete = feeds(Schema(model), model, rows)
    assert inputs["background"].dtype == np.float32
    assert inputs["background"].tolist() == [[1, 1, 1, 1], [1, 0, 0, pytest.approx(128 / 255)], [0, 0, 0, 0]]
    sent = responses_of(model, rows, complete)
    artworks = [GenerateResponse.FromString(message).artwork for message in sent]
    assert [artwork.background for artwork in artworks] == ["#ffffffff", "#ff000080", "#00000000"]
    assert artworks[1].id == short_id(artwork_digest("", complete[1].weights, 1, 0, 1.0, "#ff000080"))
    assert len({artwork.id for artwork in artworks}) == 3
    with pytest.raises(ValueError, match="background"):
        feeds(Schema(model), model, [Row({}, 1, 0, 1.0, "red")])


def test_a_model_without_attributes_has_no_condition_input() -> None:
    schema = Schema(tiny_model(conditional=False))
    inputs, complete = feeds(schema, tiny_model(conditional=False), [Row({}, 7, 3, 1.0)])
    assert inputs.keys() == {"latent", "truncation"}
    assert [conditions.weights for conditions in complete] == [{}]
    assert np.array_equal(inputs["latent"], latents(7, [3], LATENT))


@pytest.mark.parametrize("asked", [{"style": {"crayon": 1.0}}, {"mood": {"calm": 1.0}}])
def test_conditions_that_the_model_does_not_have_are_refused(asked: Weights) -> None:
    with pytest.raises(KeyError, match=r"crayon|mood"):
        feeds(SCHEMA, MODEL, [Row({}, 1, 0, 1.0), Row(asked, 1, 1, 1.0)])


def responses_of(model: Model, rows: list[Row], complete: list[CompleteConditions]) -> list[bytes]:
    """The message of each row, without a picture."""
    responses = Responses(model, RENDERER)
    digests = [digest_of(model, *each) for each in zip(rows, complete, strict=True)]
    files = [ImageFile(b"", "image/png", digest, bytes(32)) for digest in digests]
    return [responses.response(*each, TIMES) for each in zip(rows, complete, files, strict=True)]
