"""Who is compared, on what: presets of `training`, and a package from PyPI."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from unikat_training.data.dataset import Dataset, Shares

SHARES = Shares(test=0.1, validation=0.05)  # of every data set, as the presets; no contender is shown these


@dataclass(frozen=True)
class Ours:
    """A preset, and the flags that docs/training.md recommends for it on CPUs."""

    preset: str
    bf16: bool = False
    channels_last: bool = False


@dataclass(frozen=True)
class Peer:
    """`lightweight-gan`: arguments of its `Trainer`."""

    arguments: dict[str, int | list[int] | list[str]] = field(default_factory=dict)


Contender = Ours | Peer

# But for the last, the defaults of its command line, which are not those of its `Trainer`.
COMMAND_LINE: dict[str, int | list[int] | list[str]] = {
    "batch_size": 10,
    "gradient_accumulate_every": 4,
    "attn_res_layers": [32],
    "disc_output_size": 1,
    "aug_types": ["cutout", "translation"],
    "num_image_tiles": 3,  # not 8: its first sample sheets would cost a good part of minutes on a CPU
}
# Its smallest sensible networks and an update every ten images, because updates are what it has fewest of on a CPU.
SMALL = COMMAND_LINE | {"fmap_max": 64, "gradient_accumulate_every": 1, "attn_res_layers": []}

CONTENDERS: dict[str, Contender] = {
    "dcgan": Ours("dcgan"),
    "r3gan": Ours("r3gan", bf16=True, channels_last=True),
    "projected": Ours("projected", bf16=True),
    "lightweight-gan": Peer(COMMAND_LINE),
    "lightweight-gan-small": Peer(SMALL),
}


@dataclass(frozen=True)
class Course:
    """A prepared data set, and the pictures to measure on where they are another one."""

    name: str
    data: Path
    test: Path | None = None

    def load(self) -> tuple[Dataset, Dataset]:
        """What is trained on and what is measured on: the test set, or else the pictures that are held out."""
        parts = Dataset.load(self.data).split(SHARES)
        found = Dataset.load(self.test) if self.test else parts.test
        if found is None:
            raise SystemExit(f"{self.data}: has too few pictures to hold some out")
        return parts.trained, found
