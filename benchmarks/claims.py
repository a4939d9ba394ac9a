"""`python -m benchmarks claims`: claims a second by several at once, beside works that are claimed already."""

from __future__ import annotations

import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import typer
from PIL import Image
from sqlalchemy import Engine, insert, update

from unikat.artwork import Accepted, Artwork, Renderer, Timings
from unikat.identity import artwork_digest
from unikat.transparency import SigningKey
from unikat.v1 import provenance_pb2 as pb
from unikat_registry.claims import Claims
from unikat_registry.database import open_database, writing
from unikat_registry.gallery import Gallery
from unikat_registry.log import Log
from unikat_registry.tables import ENTRIES, LOG_SIZE, NODES
from unikat_registry.tree import grown
from unikat_registry.works import WORKS

KEY: Final = SigningKey("bench.example/log", bytes(range(32)))
MODEL_DIGEST: Final = "sha256:" + "5" * 64


def claims(
    works: Annotated[int, typer.Option(help="Works that are claimed already.", min=0)] = 20_000,
    callers: Annotated[int, typer.Option(help="Threads that claim.", min=1)] = 8,
    each: Annotated[int, typer.Option(help="Claims of each.", min=1)] = 10,
) -> None:
    """Print how many claims a second a registry enters into SQLite, drawing left aside."""
    with tempfile.TemporaryDirectory() as folder:
        engine = open_database(f"sqlite:///{folder}/registry.db")
        fill(engine, works)
        entering = Claims(engine, Log(engine, KEY.name, KEY), Gallery())
        generator = np.random.default_rng(1)
        drawn = [artwork_of(random_pixels(generator), seed) for seed in range(callers * each + 1)]
        entering.claim(*order(drawn.pop()))  # the looks of all works are in memory
        began = time.perf_counter()
        with ThreadPoolExecutor(callers) as pool:
            for done in [pool.submit(entering.claim, *order(artwork)) for artwork in drawn]:
                done.result()
        took = time.perf_counter() - began
        engine.dispose()
    print(f"{len(drawn) / took:.1f} claims/s by {callers} at once, beside {works:,} works")


def order(artwork: Artwork) -> tuple[pb.ClaimArtworkRequest, Artwork, dict[str, str]]:
    """The arguments of a claim."""
    return pb.ClaimArtworkRequest(creator="Anna", owner_key=bytes(32)), artwork, {}


def artwork_of(pixels: npt.NDArray[np.uint8], seed: int) -> Artwork:
    """An artwork with these pixels (H, W, 3), as if a service had drawn it of a seed."""
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    digest = artwork_digest(MODEL_DIGEST, {"style": {"ink": 1.0}}, seed, 0, 1.0, "")
    accepted = Accepted("job", "bench@1", MODEL_DIGEST, seed, 1, 1.0, "png", {"style": "ink"}, 0)
    height, width = pixels.shape[:2]
    return Artwork(
        0, digest.hex()[:16], seed, {"style": "ink"}, 1.0, "image/png", file.getvalue(), width, height, MODEL_DIGEST,
        Renderer("", "", "", "", ""), Timings(0, 0, 0, 0), accepted, digest=digest, pixels_digest=bytes(32),
    )  # fmt: skip


def random_pixels(generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Shapes of several sizes, (64, 64, 3): unlike one another."""
    layers = [np.kron(generator.integers(0, 256, (n, n, 3)), np.ones((64 // n, 64 // n, 1))) for n in (4, 8, 16)]
    mixed: npt.NDArray[np.uint8] = np.mean(layers, axis=0).astype(np.uint8)
    return mixed


def fill(engine: Engine, count: int) -> None:
    """Enter works of random looks."""
    generator = np.random.default_rng(2)
    random = {name: generator.integers(0, 256, (count, width), np.uint8) for name, width in
              (("artwork", 32), ("hash", 32), ("colours", 192))}  # fmt: skip
    same = {"id": "", "owner_key": bytes(32), "image": b"-", "model": "{}"}
    nodes = [{"level": level, "place": place, "hash": hash}
             for _, of_leaf in grown([b"{}"] * count) for (level, place), hash in of_leaf]  # fmt: skip
    works = [{name: of[entry].tobytes() for name, of in random.items()} | same | {"entry": entry}
             for entry in range(count)]  # fmt: skip
    with writing(engine) as session:
        for table, rows in (
            (ENTRIES, [{"entry": entry, "leaf": b"{}"} for entry in range(count)]), (NODES, nodes), (WORKS, works)
        ):  # fmt: skip
            if rows:
                session.execute(insert(table), rows)
        session.execute(update(LOG_SIZE).values(size=count))
