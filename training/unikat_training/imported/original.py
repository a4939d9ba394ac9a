"""The foreign graph run as it is, one image at a time, and its output made an image by NumPy: what ours must equal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import helper

from unikat_training.errors import TrainingError
from unikat_training.imported.foreign import Foreign
from unikat_training.imported.inputs import Input
from unikat_training.imported.labels import Block
from unikat_training.parity import Rows
from unikat_training.session import Floats, Pixels

Layout = Literal["nchw", "nhwc"]
Range = Literal["-1..1", "0..1", "0..255"]
CHANNELS = {1: "grey", 3: "RGB", 4: "RGBA"}


@dataclass(frozen=True)
class Form:
    """How the output is to be read as an image."""

    layout: Layout
    range: Range
    height: int
    width: int
    channels: int

    @property
    def low(self) -> float:
        return float(self.range.partition("..")[0])

    @property
    def high(self) -> float:
        return float(self.range.partition("..")[2])

    @property
    def alpha(self) -> bool:
        return self.channels == 4

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image as it is served; grey is repeated."""
        return self.height, self.width, 4 if self.alpha else 3


class Original:
    """The foreign file in ONNX Runtime on the CPU.

    `columns` are those of the condition vector that an input takes, `widths` the inputs of the wrapped graph.
    """

    def __init__(self, foreign: Foreign, inputs: Sequence[Input], blocks: Sequence[Block]) -> None:
        """Raises TrainingError where ONNX Runtime cannot load it."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        try:
            self.session = onnxruntime.InferenceSession(foreign.path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime's own types share no base but Exception
            raise TrainingError(f"{foreign.path}: cannot be loaded by ONNX Runtime: {error}") from error
        self.foreign, self.inputs = foreign, inputs
        self.attributes = [attribute for block in blocks for attribute in block.attributes]
        self.columns = {block.input.name: (block.start, block.stop) for block in blocks}
        self.truncates = any(each.kind == "truncation" for each in inputs)
        latent = next(each.width for each in inputs if each.kind == "latent") or 0
        self.widths = {"latent": latent, **({"condition": blocks[-1].stop} if blocks else {}), "truncation": 1}

    def run(self, rows: Rows) -> Floats:
        """What it gives for each row alone, stacked. Raises TrainingError where it fails or gives what is no number."""
        try:
            given = [
                self.session.run([self.foreign.output.name], self.feeds(rows.take([i])))[0] for i in range(len(rows))
            ]
        except Exception as error:
            raise TrainingError(f"{self.foreign.path}: ONNX Runtime cannot run it: {error}") from error
        values: Floats = np.concatenate(given).astype(np.float32)
        if values.ndim != 4 or len(values) != len(rows):
            raise TrainingError(f"--output: {self.foreign.output} gives {given[0].shape} for one image, not 4 axes")
        if not np.isfinite(values).all():
            raise TrainingError(f"{self.foreign.path}: {self.foreign.output} is not a finite number everywhere")
        return values

    def feeds(self, row: Rows) -> dict[str, npt.NDArray[np.generic]]:
        """The inputs for one row, as the file declares them; 0 for those that the image does not depend on."""
        feeds = {
            each.name: np.zeros([size or 1 for size in each.shape], helper.tensor_dtype_to_np_dtype(each.dtype))
            for each in self.foreign.unused
        }
        for each in self.inputs:
            if each.kind == "truncation":
                numbers = row.truncation
            elif each.kind == "latent":
                numbers = row.latent if self.truncates else row.latent * row.truncation
            else:
                numbers = row.condition[:, slice(*self.columns[each.name])]
            if each.kind == "index":
                numbers = numbers.argmax(axis=1)
            rest = -1 if each.kind in ("latent", "condition") else 1
            shape = [1, rest, 1, 1][: len(each.value.shape)]
            feeds[each.name] = numbers.reshape(shape).astype(helper.tensor_dtype_to_np_dtype(each.value.dtype))
        return feeds


def form_of(values: Floats, layout: Layout | None, levels: Range) -> Form:
    """The form of an output, given what it gave, (n, C, H, W) or (n, H, W, C). Raises TrainingError."""
    axes = {"nchw": 1, "nhwc": 3}
    fitting = [name for name in get_args(Layout) if values.shape[axes[name]] in CHANNELS]
    wanted = [layout] if layout else fitting
    if len(wanted) != 1 or wanted[0] not in fitting:
        raise TrainingError(
            f"--layout: the graph gives {values.shape[1:]} an image; say nchw or nhwc; its axis c must be 1 "
            "(grey), 3 (RGB) or 4 (RGBA)"
        )
    moved = values if wanted[0] == "nhwc" else values.transpose(0, 2, 3, 1)
    return Form(wanted[0], levels, *moved.shape[1:])


def pixels(values: Floats, form: Form, background: Floats | None) -> Pixels:
    """Images uint8 (n, H, W, 3 or 4), of an output as it is and, with alpha, backgrounds (n, 4)."""
    moved = values if form.layout == "nhwc" else values.transpose(0, 2, 3, 1)
    moved = np.clip(moved, np.float32(form.low), np.float32(form.high)) - np.float32(form.low)
    if background is None:
        levels = moved * np.float32(255 / (form.high - form.low))
    else:
        shares, behind = moved / np.float32(form.high - form.low), background[:, None, None, :]
        colour, alpha, rest = shares[..., :3], shares[..., 3:], (1 - shares[..., 3:]) * behind[..., 3:]
        whole = alpha + rest
        mixed = (alpha * colour + rest * behind[..., :3]) / np.where(whole > 0, whole, np.float32(1))
        levels = np.concatenate([mixed, whole], axis=-1) * np.float32(255)
    image = np.rint(levels).astype(np.uint8)
    return np.repeat(image, 3, axis=-1) if form.channels == 1 else image
