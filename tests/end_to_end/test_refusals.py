"""Images that are drawn and not delivered, on their whole way: worker, stream, service, client, batches."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.testing import CliRunner

from tests.end_to_end.shop import Shop, plan, running_shop
from tests.end_to_end.stack import Stack
from tests.support.processes import eventually
from tests.support.refusing_models import drawn, write_copier, write_memoriser
from tests.support.tiny_model import tiny_graph, write_tiny_bundle
from unikat import Studio
from unikat.artwork import Artwork
from unikat.batches.verify import verify
from unikat.cli import app
from unikat.errors import InvalidRequest, WrongState
from unikat.identity import artwork_digest
from unikat.metadata import read_statement
from unikat.v1 import batches_pb2 as pb
from unikat.v1.studio_pb2 import GenerateRequest, GenerateResponse
from unikat.v1.studio_pb2_grpc import StudioStub
from unikat_worker.content_gate import ContentGate
from unikat_worker.content_limits import ContentLimits
from unikat_worker.device import choose_device
from unikat_worker.settings import DeviceName

SEED, COUNT, SIDE = 7, 24, 64
COPIED = [1, 4, 5]


def gate_scores() -> list[float]:
    """Of what the tiny model draws first, by the network itself."""
    gate = ContentGate(ContentLimits.parse(""), choose_device(DeviceName.CPU, threads=1))
    return [float(score) for score in gate.scores(drawn(tiny_graph(SIDE), SEED, range(COUNT), SIDE))]


@pytest.fixture(scope="module")
def scores() -> list[float]:
    return gate_scores()


@pytest.fixture(scope="module")
def limit(scores: list[float]) -> float:
    """Half of the drawings are above it, and none near it."""
    ordered = sorted(scores)
    return (ordered[COUNT // 2 - 1] + ordered[COUNT // 2]) / 2


@pytest.fixture(scope="module")
def improper(scores: list[float], limit: float) -> set[int]:
    return {index for index, score in enumerate(scores) if score >= limit}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, limit: float) -> Iterator[Shop]:
    """A gate for `tiny` only; `copier` and `memory` have indexes of their training pictures."""
    folder = tmp_path_factory.mktemp("refusals")
    (folder / "out").mkdir()
    write_tiny_bundle(folder / "models", size=SIDE)
    write_copier(folder / "models", COPIED, SEED, SIDE)
    write_copier(folder / "models", COPIED, SEED, SIDE, alpha=True)
    write_memoriser(folder / "models")
    gate, deny = f"tiny={limit!r}", "copier.style=oil"
    with running_shop(folder / "models", folder / "out", UNIKAT_CONTENT_GATE=gate, UNIKAT_DENY=deny) as running:
        yield running


@pytest.fixture(scope="module")
def studio(shop: Shop) -> Iterator[Studio]:
    with Studio(shop.stack.target) as found:
        yield found


def test_refused_images_take_their_index_and_the_others_come_in_order(
    studio: Studio, improper: set[int], scores: list[float], limit: float
) -> None:
    generation = studio.generate("tiny", seed=SEED, count=COUNT)
    delivered = [artwork.index for artwork in generation]
    assert delivered == sorted(set(range(COUNT)) - improper)
    assert [each.index for each in generation.refused] == sorted(improper)
    assert {each.reason for each in generation.refused} == {"CONTENT"}
    first = generation.refused[0]
    assert first.detail == f"the content gate says {scores[first.index]:.3f}, refused from {limit:g}"
    weights = {name: {category: 1.0} for name, category in first.conditions.items() if isinstance(category, str)}
    model = studio.model("tiny")
    assert first.digest == artwork_digest(model.digest, weights, SEED, first.index, generation.accepted.truncation)
    assert generation.finished is not None
    assert generation.finished.count == COUNT - len(improper)


def test_draw_ends_with_why(studio: Studio, improper: set[int]) -> None:
    with pytest.raises(WrongState, match="is not delivered: the content gate says") as caught:
        studio.draw("tiny", index=min(improper), seed=SEED)
    assert caught.value.reason == "CONTENT"


def test_a_call_that_resumes_gets_the_rest_with_its_refusals(shop: Shop, improper: set[int]) -> None:
    request = GenerateRequest(model="tiny", seed=SEED, count=COUNT, request_id="resumed")
    with grpc.insecure_channel(shop.stack.target) as channel:
        stub = StudioStub(channel)
        whole = [found for message in stub.Generate(request, timeout=30) if (found := place_of(message))]
        assert [index for index, _ in whole] == list(range(COUNT))
        assert {index for index, is_refused in whole if is_refused} == improper
        request.after_index = sorted(improper)[2]
        rest = [found for message in stub.Generate(request, timeout=30) if (found := place_of(message))]
        assert rest == whole[sorted(improper)[2] + 1 :]


def place_of(message: GenerateResponse) -> tuple[int, bool] | None:
    """Index of an image, and whether it is refused; None of what is no image."""
    event = message.WhichOneof("event")
    if event not in ("artwork", "refused"):
        return None
    return getattr(message, event).index, event == "refused"


def test_a_batch_names_what_it_refused_and_verify_knows_it(shop: Shop, improper: set[int]) -> None:
    for layout in (pb.LAYOUT_FILES, pb.LAYOUT_WEBDATASET):
        name = f"gate-{layout}"
        batch = shop.create(name, seed=SEED, plans=plan(COUNT), shard_size=5, layout=layout)
        shop.calls.finish(batch.id)
        batch = shop.calls.get(batch.id)
        assert (batch.drawn_count, batch.refused_count) == (COUNT - len(improper), len(improper))
        rows = pq.read_table(shop.open_folder / name / "manifest.parquet").to_pylist()
        assert {row["index"] for row in rows if row["refused"] == "CONTENT"} == improper
        assert all("the content gate says" in row["detail"] for row in rows if row["refused"])
        assert all((row["file"] == "") == bool(row["refused"]) for row in rows)
        report = verify(str(shop.open_folder / name))
        assert report.is_complete
        assert (report.rows, report.refused_count, report.extra_count) == (COUNT, len(improper), 0)


def test_the_command_says_how_many_and_why(shop: Shop, improper: set[int], tmp_path: Path) -> None:
    words = ["generate", "tiny", "-n", str(COUNT), "--seed", str(SEED), "--target", shop.stack.target]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"{len(improper)} images refused (CONTENT), as image {min(improper)}: the content gate says" in done.output
    assert len(list(tmp_path.glob("tiny@1-*.png"))) == COUNT - len(improper)
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path), "--json"])
    events = [json.loads(line) for line in done.output.splitlines()]
    assert [each["index"] for each in events if each["event"] == "refused"] == sorted(improper)


def test_near_copies_are_drawn_again_and_the_recipe_draws_the_same_bytes(studio: Studio) -> None:
    plain = list(studio.generate("copier", seed=SEED, count=8, truncation=0.8))
    found = {
        each.index: each
        for each in studio.generate("copier", seed=SEED, count=8, truncation=0.8, originality="enforce")
    }
    assert found.keys() == {each.index for each in plain}
    for before in plain:
        after = found[before.index]
        assert after.originality is not None
        assert after.originality.distance is not None
        assert after.originality.distance >= 2
        assert after.originality.attempt == (1 if before.index in COPIED else 0)
        assert (after.data == before.data) == (before.index not in COPIED)
        assert after.conditions == before.conditions
        assert_draws_again(studio, after)


@pytest.mark.parametrize("background", ["", "tomato", "#10203080", "none"])
def test_near_copies_are_found_on_every_background(studio: Studio, background: str) -> None:
    drawings = studio.generate(
        "stickers", seed=SEED, count=8, truncation=0.8, background=background, originality="enforce"
    )
    attempts = {each.index: each.originality.attempt for each in drawings if each.originality is not None}
    assert attempts == {index: int(index in COPIED) for index in range(8)}


def assert_draws_again(studio: Studio, artwork: Artwork) -> None:
    """From what its file says of itself."""
    statement = read_statement(artwork.data)
    assert statement is not None
    recipe = statement.recipe
    assert recipe is not None
    assert statement.digest == statement.own == artwork.digest
    assert artwork.originality is not None
    assert recipe.attempt == artwork.originality.attempt
    where = {name: dict(of) for name, of in recipe.weights.items()}
    again = studio.draw(
        recipe.model, where, index=recipe.index, seed=recipe.seed, truncation=recipe.truncation, attempt=recipe.attempt
    )
    assert again.data == artwork.data
    assert again.digest == artwork.digest


def test_warn_measures_and_delivers(studio: Studio) -> None:
    plain = [each.data for each in studio.generate("copier", seed=SEED, count=6, truncation=0.8)]
    warned = list(studio.generate("copier", seed=SEED, count=6, truncation=0.8, originality="warn"))
    assert [each.data for each in warned] == plain
    measured = {each.index: each.originality for each in warned}
    assert all(found is not None and found.attempt == 0 for found in measured.values())
    distances = {index: found.distance for index, found in measured.items() if found is not None}
    assert {index for index, distance in distances.items() if distance == 0} == set(COPIED) & distances.keys()
    percentiles = {index: found.percentile for index, found in measured.items() if found is not None}
    assert all(percentiles[index] == 0 for index in COPIED if index in percentiles)


def test_a_generator_that_has_memorised_delivers_nothing(shop: Shop, studio: Studio) -> None:
    assert len(list(studio.generate("memory", seed=1, count=20))) == 20
    generation = studio.generate("memory", seed=1, count=20, originality="enforce")
    assert list(generation) == []
    assert [each.index for each in generation.refused] == list(range(20))
    assert {each.reason for each in generation.refused} == {"NEAR_COPY"}
    assert "distance 0.000" in generation.refused[0].detail
    assert generation.finished is not None
    assert generation.finished.count == 0
    with pytest.raises(WrongState) as caught:
        studio.draw("memory", seed=1, originality="enforce")
    assert caught.value.reason == "NEAR_COPY"
    folder = shop.finish("memory", model="memory", plans=plan(20), shard_size=8, originality="ORIGINALITY_MODE_ENFORCE")
    report = verify(str(folder))
    assert report.is_intact
    assert (report.rows, report.refused_count, report.bytes_read) == (20, 20, 0)
    packed = CliRunner().invoke(app, ["sprites", str(folder), "-o", str(folder.parent / "memory sprites")])
    assert "no sprites" in str(packed.exception)


def test_a_batch_says_how_near_its_images_are(shop: Shop) -> None:
    enforce = "ORIGINALITY_MODE_ENFORCE"
    folder = shop.finish(
        "near", model="copier", seed=SEED, truncation=0.8, plans=plan(8), shard_size=4, originality=enforce
    )
    rows = pq.read_table(folder / "manifest.parquet").to_pylist()
    there = [row for row in rows if not row.get("refused")]
    assert {row["index"] for row in there if row["attempt"] == 1} == set(COPIED) & {row["index"] for row in there}
    assert all(row["distance"] >= 2 for row in there)
    done = CliRunner().invoke(app, ["batch", "verify", str(folder), "--redraw", "8", "--target", shop.stack.target])
    assert done.exit_code == 0, done.output
    assert "every byte the same" in done.output
    done = CliRunner().invoke(app, ["sprites", str(folder), "-o", str(folder.parent / "near sprites")])
    assert done.exit_code == 0, (done.output, done.exception)
    sprites = json.loads((folder.parent / "near sprites" / "atlas.json").read_text())["frames"].values()
    attempts = {sprite["unikat"]["index"]: sprite["unikat"].get("attempt", 0) for sprite in sprites}
    assert attempts == {row["index"]: row["attempt"] for row in there}


def test_enforce_needs_an_index(studio: Studio) -> None:
    with pytest.raises(WrongState, match="no index of its training pictures") as caught:
        studio.draw("tiny", originality="enforce")
    assert caught.value.reason == "NO_ORIGINALITY"
    measured = list(studio.generate("tiny", seed=SEED, count=COUNT, originality="warn"))
    assert all(each.originality is None for each in measured)


def test_what_is_denied_cannot_be_asked_for_and_is_not_delivered_by_chance(studio: Studio) -> None:
    with pytest.raises(InvalidRequest) as caught:
        studio.draw("copier", {"style": "oil"})
    assert caught.value.fields == {
        "conditions[0]": '"oil" is not delivered by this service; choose from "ink", "chalk"'
    }
    with pytest.raises(InvalidRequest):
        studio.draw("copier", {"style": {"oil": 0.1, "ink": 0.9}})
    generation = studio.generate("copier", seed=SEED, count=COUNT)
    delivered = list(generation)
    assert generation.refused
    assert {each.conditions["style"] for each in generation.refused} == {"oil"}
    assert all(each.conditions["style"] != "oil" for each in delivered)
    assert generation.refused[0].detail == "style=oil was drawn, which this service does not deliver"


def test_an_attempt_beyond_the_last_is_refused_by_name(studio: Studio) -> None:
    with pytest.raises(InvalidRequest) as caught:
        studio.draw("copier", attempt=9)
    assert list(caught.value.fields) == ["attempt"]


def test_doctor_counts_what_was_refused(shop: Shop, studio: Studio) -> None:
    """From the worker's next beat on."""
    assert not list(studio.generate("memory", seed=1, count=2, originality="enforce"))
    assert len(list(studio.generate("tiny", seed=SEED, count=COUNT))) < COUNT
    words = ["doctor", "--redis-url", shop.stack.valkey.url, "--target", shop.stack.target]

    def counted() -> str:
        output = CliRunner().invoke(app, words).output
        return output if "CONTENT" in output and "NEAR_COPY" in output else ""

    assert "content gate tiny=" in (eventually(counted) or "")


def test_an_image_of_a_service_without_gate_is_the_same(shop: Shop, studio: Studio, improper: set[int]) -> None:
    stack = Stack(shop.stack.valkey, Path(shop.stack.env["UNIKAT_MODELS"]))
    index = min(set(range(COUNT)) - improper)
    try:
        stack.start_service()
        with Studio(stack.target) as other:
            assert other.draw("tiny", index=index, seed=SEED).data == studio.draw("tiny", index=index, seed=SEED).data
    finally:
        stack.close()
    assert np.asarray(Image.open(io.BytesIO(studio.draw("tiny", index=index, seed=SEED).data))).shape == (64, 64, 3)
