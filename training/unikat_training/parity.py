"""How far a graph's images are from what they should be, and from themselves in other batches. Needs no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from unikat.v1.model_pb2 import Metric
from unikat_training.session import Floats, Pixels, open_graph, run_graph

BATCHES = (1, 2, 3, 8, 16, 32)
TRUNCATIONS = (1.0, 0.7)
THREADS = (1, 2)
TOLERANCE = 1  # grey levels: two runtimes round differently at most at an edge
CHECK_SEED = 1


@dataclass(frozen=True)
class Rows:
    """What images are drawn from: latent (n, Z), condition (n, C), truncation (n, 1), background (n, 4) or none."""

    latent: Floats
    condition: Floats
    truncation: Floats
    background: Floats | None

    def __len__(self) -> int:
        return len(self.latent)

    def take(self, rows: Sequence[int] | npt.NDArray[np.int64]) -> "Rows":
        background = None if self.background is None else self.background[rows]
        return Rows(self.latent[rows], self.condition[rows], self.truncation[rows], background)

    def draw(self, session: onnxruntime.InferenceSession) -> Pixels:
        return run_graph(session, self.latent, self.condition, self.truncation, self.background)


@dataclass(frozen=True)
class Parity:
    """Of a graph with its reference, and of its images with the same ones drawn alone, in grey levels of 255."""

    max_grey_levels: int
    differing: float  # share of values that differ from the reference's
    apart: Mapping[int, int]  # threads -> largest difference to an image that is drawn alone by one thread
    batches: Sequence[int]  # sizes that were drawn with the most threads

    @property
    def batch_exact(self) -> bool:
        """Whether batches of all sizes give the same bytes."""
        return self.apart[1] == 0

    @property
    def thread_exact(self) -> bool:
        """Whether one and two threads give the same bytes."""
        return self.apart[2] == 0

    def metrics(self, reference: str) -> list[Metric]:
        """`reference`: between what the images were compared, for people."""
        sizes = f"batches of {', '.join(map(str, self.batches))}"
        cpu = "gave the same bytes on the CPU that made the bundle"
        figures = (
            ("parity_max_grey_levels", self.max_grey_levels, f"largest difference, of 255, {reference}, at {sizes}"),
            ("parity_differing_share", self.differing, "share of the compared values that differ at all"),
            (
                "batch_max_grey_levels",
                max(self.apart.values()),
                f"largest difference, of 255, of an image drawn alone and at another place of {sizes}",
            ),
            ("batch_exact", self.batch_exact, f"1 if batches of 1 to {max(self.batches)} {cpu}, else 0"),
            ("thread_exact", self.thread_exact, f"1 if one and two threads {cpu}, else 0"),
        )
        return [Metric(name=name, value=value, description=description) for name, value, description in figures]


def alternating(count: int) -> Floats:
    """`TRUNCATIONS` in turn, (count, 1): jobs of different truncation share a batch."""
    return np.resize(np.array(TRUNCATIONS, dtype=np.float32), (count, 1))


def backgrounds(count: int) -> Floats:
    """Opaque colours, nothing, and what is between, in turn, (count, 4)."""
    colours = np.random.default_rng(CHECK_SEED).random((count, 4), dtype=np.float32)
    colours[0::3, 3], colours[1::3, 3] = 1, 0
    return colours


def seen(pixels: Pixels) -> npt.NDArray[np.int64]:
    """Grey levels as they count: a colour as much as its alpha, and one without any not at all."""
    levels = pixels.astype(np.int64)
    if pixels.shape[-1] == 4:
        levels[..., :3] = np.rint(levels[..., :3] * levels[..., 3:] / 255)
    return levels


def compare(
    path: Path,
    rows: Rows,
    expected: Pixels,
    sizes: Mapping[int, Sequence[int]],
    drawn: Callable[[], object] = lambda: None,
) -> Parity:
    """Draws `rows` by the graph in batches of `sizes` (threads -> sizes), each from another row on.

    `expected` is what the reference draws of `rows`. Calls `drawn` after each batch.
    """
    one = open_graph(path)
    alone = np.concatenate([rows.take([row]).draw(one) for row in range(len(rows))])
    differences, apart = [], dict.fromkeys(sizes, 0)
    for threads, of in sizes.items():
        session = open_graph(path, threads)
        for size in of:
            chosen = (size + np.arange(size)) % len(rows)
            part = rows.take(chosen).draw(session)
            apart[threads] = max(apart[threads], int(np.abs(part.astype(int) - alone[chosen]).max()))
            differences.append(np.abs(seen(part) - seen(expected[chosen])))
            drawn()
    worst = max(int(difference.max()) for difference in differences)
    differing = float(np.mean([np.mean(difference > 0) for difference in differences]))
    return Parity(worst, differing, apart, sizes[max(sizes)])
