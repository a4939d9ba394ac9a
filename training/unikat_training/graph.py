"""The generator as one ONNX file, with everything in the graph, and the checks that it draws what torch draws."""

import logging
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from unikat.sampling import latents
from unikat_training.errors import TrainingError
from unikat_training.networks.base import Generator
from unikat_training.parity import BATCHES, CHECK_SEED, TOLERANCE, Parity, Rows, alternating, backgrounds, compare
from unikat_training.session import Floats, Pixels, per_image

OPSET = 18
SIZES = {1: range(1, max(BATCHES) + 1), 2: BATCHES}  # threads -> every size once, then those that serving uses
CHECKS = sum(map(len, SIZES.values()))  # batches that a check draws
CENTRE_LATENTS = 512  # an average of so many styles is a condition's centre
CENTRE_SEED = 2
INPUTS = ("latent", "condition", "truncation", "background")
ALPHA_MARGIN = 1 / 16  # alpha nearer to 0 or to 1 is drawn as that: a generator hardly meets them exactly


class ExportedGenerator(nn.Module):
    """The exported graph: latent (B, Z), condition (B, C), truncation (B, 1) -> image uint8 (B, H, H, 3).

    Truncation moves the latent toward its mean, 0, and the style toward the centre of its condition: 1 leaves them, 0
    draws the centre. The centres are linear in the condition, so a blend of categories has the blend of their
    centres. A plain model takes no condition. One with alpha also takes a background (B, 4): red, green, blue and
    alpha in [0, 1]; its image (B, H, H, 4) is the drawing over it, colours not multiplied by alpha.
    """

    centres: Tensor

    def __init__(self, generator: Generator, centres: Tensor) -> None:
        super().__init__()
        self.generator = generator.eval()
        self.register_buffer("centres", centres)  # (C, W), or (1, W) of a plain model

    def forward(
        self, latent: Tensor, condition: Tensor | None, truncation: Tensor, background: Tensor | None = None
    ) -> Tensor:
        style = self.generator.mapping(latent, condition)  # (B, W)
        centre = self.centres if condition is None else condition @ self.centres
        style = truncation * style + (1 - truncation) * centre  # at 1 exactly the style itself
        return self.levels(self.generator.draw(truncation * latent, style), background)

    def levels(self, images: Tensor, background: Tensor | None) -> Tensor:
        """Images (B, P, H, H) as uint8 (B, H, H, P), over a background (B, 4) if they have alpha."""
        images = images.clamp(-1, 1)
        if background is None:
            levels = ((images + 1) * 127.5).round().to(torch.uint8)
            return levels.permute(0, 2, 3, 1)  # (B, H, H, 3)
        shares = (images + 1) / 2
        colour, alpha = shares[:, :3], shares[:, 3:]  # (B, 3, H, H), (B, 1, H, H)
        alpha = ((alpha - ALPHA_MARGIN) / (1 - 2 * ALPHA_MARGIN)).clamp(0, 1)
        behind = background[:, :, None, None]  # (B, 4, 1, 1)
        rest = (1 - alpha) * behind[:, 3:]
        whole = alpha + rest  # "over" (Porter & Duff 1984), with colours that are not multiplied
        mixed = (alpha * colour + rest * behind[:, :3]) / torch.where(whole > 0, whole, 1.0)
        levels = (torch.cat([mixed, whole], dim=1) * 255).round().clamp(0, 255).to(torch.uint8)
        return levels.permute(0, 2, 3, 1)  # (B, H, H, 4)


@torch.no_grad()
def fit_centres(generator: Generator, conditions: Floats) -> Tensor:
    """The linear table (C, W) whose product with a condition is closest, by least squares, to its mean style.

    `conditions` (cells, C) are the combinations to fit; of a plain generator the mean style itself, (1, W).
    """
    generator.eval()
    latent = torch.from_numpy(latents(CENTRE_SEED, range(CENTRE_LATENTS), generator.shape.latent))
    if not generator.shape.conditions:
        mean: Tensor = generator.mapping(latent, None).mean(dim=0, keepdim=True)
        return mean
    rows = [torch.from_numpy(row).expand(CENTRE_LATENTS, -1) for row in conditions]
    means = torch.stack([generator.mapping(latent, row).mean(dim=0) for row in rows])  # (cells, W)
    # in float64, and by the smallest of many solutions: the one-hot blocks each sum to 1, so the system is singular
    table, *_ = np.linalg.lstsq(conditions.astype(np.float64), means.double().numpy(), rcond=None)
    return torch.from_numpy(table.astype(np.float32))


def exported_generator(generator: Generator, conditions: Floats) -> ExportedGenerator:
    return ExportedGenerator(generator, fit_centres(generator, conditions)).eval()


def write_graph(exported: ExportedGenerator, path: Path) -> None:
    """Writes one file, weights inside, any batch size. Raises TrainingError if it would not be a valid graph."""
    shape = exported.generator.shape
    condition = torch.zeros(2, shape.conditions) if shape.conditions else None
    background = torch.ones(2, 4) if shape.planes == 4 else None
    inputs = (torch.zeros(2, shape.latent), condition, torch.ones(2, 1), background)
    names = [name for name, value in zip(INPUTS, inputs, strict=True) if value is not None]
    batch = torch.export.Dim("batch", min=1, max=4096)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it would tell which packages it does not find
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; what it wrote is checked below
        program = torch.onnx.export(
            exported,
            inputs,
            input_names=names,
            output_names=["image"],
            dynamic_shapes=tuple(None if value is None else {0: batch} for value in inputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise TrainingError(f"{path}: torch did not export the generator")
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # stack traces, with the paths of the machine that exports
    program.save(path, external_data=False)
    onnx.checker.check_model(path, full_check=True)


def check_graph(
    exported: ExportedGenerator, path: Path, conditions: Floats, drawn: Callable[[], object] = lambda: None
) -> Parity:
    """Compares the file with torch, and with itself across batch sizes and threads, over two truncations.

    Calls `drawn` after each of `CHECKS` batches. Raises TrainingError when it is further than `TOLERANCE` grey levels
    from torch.
    """
    count = max(BATCHES)
    rows = Rows(
        latents(CHECK_SEED, range(count), exported.generator.shape.latent),
        conditions[np.arange(count) % len(conditions)],  # (B, C)
        alternating(count),
        backgrounds(count) if exported.generator.shape.planes == 4 else None,
    )
    expected = run_torch(exported, rows.latent, rows.condition, rows.truncation, rows.background)
    parity = compare(path, rows, expected, SIZES, drawn)
    if parity.max_grey_levels > TOLERANCE:
        raise TrainingError(
            f"{path}: differs from torch by {parity.max_grey_levels} grey levels; at most {TOLERANCE} is allowed"
        )
    return parity


@torch.no_grad()
def run_torch(
    exported: ExportedGenerator,
    latent: Floats,
    condition: Floats,
    truncation: float | Floats,
    background: Floats | None = None,
) -> Pixels:
    """What `run_graph` draws, by torch."""
    psi = torch.from_numpy(per_image(truncation, len(latent)))
    behind = None
    if exported.generator.shape.planes == 4:
        behind = torch.ones(len(latent), 4) if background is None else torch.from_numpy(background)
    shown = torch.from_numpy(condition) if condition.shape[1] else None
    pixels: Tensor = exported(torch.from_numpy(latent), shown, psi, behind)
    return pixels.numpy() if background is not None else pixels[..., :3].contiguous().numpy()
