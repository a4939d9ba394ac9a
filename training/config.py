"""What decides the weights of a run (`Config`) and what only decides how it is carried out (`Operation`)."""

import json
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated

from typer import Option

from training.errors import TrainingError

FORMAT = 1
CONFIG = "config.json"
RESOLUTIONS = (16, 32, 64, 128, 256)
FEATURE_SIZES = (32, 64, 128, 256)
# Settings that runs of earlier versions did not have, as those runs were.
BEFORE: dict[str, float] = {"held_out": 0.0, "condition_dropout": 0.0}


@dataclass(frozen=True)
class Config:
    """Everything that decides what is learned. Fixed for the life of a run; a changed one is another run.

    Each field is also a flag of the command line.
    """

    seed: Annotated[int, Option(help="Of everything random.")] = 0
    batch: Annotated[int, Option(help="Images a step; at least 2, for batch norm.")] = 32
    latent: Annotated[int, Option(help="Size of the latent.")] = 128
    width: Annotated[int, Option(help="Generator's channels at full size (more: better, slower).")] = 48
    max_width: Annotated[int, Option(help="Generator's most channels at any size.")] = 128
    feature_size: Annotated[
        int,
        Option(help="Side at which the discriminator's features see images (pixels; default 64 or the images' own)."),
    ] = 64
    learning_rate: Annotated[float, Option(help="Of Adam, both networks.")] = 4e-4
    decay_from: Annotated[int, Option(help="From here the learning rate falls, by a cosine (images).")] = 0
    decay_to: Annotated[int, Option(help="Here it has fallen to a tenth, and stays (images; 0: constant).")] = 0
    beta1: Annotated[float, Option(help="Of Adam; no momentum, because the opponent moves.")] = 0.0
    beta2: Annotated[float, Option(help="Of Adam.")] = 0.99
    balance: Annotated[
        float,
        Option(help="Images are drawn with weight (size of cell)^-BALANCE (0: as they occur; 1: all cells alike)."),
    ] = 0.6
    balance_over: Annotated[
        str, Option(help="Attributes whose combinations are the cells (comma-separated names; empty: all).")
    ] = ""
    mismatch: Annotated[
        float, Option(help="Weight of the loss that tells real images with a wrong condition from ones with theirs.")
    ] = 0.5
    ema_images: Annotated[int, Option(help="Half-life of the averaged generator (images).")] = 10_000
    augment: Annotated[float, Option(help="Probability of each augmentation (more for little data).")] = 0.5
    mirror: Annotated[bool, Option("--mirror/--no-mirror", help="Also show mirrored pictures.")] = False
    held_out: Annotated[
        float, Option(help="Share of the pictures that is kept from training, to measure the model on (0: none).")
    ] = 0.1
    condition_dropout: Annotated[
        float, Option(help="Probability with which an attribute is left out of a condition, so that it may be.")
    ] = 0.1

    def rate_at(self, images: int) -> float:
        """The learning rate after so many images."""
        if not self.decay_to or images <= self.decay_from:
            return self.learning_rate
        done = min(1.0, (images - self.decay_from) / (self.decay_to - self.decay_from))
        return self.learning_rate * (0.1 + 0.45 * (1 + math.cos(math.pi * done)))

    @classmethod
    def for_resolution(cls, resolution: int) -> "Config":
        """The defaults for images of this size: the discriminator must see every pixel of them."""
        if resolution not in RESOLUTIONS:  # `check_resolution` will say so
            return cls()
        return cls(feature_size=max(cls.feature_size, resolution))

    def check_resolution(self, resolution: int) -> None:
        """Raises TrainingError when images of `resolution` pixels a side cannot be trained on with these settings."""
        if resolution not in RESOLUTIONS:
            raise TrainingError(
                f"the data set's images are {resolution} x {resolution}; the generator draws {RESOLUTIONS}: "
                "prepare the data set with another --size"
            )
        if self.feature_size < resolution:
            raise TrainingError(f"feature_size: must be at least the images' {resolution}, not {self.feature_size}")

    def __post_init__(self) -> None:
        for name, least in {"seed": 0, "batch": 2, "latent": 1, "width": 1, "max_width": 1, "ema_images": 1}.items():
            if getattr(self, name) < least:
                raise TrainingError(f"{name}: must be at least {least}, not {getattr(self, name)}")
        if self.feature_size not in FEATURE_SIZES:
            raise TrainingError(f"feature_size: must be one of {FEATURE_SIZES}, not {self.feature_size}")
        if not 0 < self.learning_rate < 1:
            raise TrainingError(f"learning_rate: must be above 0 and below 1, not {self.learning_rate}")
        if self.decay_to and not 0 <= self.decay_from < self.decay_to:
            raise TrainingError(f"decay_from: must be 0 to below decay_to ({self.decay_to}), not {self.decay_from}")
        if self.mismatch < 0:
            raise TrainingError(f"mismatch: must be at least 0, not {self.mismatch}")
        if not 0 <= self.held_out < 1:
            raise TrainingError(f"held_out: must be 0 to below 1, not {self.held_out}")
        for name in ("beta1", "beta2", "balance", "augment", "condition_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name}: must be 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class Operation:
    """How a run is carried out; may differ each time it is continued. Each field is also a flag."""

    images: Annotated[
        int,
        Option(min=1, envvar="UNIKAT_TRAIN_IMAGES", help="Stop after so many training images, in all sittings."),
    ] = 1_000_000
    device: Annotated[str, Option(envvar="UNIKAT_DEVICE", help="auto, cpu or cuda.")] = "auto"
    threads: Annotated[int, Option(min=0, help="Of torch (0: one a core; the bits depend on it).")] = 0
    bf16: Annotated[
        bool,
        Option(
            "--bf16/--no-bf16",
            help="Train the generator's convolutions in bfloat16 (faster on GPUs and on CPUs with AVX512-BF16).",
        ),
    ] = False
    checkpoint_seconds: Annotated[float, Option(min=1, help="Time between checkpoints (seconds).")] = 180.0
    keep: Annotated[int, Option(min=1, help="Checkpoints kept.")] = 3
    sheet_images: Annotated[int, Option(min=1, help="A sample sheet and a loss curve every so many images.")] = 20_000
    log_images: Annotated[int, Option(min=1, help="A line of metrics every so many images.")] = 1_000
    progress: Annotated[bool, Option(help="Show a progress bar.")] = True


def save_config(run: Path, config: Config, dataset: dict[str, str]) -> None:
    """Writes `config.json` of a new run; `dataset` has its name, path and digest."""
    document = {"format": FORMAT, "config": asdict(config), "dataset": dataset}
    (run / CONFIG).write_text(json.dumps(document, indent=2) + "\n")


def load_config(run: Path) -> tuple[Config, dict[str, str]]:
    """The configuration of a run and its data set's name, path and digest.

    Raises TrainingError when the folder is no run, or one of a newer version.
    """
    try:
        document = json.loads((run / CONFIG).read_text())
    except FileNotFoundError:
        raise TrainingError(f"{run}: not a run (it has no {CONFIG}); `python -m training train` makes one") from None
    except ValueError as error:
        raise TrainingError(f"{run / CONFIG}: is not JSON: {error}") from error
    if document.get("format") != FORMAT:
        raise TrainingError(f"{run / CONFIG}: format {document.get('format')}; this program reads {FORMAT}")
    known = {field.name for field in fields(Config)}
    unknown = sorted(set(document["config"]) - known)
    if unknown:
        raise TrainingError(f"{run / CONFIG}: unknown settings {unknown}; known are {sorted(known)}")
    return Config(**{**BEFORE, **document["config"]}), document["dataset"]


def check_same_run(run: Path, config: Config, dataset: dict[str, str]) -> None:
    """Raises TrainingError, naming every setting that differs, when `run` was begun with another configuration."""
    begun, begun_dataset = load_config(run)
    old, new = asdict(begun), asdict(config)
    changes = [f"{name} was {old[name]}, now {new[name]}" for name in old if old[name] != new[name]]
    if begun_dataset["digest"] != dataset["digest"]:
        changes.append(
            f"the data set was {begun_dataset['path']} ({begun_dataset['digest'][:19]}), now {dataset['path']}"
        )
    if changes:
        raise TrainingError(
            f"{run}: is a run of another configuration: {'; '.join(changes)}. "
            "Continue it with its own settings, or choose another --run"
        )
