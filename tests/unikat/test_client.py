"""The client against a real service and a real worker."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from tests.end_to_end.stack import Stack, running_stack
from tests.support.processes import eventually, free_port, spawn
from tests.support.tiny_model import STYLES, SUBJECTS, write_tiny_bundle
from unikat import Studio
from unikat.errors import Cancelled, DeadlineExceeded, InvalidRequest, NotFound, Unavailable

TLS = Path(__file__).parents[1] / "service" / "tls"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    models = tmp_path_factory.mktemp("models")
    write_tiny_bundle(models)
    write_tiny_bundle(models, "plain", conditional=False)
    write_tiny_bundle(models, "slow", work=6000)  # about 100 ms an image
    with running_stack(models) as running:
        yield running


@pytest.fixture
def studio(stack: Stack) -> Iterator[Studio]:
    with Studio(stack.target) as connected:
        yield connected


def test_images_come_in_order_with_all_that_draws_them_again(studio: Studio) -> None:
    drawing = studio.generate("tiny", {"style": "ink"}, count=20, seed=7)
    accepted = drawing.accepted
    assert (accepted.model, accepted.seed, accepted.count, accepted.format) == ("tiny@1", 7, 20, "png")
    assert accepted.conditions == {"style": "ink"}
    artworks = list(drawing)
    assert [artwork.index for artwork in artworks] == list(range(20))
    for artwork in artworks:
        assert artwork.conditions["style"] == "ink"
        assert artwork.conditions["subject"] in SUBJECTS
        assert artwork.model_digest == accepted.model_digest
        assert artwork.renderer.provider == "CPUExecutionProvider"
        assert artwork.timings.drawn > 0
    assert drawing.finished is not None
    assert drawing.finished.count == 20
    assert drawing.finished.elapsed > 0
    assert list(drawing) == [], "an iterator that ended has ended"


def test_the_same_order_gives_the_same_bytes(studio: Studio) -> None:
    where = {"style": {"ink": 0.7, "oil": 0.3}}
    first = [artwork.data for artwork in studio.generate("tiny", where, count=8, seed=11)]
    assert [artwork.data for artwork in studio.generate("tiny@1", where, count=8, seed=11)] == first
    assert [artwork.data for artwork in studio.generate("tiny", where, count=8, seed=12)] != first


def test_the_conditions_of_an_artwork_draw_it_again(studio: Studio) -> None:
    artwork = next(studio.generate("tiny", {"style": {"ink": 1, "oil": 3}}, seed=3))
    again = next(studio.generate("tiny", artwork.conditions, seed=artwork.seed, truncation=artwork.truncation))
    assert (again.id, again.data) == (artwork.id, artwork.data)


def test_any_image_of_a_seed_can_be_drawn_alone(studio: Studio) -> None:
    images = list(studio.generate("tiny", {"style": "ink"}, count=20, seed=7))
    drawing = studio.generate("tiny", {"style": "ink"}, count=3, first_index=12, seed=7)
    assert drawing.accepted.first_index == 12
    again = list(drawing)
    assert [artwork.index for artwork in again] == [12, 13, 14]
    assert [artwork.data for artwork in again] == [artwork.data for artwork in images[12:15]]
    assert [artwork.id for artwork in again] == [artwork.id for artwork in images[12:15]]


@pytest.mark.parametrize(("format", "suffix"), [("png", ".png"), ("webp", ".webp"), ("jpeg", ".jpg")])
def test_an_artwork_can_be_looked_at_and_saved(studio: Studio, tmp_path: Path, format: str, suffix: str) -> None:
    artwork = next(studio.generate("tiny", seed=1, format=format))
    array = artwork.array()
    assert array.dtype == np.uint8
    assert array.shape == (artwork.height, artwork.width, 3)
    assert np.array_equal(np.array(artwork.image()), array)
    path = artwork.save(tmp_path / "new" / "art")
    assert path == tmp_path / "new" / f"art{suffix}"
    assert path.read_bytes() == artwork.data
    assert Image.open(BytesIO(artwork.data)).size == (artwork.width, artwork.height)
    with pytest.raises(ValueError, match="ask for it with format="):
        artwork.save(tmp_path / "art.gif")


def test_an_unconditional_model_needs_no_conditions(studio: Studio) -> None:
    assert [artwork.conditions for artwork in studio.generate("plain", count=2)] == [{}, {}]


def test_models_are_listed_and_described(studio: Studio) -> None:
    assert [model.name for model in studio.models()] == ["plain", "slow", "tiny"]
    model = studio.model("tiny")
    assert [category.name for category in model.attributes[0].categories] == list(STYLES)
    assert model.digest.startswith("sha256:")


def test_two_calls_with_one_request_id_share_a_job(studio: Studio) -> None:
    first = studio.generate("tiny", count=3, seed=5, request_id="shared")
    images = [artwork.data for artwork in first]
    second = studio.generate("tiny", count=3, seed=5, request_id="shared")
    assert [artwork.data for artwork in second] == images
    assert second.accepted.job_id == first.accepted.job_id


def test_what_is_not_there_is_not_found_and_what_is_there_is_named(studio: Studio) -> None:
    with pytest.raises(NotFound, match="tiny") as missing:
        studio.model("tony")
    assert missing.value.code is grpc.StatusCode.NOT_FOUND
    with pytest.raises(NotFound) as missing:
        next(studio.generate("tony"))
    assert list(missing.value.fields) == ["model"]


def test_a_wrong_field_is_named_with_its_choices(studio: Studio) -> None:
    with pytest.raises(InvalidRequest) as refused:
        next(studio.generate("tiny", {"style": "inc"}))
    assert list(refused.value.fields) == ["conditions[0].category"]
    assert all(style in str(refused.value) for style in STYLES)
    with pytest.raises(InvalidRequest) as refused:
        next(studio.generate("tiny", count=0))
    assert list(refused.value.fields) == ["count"]


def test_a_deadline_ends_the_call(studio: Studio) -> None:
    with pytest.raises(DeadlineExceeded):
        list(studio.generate("slow", count=1000, timeout=0.5))


def test_a_cancelled_call_raises_and_its_job_is_called_off(studio: Studio, stack: Stack) -> None:
    drawing = studio.generate("slow", count=1000)
    next(drawing)
    threading.Thread(target=drawing.cancel).start()
    with pytest.raises(Cancelled):
        list(drawing)
    eventually(lambda: not unfinished(stack, drawing.accepted.job_id))


def test_an_iterator_that_is_dropped_calls_its_job_off(studio: Studio, stack: Stack) -> None:
    job_id = ""
    drawing = studio.generate("slow", count=1000)
    for _ in drawing:
        job_id = drawing.accepted.job_id
        assert unfinished(stack, job_id)
        break
    del drawing, _
    eventually(lambda: not unfinished(stack, job_id))


def test_leaving_the_block_calls_the_job_off(studio: Studio, stack: Stack) -> None:
    with studio.generate("slow", count=1000) as drawing:
        next(drawing)
        assert unfinished(stack, drawing.accepted.job_id)
    eventually(lambda: not unfinished(stack, drawing.accepted.job_id))


def unfinished(stack: Stack, job_id: str) -> bool:
    return any(job.id == job_id and (job.is_started or job.is_queued) for job in stack.jobs())


def test_a_studio_serves_several_threads(studio: Studio) -> None:
    drawn: dict[int, list[int]] = {}

    def draw(seed: int) -> None:
        drawn[seed] = [artwork.index for artwork in studio.generate("tiny", count=10, seed=seed)]

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert drawn == {seed: list(range(10)) for seed in range(8)}


def test_without_a_service_the_error_says_where_it_was_looked_for() -> None:
    target = f"127.0.0.1:{free_port()}"
    with Studio(target, reconnect_timeout=0.5) as studio:
        with pytest.raises(Unavailable, match=target):
            next(studio.generate("tiny"))
        with pytest.raises(Unavailable, match=target):
            studio.models()


def test_the_target_comes_from_the_environment(stack: Stack) -> None:
    program = "from unikat import Studio\nwith Studio() as s: print(s.target, len(s.models()))"
    done = subprocess.run(
        [sys.executable, "-c", program], env={"UNIKAT_TARGET": stack.target}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [stack.target, "3"]


def test_tls_needs_an_authority_that_is_trusted_and_an_identity_where_one_is_asked_for(stack: Stack) -> None:
    port, certificate, key = free_port(), TLS / "localhost.pem", TLS / "localhost.key"
    arguments = ("--listen", f"localhost:{port}", "--tls-cert", str(certificate), "--tls-key", str(key))
    with spawn("unikat_service", *arguments, "--tls-ca", str(certificate), env=stack.env, ready="service ready"):
        with Studio(f"localhost:{port}", ca=certificate, identity=(certificate, key)) as studio:
            assert next(studio.generate("tiny")).index == 0
        for refused in (Studio(f"localhost:{port}", ca=certificate), Studio(f"localhost:{port}", tls=True)):
            with refused, pytest.raises(Unavailable, match=str(port)):
                refused.models()
