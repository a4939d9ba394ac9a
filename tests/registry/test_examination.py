"""Pictures that are examined beside works of a database: which work it is, and who waits for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from sqlalchemy import Engine

from benchmarks.claims import artwork_of, order, random_pixels
from tests.registry.conftest import KEY
from unikat.aio import AsyncStudio
from unikat.v1 import provenance_pb2 as pb
from unikat.watermark import Watermark
from unikat_registry.certificates import Certificates
from unikat_registry.claims import Claims
from unikat_registry.database import reading
from unikat_registry.examination import Examiner, Pixels
from unikat_registry.gallery import Gallery
from unikat_registry.log import Log
from unikat_registry.provenance import Provenance
from unikat_registry.studio import Drawing
from unikat_registry.works import beginning_with

MARKS = {"own": bytes(range(32))}


def saved(pixels: Pixels) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def claim(engine: Engine, log: Log, digest: bytes, pixels: Pixels, seed: int) -> None:
    artwork = replace(artwork_of(pixels, seed), digest=digest, id=digest.hex()[:16])
    Claims(engine, log, Gallery()).claim(*order(artwork))


def test_of_works_that_begin_with_what_a_mark_carries_it_is_the_one_that_the_picture_looks_like(
    engine: Engine, log: Log
) -> None:
    generator, mark = np.random.default_rng(3), Watermark(MARKS["own"])
    digests = [b"same" + bytes([last]) * 28 for last in (9, 1, 5)]
    pictures = mark.embed(np.stack([random_pixels(generator) for _ in digests]), digests)
    for seed, (digest, pixels) in enumerate(zip(digests, pictures, strict=True)):
        claim(engine, log, digest, pixels, seed)
    examiner = Examiner(engine, Gallery(), MARKS, None)
    for digest, pixels in zip(digests, pictures, strict=True):
        changed = pixels.copy()
        changed[30, 30] ^= 128
        found = examiner.examine(saved(changed), b"")
        assert found.mark is not None
        assert found.mark.detection.payload == b"same"
        assert found.work is not None
        assert (found.work.artwork, found.is_exact, found.is_marked) == (digest, False, True)


def test_works_are_found_by_the_first_bytes_of_their_digests(engine: Engine, log: Log) -> None:
    generator = np.random.default_rng(3)
    digests = [b"\xff" * 32, b"\xff\xff\xff\xfe" + b"\xff" * 28, b"\xff" * 4 + bytes(28), bytes(32)]
    for seed, digest in enumerate(digests):
        claim(engine, log, digest, random_pixels(generator), seed)
    with reading(engine) as session:
        assert beginning_with(session, b"\xff" * 4) == [digests[0], digests[2]]
        assert beginning_with(session, b"\xff" * 8) == [digests[0]]
        assert beginning_with(session, bytes(4)) == [digests[3]]
        assert beginning_with(session, b"\xff\0\0\0") == []


def test_pictures_of_calls_that_were_cancelled_leave_the_threads_to_claims(
    engine: Engine, log: Log, tmp_path: Path
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (384, 384, 3), np.uint8)
    request = pb.VerifyArtworkRequest(picture=saved(noise), skip_redraw=True).SerializeToString()

    async def verify_and_leave() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))  # which claims take their threads of
        certificates = Certificates(engine, log, KEY, tmp_path, "")
        examiner = Examiner(engine, Gallery(), MARKS, None)
        async with AsyncStudio("127.0.0.1:1") as studio:
            provenance = Provenance(engine, Drawing(studio), Claims(engine, log, Gallery()), certificates, examiner)
            for _ in range(3):
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await provenance.verify(request)
            await asyncio.wait_for(asyncio.to_thread(log.size), 1)
            provenance.examining.shutdown(cancel_futures=True)  # before the database is closed under it

    asyncio.run(verify_and_leave())
