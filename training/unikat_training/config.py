"""What decides the weights of a run: `Config`, fixed when the run begins."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, get_args

from typer import Option
from typer.models import OptionInfo

from unikat_training.data.split import Shares
from unikat_training.errors import TrainingError
from unikat_training.flags import declared
from unikat_training.renamed import current_settings

FORMAT = 1
CONFIG = "config.json"
RESOLUTIONS = (16, 32, 64, 128, 256)
FEATURE_SIZES = (32, 64, 128, 256)
CHANGEABLE: Final = "changeable"  # says of a setting that a checkpoint fits whatever its value is


@dataclass(frozen=True)
class Before:
    """Says of a setting that runs of earlier versions did not have it, and what they did."""

    value: float | str | bool


@dataclass(frozen=True)
class Config:
    """Everything that decides what is learned. Fixed for the life of a run; a changed one is another run.

    Each field says here all that is known of it: its type and choices, its flag with the least and the most that it
    may be, what runs did that did not have it (`Before`), and whether `--change` may change it (`CHANGEABLE`). The
    values are those of the preset `projected` at 64 pixels; the presets explain them. What falls or rises does so by a
    cosine while `decay_from` to `decay_to` images are shown; with `decay_to` 0 everything stays as it begins.
    """

    seed: Annotated[int, Option(min=0, help="Of everything random.")] = 0
    preset: Annotated[
        str, Option(help="Where settings that are not given come from; see `presets`."), Before("projected")
    ] = "projected"
    generator: Annotated[
        Literal["fastgan", "r3gan", "dcgan", "plain"], Option(help="The generator."), Before("fastgan")
    ] = "fastgan"
    discriminator: Annotated[
        Literal["projected", "r3gan", "dcgan", "plain"], Option(help="The discriminator."), Before("projected")
    ] = "projected"
    loss: Annotated[
        Literal["hinge", "rpgan", "bce"],
        Option(help="rpgan: relativistic pairs; bce: cross-entropy."),
        Before("hinge"),
        CHANGEABLE,
    ] = "hinge"
    batch: Annotated[int, Option(min=2, help="Images a step; at least 2, for batch norm.")] = 32
    latent: Annotated[int, Option(min=1, help="Size of the latent.")] = 128
    width: Annotated[int, Option(min=1, help="Generator's channels at full size (more: better, slower).")] = 48
    max_width: Annotated[int, Option(min=1, help="Generator's most channels at any size.")] = 128
    depth: Annotated[
        int, Option(min=1, help="r3gan: blocks a resolution; plain: hidden layers (both networks)."), Before(1)
    ] = 1
    expansion: Annotated[int, Option(min=1, help="r3gan: inner channels of a block, in its channels."), Before(1)] = 1
    group_size: Annotated[
        int, Option(min=0, help="r3gan: channels a group of the 3x3 convolutions (0: one group)."), Before(0)
    ] = 0
    discriminator_width: Annotated[
        int, Option(min=1, help="As --width, of a discriminator that looks at pixels."), Before(48)
    ] = 48
    discriminator_max_width: Annotated[
        int, Option(min=1, help="As --max-width, of a discriminator that looks at pixels."), Before(192)
    ] = 192
    feature_size: Annotated[int, Option(help="projected: side at which the frozen features see images (pixels).")] = 64
    fine_tap: Annotated[
        bool, Option(help="projected: features at half the images' side too: fine lines."), Before(False)
    ] = True
    wide_mixing: Annotated[bool, Option(help="projected: 64 to 512 mixed channels instead of 64."), Before(False)] = (
        True
    )
    clamp: Annotated[
        bool,
        Option(help="The discriminator sees drawn images clamped to what a pixel can hold."),
        Before(False),
        CHANGEABLE,
    ] = True
    auxiliary: Annotated[
        float,
        Option(
            min=0, help="projected: weight of a classifier's loss that drawn images show their condition (0: none)."
        ),
        Before(0.0),
        CHANGEABLE,
    ] = 0.2
    auxiliary_from: Annotated[
        int, Option(min=0, help="That weight is 0 until here (images)."), Before(0), CHANGEABLE
    ] = 20_000
    auxiliary_to: Annotated[
        int, Option(min=0, help="And reached here (images; 0: from the first on)."), Before(0), CHANGEABLE
    ] = 60_000
    variety: Annotated[
        float,
        Option(min=0, help="Weight of a loss of pairs of drawings of one condition that are too much alike (0: none)."),
        Before(0.0),
        CHANGEABLE,
    ] = 0.0
    learning_rate: Annotated[float, Option(min=0, max=1, help="Of Adam, both networks."), CHANGEABLE] = 4e-4
    decay_from: Annotated[
        int, Option(min=0, help="From here on settings with a --*-to change, by a cosine (images)."), CHANGEABLE
    ] = 0
    decay_to: Annotated[
        int, Option(min=0, help="Here they have changed, and stay (images; 0: constant)."), CHANGEABLE
    ] = 0
    learning_rate_to: Annotated[
        float,
        Option(min=0, max=1, help="Share of the learning rate that is left at the end."),
        Before(0.1),
        CHANGEABLE,
    ] = 0.1
    beta1: Annotated[
        float, Option(min=0, max=1, help="Of Adam; no momentum, because the opponent moves."), CHANGEABLE
    ] = 0.0
    beta2: Annotated[float, Option(min=0, max=1, help="Of Adam."), CHANGEABLE] = 0.99
    beta2_to: Annotated[float, Option(min=0, max=1, help="Adam's beta2 at the end."), Before(0.99), CHANGEABLE] = 0.99
    gamma: Annotated[
        float,
        Option(min=0, help="Weight of R1 and R2, times (side/64)^2 * (1,280,000/pictures)^0.25 (0: none)."),
        Before(0.0),
        CHANGEABLE,
    ] = 0.0
    gamma_to: Annotated[
        float, Option(min=0, max=1, help="Share of gamma that is left at the end."), Before(0.1), CHANGEABLE
    ] = 0.1
    lazy: Annotated[
        int,
        Option(min=1, help="R1 and R2 only every so many steps, with a weight as many times larger."),
        Before(16),
        CHANGEABLE,
    ] = 16
    balance: Annotated[
        float,
        Option(
            min=0,
            max=1,
            help="Images are drawn with weight (size of cell)^-BALANCE (0: as they occur; 1: all cells alike).",
        ),
        CHANGEABLE,
    ] = 0.6
    balance_over: Annotated[
        str, Option(help="Attributes whose combinations are the cells (comma-separated names; empty: all)."), CHANGEABLE
    ] = ""
    wrong_label_weight: Annotated[
        float,
        Option(min=0, help="Weight of the loss that tells real images with a wrong condition from ones with theirs."),
        CHANGEABLE,
    ] = 0.5
    wrong_label_one_attribute: Annotated[
        float,
        Option(min=0, max=1, help="Share of the wrong conditions that are wrong in one attribute only: harder to see."),
        Before(0.0),
        CHANGEABLE,
    ] = 0.5
    ema_images: Annotated[int, Option(min=1, help="Half-life of the averaged generator (images)."), CHANGEABLE] = 10_000
    ema_images_from: Annotated[
        int,
        Option(min=0, help="The half-life at the beginning, if it is to grow (images; 0: no)."),
        Before(0),
        CHANGEABLE,
    ] = 0
    augment: Annotated[
        float, Option(min=0, max=1, help="Probability of each augmentation; with ADA the highest."), CHANGEABLE
    ] = 0.5
    augment_ramp: Annotated[
        bool, Option(help="The probability grows from 0, by the cosine."), Before(False), CHANGEABLE
    ] = False
    ada_target: Annotated[
        float,
        Option(
            min=0, max=1, help="ADA: the probability follows overfitting, to keep r_t at this (0: off; usual: 0.6)."
        ),
        Before(0.0),
    ] = 0.0
    ada_images: Annotated[
        int, Option(min=1, help="ADA: images in which the probability can move from 0 to 1."), Before(500_000)
    ] = 500_000
    mirror: Annotated[bool, Option(help="Also show mirrored pictures."), CHANGEABLE] = False
    held_out: Annotated[
        float,
        Option(
            min=0,
            max=1,
            help="Share of the pictures that is kept from training, to measure the model on (0: none).",
        ),
        Before(0.0),
    ] = 0.1
    validation: Annotated[
        float,
        Option(min=0, max=1, help="Share of the pictures kept from training to decide during a run (0: none)."),
        Before(0.0),
    ] = 0.05
    unseen: Annotated[
        float,
        Option(min=0, max=1, help="Share of the combinations of categories that is kept from training (0: none)."),
        Before(0.0),
    ] = 0.0
    unseen_over: Annotated[
        str,
        Option(help="Attributes whose combinations these are (comma-separated names; empty: all)."),
        Before(""),
    ] = ""
    grouped_split: Annotated[
        bool,
        Option(help="Emoji: the same one in several styles or genders is kept from training or trained on as a whole."),
        Before(False),
    ] = True
    condition_dropout: Annotated[
        float,
        Option(min=0, max=1, help="Probability with which an attribute is left out of a condition, so that it may be."),
        Before(0.0),
        CHANGEABLE,
    ] = 0.0
    min_condition_accuracy: Annotated[
        float,
        Option(
            min=0,
            max=1,
            help="No export below this share of real pictures' condition accuracy (0: of chance, 1: of real ones).",
        ),
        Before(0.5),
        CHANGEABLE,
    ] = 0.5
    condition_from: Annotated[
        int, Option(min=0, help="Conditions are without effect until here (images)."), Before(0), CHANGEABLE
    ] = 0
    condition_to: Annotated[
        int,
        Option(min=0, help="Conditions have their full effect from here on (images; 0: always; against collapse)."),
        Before(0),
        CHANGEABLE,
    ] = 0
    freeze_images: Annotated[
        int,
        Option(min=0, help="With --from: the generator's early layers keep their weights until here (images)."),
        Before(0),
        CHANGEABLE,
    ] = 0

    @classmethod
    def recorded(cls, settings: Mapping[str, Any]) -> "Config":
        """Of settings that were written by this version or an earlier one, or by hand.

        Raises TrainingError for settings that are unknown and values that cannot be.
        """
        current = current_settings(settings)
        unknown = sorted(set(current) - set(SETTINGS))
        if unknown:
            raise TrainingError(f"unknown settings {unknown}; known are {sorted(SETTINGS)}")
        return cls(**{**BEFORE, **current})

    @property
    def shares(self) -> Shares:
        """What of a data set is kept from training."""
        return Shares.of(asdict(self))

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
        for name, (kind, option, *_) in SETTINGS.items():
            value, choices = getattr(self, name), get_args(kind)
            self.require(not choices or value in choices, name, f"one of {', '.join(choices)}")
            least, most = option.min, option.max
            if most is not None:
                self.require(least <= value <= most, name, f"{least} to {most}")
            elif least is not None:
                self.require(value >= least, name, f"at least {least}")
        self.require(self.feature_size in FEATURE_SIZES, "feature_size", f"one of {FEATURE_SIZES}")
        self.require(0 < self.learning_rate < 1, "learning_rate", "above 0 and below 1")
        self.require(self.held_out + self.validation < 1, "held_out", "0 to below 1, with validation too")
        for name in ("decay", "auxiliary", "condition"):
            start, end = getattr(self, f"{name}_from"), getattr(self, f"{name}_to")
            self.require(not end or start < end, f"{name}_from", f"0 to below {name}_to ({end})")

    def require(self, holds: bool, name: str, allowed: str) -> None:
        if not holds:
            raise TrainingError(f"{name}: must be {allowed}, not {getattr(self, name)}")


SETTINGS: dict[str, tuple[Any, OptionInfo, *tuple[object, ...]]] = declared(Config)
BEFORE = {name: of.value for name, says in SETTINGS.items() for of in says if isinstance(of, Before)}


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
    try:
        return Config.recorded(document["config"]), document["dataset"]
    except TrainingError as error:
        raise TrainingError(f"{run / CONFIG}: {error}") from error


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
