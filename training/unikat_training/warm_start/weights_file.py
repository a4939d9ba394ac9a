"""`training.safetensors` of a bundle: what training needs to go on, beside the graph that draws.

The averaged generator, the discriminator's trained part and the auxiliary classifier, by a checkpoint's names. The
frozen features are not in it: they follow from a package and the seed. Settings, attributes and channels are in
`model.json`.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from unikat_training.errors import TrainingError
from unikat_training.tensor_files import check_tensors

PARTS = ("average.", "discriminator.", "auxiliary.")


def packed(tensors: Mapping[str, Tensor]) -> bytes:
    """The file of a checkpoint's tensors: what has two or more dimensions as float16, which halves it.

    Biases and statistics stay as they are, and so does what float16 cannot hold.
    """
    chosen = {name: value for name, value in tensors.items() if name.startswith(PARTS)}
    return save({name: rounded(value).cpu().contiguous() for name, value in chosen.items()})


def rounded(values: Tensor) -> Tensor:
    if not values.is_floating_point() or values.dim() < 2:
        return values
    half = values.to(torch.float16)
    return half if bool(half.isfinite().all()) else values


def unpacked(path: Path) -> dict[str, Tensor]:
    """The tensors of such a file, or of a checkpoint, in float32. Raises TrainingError for what cannot be read."""
    try:
        check_tensors(path)
        tensors = load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise TrainingError(f"{path}: cannot be read ({error})") from error
    chosen = {name: value for name, value in tensors.items() if name.startswith(PARTS)}
    return {name: value.float() if value.is_floating_point() else value for name, value in chosen.items()}
