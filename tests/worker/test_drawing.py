"""From a job in the queue to images in its stream."""

from __future__ import annotations

import io
import random
from typing import Any

import pytest
from google.rpc.code_pb2 import Code
from PIL import Image

from tests.support.processes import Program, eventually
from tests.support.tiny_model import write_tiny_bundle
from tests.worker.bench import Bench, assert_complete
from unikat.bundle import Bundle
from unikat.identity import artwork_digest, short_id
from unikat.v1.studio_pb2 import ImageFormat

pytestmark = [pytest.mark.xdist_group("worker-drawing"), pytest.mark.usefixtures("shared_worker")]


def test_a_job_gives_its_images_in_order_and_then_the_end(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=5, seed=7)
    outcome = shared_bench.outcome(job)
    assert_complete(outcome, 5)
    assert outcome.finished is not None
    assert outcome.finished.finished.attempts == 1
    assert outcome.finished.finished.elapsed.ToTimedelta().total_seconds() > 0
    for artwork in outcome.artworks:
        image = Image.open(io.BytesIO(artwork.image))
        assert (image.format, image.size, image.mode) == ("PNG", (16, 16), "RGB")
        assert artwork.media_type == "image/png"
        assert artwork.seed == 7
        assert artwork.model_digest == shared_bundle.model.digest
        assert artwork.renderer.provider == "CPUExecutionProvider"
        assert artwork.renderer.runtime.startswith("onnxruntime ")
        assert artwork.timings.drawn.nanos > 0
        assert artwork.timings.encoded.nanos > 0


def test_an_attribute_left_out_is_drawn_and_reported(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=20, weights={"style": {"ink": 0.5, "oil": 0.5}})
    artworks = shared_bench.outcome(job).artworks
    for artwork in artworks:
        style, subject = artwork.conditions
        assert dict(style.blend.weights) == {"ink": 0.5, "oil": 0.5}
        assert subject.category in ("sea", "hill")
    assert {artwork.conditions[1].category for artwork in artworks} == {"sea", "hill"}


def test_an_artwork_holds_what_its_id_is_made_of(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, count=2, weights={"style": {"ink": 0.25, "oil": 0.75}})
    for artwork in shared_bench.outcome(job).artworks:
        weights = {c.attribute: {c.category: 1.0} if c.category else dict(c.blend.weights) for c in artwork.conditions}
        made = artwork_digest(artwork.model_digest, weights, artwork.seed, artwork.index, artwork.truncation)
        assert (artwork.digest, artwork.id) == (made, short_id(made))
        assert made != artwork_digest(artwork.model_digest, weights, artwork.seed, 99, artwork.truncation)


@pytest.mark.parametrize(
    ("image_format", "name", "media_type"),
    [
        (ImageFormat.IMAGE_FORMAT_WEBP, "WEBP", "image/webp"),
        (ImageFormat.IMAGE_FORMAT_JPEG, "JPEG", "image/jpeg"),
    ],
)
def test_formats(shared_bench: Bench, shared_bundle: Bundle, image_format: int, name: str, media_type: str) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest, image_format=image_format)
    (artwork,) = shared_bench.outcome(job).artworks
    assert artwork.media_type == media_type
    assert Image.open(io.BytesIO(artwork.image)).format == name


def test_a_model_without_attributes(shared_bench: Bench) -> None:
    plain = write_tiny_bundle(shared_bench.models, name="plain", conditional=False)
    job = shared_bench.enqueue(plain.model.digest, count=3, weights={})
    outcome = shared_bench.outcome(job)
    assert_complete(outcome, 3)
    assert len(set(outcome.images)) == 3
    assert not outcome.artworks[0].conditions


def test_images_do_not_depend_on_what_else_is_in_the_batch(shared_bench: Bench, shared_bundle: Bundle) -> None:
    digest = shared_bundle.model.digest
    requests: list[dict[str, Any]] = [
        {"seed": seed, "count": 1 + seed % 7, "weights": _weights(seed)} for seed in range(24)
    ]
    alone = [shared_bench.outcome(shared_bench.enqueue(digest, **request)).images for request in requests]
    together = [shared_bench.enqueue(digest, **request) for request in requests]
    assert [shared_bench.outcome(job).images for job in together] == alone
    with shared_bench.worker(inference_threads=1, threads=1, max_batch=32):  # another worker cuts other batches
        crowd = [shared_bench.enqueue(digest, **request) for request in requests * 3]
        assert [shared_bench.outcome(job).images for job in crowd] == alone * 3


def test_a_small_request_does_not_wait_for_a_large_one(shared_bench: Bench, shared_bundle: Bundle) -> None:
    large = shared_bench.enqueue(shared_bundle.model.digest, count=4000)
    eventually(lambda: shared_bench.published(large) > 0)
    before = shared_bench.published(large)
    small = shared_bench.enqueue(shared_bundle.model.digest, count=1, seed=2)
    assert_complete(shared_bench.outcome(small), 1)
    meanwhile = shared_bench.published(large) - before
    # Two inference threads with 8 images each in flight, as many behind them, and what is drawn while the test looks.
    assert meanwhile < 400
    assert_complete(shared_bench.outcome(large), 4000)


def test_many_jobs_share_few_batches_and_each_gets_its_own(shared_bench: Bench, shared_bundle: Bundle) -> None:
    rng = random.Random(3)
    counts = [rng.randint(1, 12) for _ in range(150)]
    jobs = [
        shared_bench.enqueue(shared_bundle.model.digest, count=count, seed=seed) for seed, count in enumerate(counts)
    ]
    for seed, (job, count) in enumerate(zip(jobs, counts, strict=True)):
        outcome = shared_bench.outcome(job)
        assert_complete(outcome, count)
        assert {artwork.seed for artwork in outcome.artworks} == {seed}


def test_an_unknown_category_fails_its_job_and_no_other(shared_bench: Bench, shared_bundle: Bundle) -> None:
    digest = shared_bundle.model.digest
    good = [shared_bench.enqueue(digest, count=3, seed=seed) for seed in range(4)]
    bad = shared_bench.enqueue(digest, count=3, weights={"style": {"crayon": 1.0}}, retries=2)
    good += [shared_bench.enqueue(digest, count=3, seed=seed) for seed in range(4)]
    outcome = shared_bench.outcome(bad)
    assert outcome.status is not None
    assert outcome.status.code == Code.INTERNAL
    assert bad.id in outcome.status.message
    for job in good:
        assert_complete(shared_bench.outcome(job), 3)


def test_results_expire(shared_bench: Bench, shared_bundle: Bundle) -> None:
    job = shared_bench.enqueue(shared_bundle.model.digest)
    shared_bench.outcome(job)
    assert 500 < shared_bench.redis.ttl(f"unikat:stream:{job.id}") <= 600


def test_two_workers_do_not_get_into_each_others_way(
    shared_bench: Bench, shared_bundle: Bundle, shared_worker: Program
) -> None:
    with shared_bench.worker(inference_threads=1):
        job = shared_bench.enqueue(shared_bundle.model.digest, count=300)
        # The same job twice in the queue: both workers draw it at once.
        shared_bench.redis.lpush(shared_bench.queue.key, job.id)
        assert_complete(shared_bench.outcome(job), 300)
    assert shared_worker.process.poll() is None


def _weights(seed: int) -> dict[str, dict[str, float]]:
    return [{}, {"style": {"oil": 1.0}}, {"style": {"ink": 0.3, "chalk": 0.7}, "subject": {"hill": 1.0}}][seed % 3]
