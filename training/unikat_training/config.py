"""What decides the weights of a run: `Config`, fixed when the run begins."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from typer import Option

from unikat_training.data.split import Shares
from unikat_training.errors import TrainingError
from unikat_training.renamed import current_settings

FORMAT = 1
CONFIG = "config.json"
RESOLUTIONS = (16, 32, 64, 128, 256)
FEATURE_SIZES = (32, 64, 128, 256)
CHOICES = {
    "generator": ("fastgan", "r3gan", "dcgan", "plain"),
    "discriminator": ("projected", "r3gan", "dcgan", "plain"),
    "loss": ("hinge", "rpgan", "bce"),
}
# Settings that runs of earlier versions did not have, as those runs were.
BEFORE: dict[str, str | float] = {
    "validation": 0.0,
    "unseen": 0.0,
    "unseen_over": "",
    "grouped_split": False,
    "clamp": False,
    "fine_tap": False,
    "wide_mixing": False,
    "auxiliary": 0.0,
    "auxiliary_from": 0,
    "auxiliary_to": 0,
    "held_out": 0.0,
    "condition_dropout": 0.0,
    "wrong_label_one_attribute": 0.0,
    "min_condition_accuracy": 0.5,
    "preset": "projected",
    "generator": "fastgan",
    "discriminator": "projected",
    "loss": "hinge",
    "accumulate": 1,
    "depth": 1,
    "expansion": 1,
    "group_size": 0,
    "discriminator_width": 48,
    "discriminator_max_width": 192,
    "learning_rate_to": 0.1,
    "beta2_to": 0.99,
    "gamma": 0.0,
    "gamma_to": 0.1,
    "lazy": 16,
    "ema_images_from": 0,
    "augment_ramp": False,
    "ada_target": 0.0,
    "ada_images": 500_000,
    "condition_from": 0,
    "condition_to": 0,
    "freeze_images": 0,
}


@dataclass(frozen=True)
class Config:
    """Everything that decides what is learned. Fixed for the life of a run; a changed one is another run.

    Each field is also a flag of the command line. The values here are those of the preset `projected` at 64 pixels;
    the presets explain them. What falls or rises does so by a cosine while `decay_from` to `decay_to` images are
    shown; with `decay_to` 0 everything stays as it begins.
    """

    seed: Annotated[int, Option(help="Of everything random.")] = 0
    preset: Annotated[str, Option(help="Where settings that are not given come from; see `presets`.")] = "projected"
    generator: Annotated[str, Option(help="fastgan, r3gan, dcgan or plain.")] = "fastgan"
    discriminator: Annotated[str, Option(help="The discriminator: projected, r3gan, dcgan or plain.")] = "projected"
    loss: Annotated[str, Option(help="hinge, rpgan (relativistic pairs) or bce.")] = "hinge"
    batch: Annotated[int, Option(help="Images a step; at least 2, for batch norm.")] = 32
    accumulate: Annotated[int, Option(help="Parts that a step's images are computed in, to save memory.")] = 1
    latent: Annotated[int, Option(help="Size of the latent.")] = 128
    width: Annotated[int, Option(help="Generator's channels at full size (more: better, slower).")] = 48
    max_width: Annotated[int, Option(help="Generator's most channels at any size.")] = 128
    depth: Annotated[int, Option(help="r3gan: blocks a resolution; plain: hidden layers (both networks).")] = 1
    expansion: Annotated[int, Option(help="r3gan: inner channels of a block, in its channels.")] = 1
    group_size: Annotated[int, Option(help="r3gan: channels a group of the 3x3 convolutions (0: one group).")] = 0
    discriminator_width: Annotated[int, Option(help="As --width, of a discriminator that looks at pixels.")] = 48
    discriminator_max_width: Annotated[int, Option(help="As --max-width, of a discriminator that looks at pixels.")] = (
        192
    )
    feature_size: Annotated[int, Option(help="projected: side at which the frozen features see images (pixels).")] = 64
    fine_tap: Annotated[
        bool, Option("--fine-tap/--no-fine-tap", help="projected: features at half the images' side too: fine lines.")
    ] = True
    wide_mixing: Annotated[
        bool, Option("--wide-mixing/--no-wide-mixing", help="projected: 64 to 512 mixed channels instead of 64.")
    ] = True
    clamp: Annotated[
        bool, Option("--clamp/--no-clamp", help="The discriminator sees drawn images clamped to what a pixel can hold.")
    ] = True
    auxiliary: Annotated[
        float,
        Option(help="projected: weight of a classifier's loss that drawn images show their condition (0: none)."),
    ] = 0.2
    auxiliary_from: Annotated[int, Option(help="That weight is 0 until here (images).")] = 20_000
    auxiliary_to: Annotated[int, Option(help="And reached here (images; 0: from the first on).")] = 60_000
    learning_rate: Annotated[float, Option(help="Of Adam, both networks.")] = 4e-4
    decay_from: Annotated[int, Option(help="From here on settings with a --*-to change, by a cosine (images).")] = 0
    decay_to: Annotated[int, Option(help="Here they have changed, and stay (images; 0: constant).")] = 0
    learning_rate_to: Annotated[float, Option(help="Share of the learning rate that is left at the end.")] = 0.1
    beta1: Annotated[float, Option(help="Of Adam; no momentum, because the opponent moves.")] = 0.0
    beta2: Annotated[float, Option(help="Of Adam.")] = 0.99
    beta2_to: Annotated[float, Option(help="Adam's beta2 at the end.")] = 0.99
    gamma: Annotated[
        float, Option(help="Weight of R1 and R2, times (side/64)^2 * (1,280,000/pictures)^0.25 (0: none).")
    ] = 0.0
    gamma_to: Annotated[float, Option(help="Share of gamma that is left at the end.")] = 0.1
    lazy: Annotated[int, Option(help="R1 and R2 only every so many steps, with a weight as many times larger.")] = 16
    balance: Annotated[
        float,
        Option(help="Images are drawn with weight (size of cell)^-BALANCE (0: as they occur; 1: all cells alike)."),
    ] = 0.6
    balance_over: Annotated[
        str, Option(help="Attributes whose combinations are the cells (comma-separated names; empty: all).")
    ] = ""
    wrong_label_weight: Annotated[
        float, Option(help="Weight of the loss that tells real images with a wrong condition from ones with theirs.")
    ] = 0.5
    wrong_label_one_attribute: Annotated[
        float,
        Option(help="Share of the wrong conditions that are wrong in one attribute only: harder to see."),
    ] = 0.5
    ema_images: Annotated[int, Option(help="Half-life of the averaged generator (images).")] = 10_000
    ema_images_from: Annotated[
        int, Option(help="The half-life at the beginning, if it is to grow (images; 0: no).")
    ] = 0
    augment: Annotated[float, Option(help="Probability of each augmentation; with ADA the highest.")] = 0.5
    augment_ramp: Annotated[
        bool, Option("--augment-ramp/--no-augment-ramp", help="The probability grows from 0, by the cosine.")
    ] = False
    ada_target: Annotated[
        float, Option(help="ADA: the probability follows overfitting, to keep r_t at this (0: off; usual: 0.6).")
    ] = 0.0
    ada_images: Annotated[int, Option(help="ADA: images in which the probability can move from 0 to 1.")] = 500_000
    mirror: Annotated[bool, Option("--mirror/--no-mirror", help="Also show mirrored pictures.")] = False
    held_out: Annotated[
        float, Option(help="Share of the pictures that is kept from training, to measure the model on (0: none).")
    ] = 0.1
    validation: Annotated[
        float, Option(help="Share of the pictures that is kept from training, to decide during a run (0: none).")
    ] = 0.05
    unseen: Annotated[
        float, Option(help="Share of the combinations of categories that is kept from training (0: none).")
    ] = 0.0
    unseen_over: Annotated[
        str, Option(help="Attributes whose combinations these are (comma-separated names; empty: all).")
    ] = ""
    grouped_split: Annotated[
        bool,
        Option(
            "--grouped-split/--no-grouped-split",
            help="Emoji: the same one in several styles or genders is kept from training or trained on as a whole.",
        ),
    ] = True
    condition_dropout: Annotated[
        float, Option(help="Probability with which an attribute is left out of a condition, so that it may be.")
    ] = 0.0
    min_condition_accuracy: Annotated[
        float,
        Option(help="No export below this share of real pictures' condition accuracy (0: of chance, 1: of real ones)."),
    ] = 0.5
    condition_from: Annotated[int, Option(help="Conditions are without effect until here (images).")] = 0
    condition_to: Annotated[
        int, Option(help="Conditions have their full effect from here on (images; 0: always; against collapse).")
    ] = 0

    freeze_images: Annotated[
        int, Option(help="The generator's early layers keep their weights until here (images; for --from).")
    ] = 0

    def check_resolution(self, resolution: int) -> None:
        """Raises TrainingError when images of `resolution` pixels a side cannot be trained on with these settings."""
        if resolution not in RESOLUTIONS:
            raise TrainingError(
                f"the data set's images are {resolution} x {resolution}; the generator draws {RESOLUTIONS}: "
                "prepare the data set with another --size"
            )
        if self.discriminator == "projected" and self.feature_size < resolution:
            raise TrainingError(f"feature_size: must be at least the images' {resolution}, not {self.feature_size}")

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            self.require(getattr(self, name) in choices, name, f"one of {', '.join(choices)}")
        for name, least in LEAST.items():
            self.require(getattr(self, name) >= least, name, f"at least {least}")
        for name in SHARES:
            self.require(0 <= getattr(self, name) <= 1, name, "0 to 1")
        self.require(self.feature_size in FEATURE_SIZES, "feature_size", f"one of {FEATURE_SIZES}")
        self.require(0 < self.learning_rate < 1, "learning_rate", "above 0 and below 1")
        self.require(self.held_out + self.validation < 1, "held_out", "0 to below 1, with validation too")
        self.require(self.batch % self.accumulate == 0, "accumulate", f"a divisor of batch ({self.batch})")
        if self.decay_to:
            self.require(0 <= self.decay_from < self.decay_to, "decay_from", f"0 to below decay_to ({self.decay_to})")
        if self.auxiliary_to:
            allowed = f"0 to below auxiliary_to ({self.auxiliary_to})"
            self.require(0 <= self.auxiliary_from < self.auxiliary_to, "auxiliary_from", allowed)
        if self.condition_to:
            allowed = f"0 to below condition_to ({self.condition_to})"
            self.require(0 <= self.condition_from < self.condition_to, "condition_from", allowed)

    @property
    def shares(self) -> Shares:
        """What of a data set is kept from training."""
        return Shares.of(asdict(self))

    def require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise TrainingError(f"{name}: must be {allowed}, not {getattr(self, name)}")


LEAST = {
    "seed": 0,
    "batch": 2,
    "accumulate": 1,
    "latent": 1,
    "width": 1,
    "max_width": 1,
    "depth": 1,
    "expansion": 1,
    "group_size": 0,
    "discriminator_width": 1,
    "discriminator_max_width": 1,
    "gamma": 0,
    "lazy": 1,
    "wrong_label_weight": 0,
    "ema_images": 1,
    "ema_images_from": 0,
    "ada_images": 1,
    "auxiliary": 0,
    "auxiliary_from": 0,
    "auxiliary_to": 0,
    "freeze_images": 0,
}
SHARES = (
    "beta1",
    "beta2",
    "beta2_to",
    "learning_rate_to",
    "gamma_to",
    "balance",
    "augment",
    "ada_target",
    "held_out",
    "validation",
    "unseen",
    "wrong_label_one_attribute",
    "condition_dropout",
    "min_condition_accuracy",
)


def save_config(
    run: Path, config: Config, dataset: dict[str, str], more: Mapping[str, object] = MappingProxyType({})
) -> None:
    """Writes `config.json` of a new run; `dataset` has its name, path and digest, `more` is recorded beside it."""
    document = {"format": FORMAT, "config": asdict(config), "dataset": dataset, **more}
    (run / CONFIG).write_text(json.dumps(document, indent=2) + "\n")


def load_config(run: Path) -> tuple[Config, dict[str, str]]:
    """The configuration of a run and its data set's name, path and digest.

    Raises TrainingError when the folder is no run, or one of a newer version.
    """
    try:
        document = json.loads((run / CONFIG).read_text())
    except FileNotFoundError:
        raise TrainingError(f"{run}: not a run (it has no {CONFIG}); `unikat train` makes one") from None
    except ValueError as error:
        raise TrainingError(f"{run / CONFIG}: is not JSON: {error}") from error
    if document.get("format") != FORMAT:
        raise TrainingError(f"{run / CONFIG}: format {document.get('format')}; this program reads {FORMAT}")
    recorded = current_settings(document["config"])
    known = {field.name for field in fields(Config)}
    unknown = sorted(set(recorded) - known)
    if unknown:
        raise TrainingError(f"{run / CONFIG}: unknown settings {unknown}; known are {sorted(known)}")
    # Any of the fields' types: what was written came from a Config, which checks them again
    return Config(**{**BEFORE, **recorded}), document["dataset"]


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
            "Continue it with its own settings, choose another --run, or change them with --change"
        )
