"""The generator as one ONNX file, with everything in the graph, and the checks that it draws what torch draws."""

import logging
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from torch import Tensor, nn

from unikat_training.errors import TrainingError
from unikat_training.latents import latents
from unikat_training.networks.base import Generator

OPSET = 18
BATCHES = (1, 2, 3, 8, 16, 32)
TRUNCATIONS = (1.0, 0.7)
THREADS = (1, 2)
CHECKS = max(BATCHES) + 3 * len(BATCHES)  # batches that a check draws
TOLERANCE = 1  # grey levels between torch and ONNX Runtime; they round differently at most at an edge
CENTRE_LATENTS = 512  # an average of so many styles is a condition's centre
CENTRE_SEED = 2
CHECK_SEED = 1

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]


class Artist(nn.Module):
    """The exported graph: latent (B, Z), condition (B, C), truncation (B, 1) -> image uint8 (B, H, H, 3).

    Truncation moves the latent toward its mean, 0, and the style toward the centre of its condition: 1 leaves them, 0
    draws the centre. The centres are linear in the condition, so a blend of categories has the blend of their
    centres. A plain model takes no condition.
    """

    centres: Tensor

    def __init__(self, generator: Generator, centres: Tensor) -> None:
        super().__init__()
        self.generator = generator.eval()
        self.register_buffer("centres", centres)  # (C, W), or (1, W) of a plain model

    def forward(self, latent: Tensor, condition: Tensor, truncation: Tensor) -> Tensor:
        return self.paint(latent, condition, condition @ self.centres, truncation)

    def paint(self, latent: Tensor, condition: Tensor | None, centre: Tensor, truncation: Tensor) -> Tensor:
        style = self.generator.mapping(latent, condition)  # (B, W)
        style = truncation * style + (1 - truncation) * centre  # at 1 exactly the style itself
        images = self.generator.draw(truncation * latent, style).clamp(-1, 1)  # (B, 3, H, H)
        levels = ((images + 1) * 127.5).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1)  # (B, H, H, 3)


class PlainArtist(Artist):
    """The same without a condition."""

    def forward(self, latent: Tensor, truncation: Tensor) -> Tensor:  # type: ignore[override]  # a graph without the input
        return self.paint(latent, None, self.centres, truncation)


@torch.no_grad()
def fit_centres(generator: Generator, conditions: Floats) -> Tensor:
    """The linear table (C, W) whose product with a condition is closest, by least squares, to its mean style.

    `conditions` (cells, C) are the combinations to fit; of a plain generator the mean style itself, (1, W).
    """
    generator.eval()
    latent = latents(CENTRE_SEED, range(CENTRE_LATENTS), generator.shape.latent)
    if not generator.shape.conditions:
        mean: Tensor = generator.mapping(latent, None).mean(dim=0, keepdim=True)
        return mean
    rows = [torch.from_numpy(row).expand(CENTRE_LATENTS, -1) for row in conditions]
    means = torch.stack([generator.mapping(latent, row).mean(dim=0) for row in rows])  # (cells, W)
    # in float64, and by the smallest of many solutions: the one-hot blocks each sum to 1, so the system is singular
    table, *_ = np.linalg.lstsq(conditions.astype(np.float64), means.double().numpy(), rcond=None)
    return torch.from_numpy(table.astype(np.float32))


def build_artist(generator: Generator, conditions: Floats) -> Artist:
    kind = Artist if generator.shape.conditions else PlainArtist
    return kind(generator, fit_centres(generator, conditions)).eval()


def write_graph(artist: Artist, path: Path) -> None:
    """Writes one file, weights inside, any batch size. Raises TrainingError if it would not be a valid graph."""
    shape = artist.generator.shape
    names = ["latent", "condition", "truncation"]
    inputs = [torch.zeros(2, shape.latent), torch.zeros(2, shape.conditions), torch.ones(2, 1)]
    if not shape.conditions:
        del names[1], inputs[1]
    batch = torch.export.Dim("batch", min=1, max=4096)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it would tell which packages it does not find
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; what it wrote is checked below
        program = torch.onnx.export(
            artist,
            tuple(inputs),
            input_names=names,
            output_names=["image"],
            dynamic_shapes=tuple({0: batch} for _ in names),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise TrainingError(f"{path}: torch did not export the generator")
    program.save(path, external_data=False)
    onnx.checker.check_model(path, full_check=True)


@dataclass(frozen=True)
class Parity:
    """What was measured of a graph on this machine's CPU."""

    max_grey_levels: int  # largest difference to torch, of 255
    differing: float  # share of values that differ from torch's
    batch_exact: bool  # whether batches of 1 to 32 give the same bytes
    thread_exact: bool  # whether 1 and 2 threads give the same bytes


def open_graph(path: Path, threads: int = 1) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def run_graph(session: onnxruntime.InferenceSession, latent: Floats, condition: Floats, truncation: float) -> Pixels:
    """Images (B, H, H, 3); `condition` (B, 0) is left out."""
    inputs = {"latent": latent, "truncation": np.full((len(latent), 1), truncation, dtype=np.float32)}
    if condition.shape[1]:
        inputs["condition"] = condition
    image: Pixels = session.run(["image"], inputs)[0]
    return image


def check_graph(artist: Artist, path: Path, conditions: Floats, drawn: Callable[[], object] = lambda: None) -> Parity:
    """Compares the file with torch, and with itself across batch sizes and threads, over two truncations.

    Calls `drawn` after each of `CHECKS` batches. Raises TrainingError when it is further than `TOLERANCE` grey levels
    from torch.
    """
    count = max(BATCHES)
    latent = latents(CHECK_SEED, range(count), artist.generator.shape.latent).numpy()
    condition = conditions[np.arange(count) % len(conditions)]  # (B, C)
    differences: list[npt.NDArray[np.int64]] = []
    exact = dict.fromkeys(THREADS, True)
    for truncation in TRUNCATIONS:
        expected = run_torch(artist, latent, condition, truncation)
        alone = run_graph(open_graph(path), latent, condition, truncation)
        for threads in THREADS:
            session = open_graph(path, threads)
            # every size once, then those that serving uses
            for size in range(1, count + 1) if (threads, truncation) == (1, 1.0) else BATCHES:
                part = run_graph(session, latent[:size], condition[:size], truncation)
                exact[threads] &= np.array_equal(part, alone[:size])
                differences.append(np.abs(part.astype(int) - expected[:size]))
                drawn()
    worst = max(int(difference.max()) for difference in differences)
    if worst > TOLERANCE:
        raise TrainingError(f"{path}: differs from torch by {worst} grey levels; at most {TOLERANCE} is allowed")
    differing = float(np.mean([np.mean(difference > 0) for difference in differences]))
    return Parity(worst, differing, batch_exact=exact[1], thread_exact=exact[2])


@torch.no_grad()
def run_torch(artist: Artist, latent: Floats, condition: Floats, truncation: float) -> Pixels:
    psi = torch.full((len(latent), 1), truncation)
    inputs = [torch.from_numpy(latent), torch.from_numpy(condition), psi]
    if not condition.shape[1]:
        del inputs[1]
    pixels: Tensor = artist(*inputs)
    return pixels.numpy()
