"""How a run is carried out: `Operation`. Nothing here belongs to a run; each session may have its own."""

from dataclasses import dataclass
from typing import Annotated

from typer import Option

from unikat_training.errors import TrainingError


@dataclass(frozen=True)
class Operation:
    """How a run is carried out; may differ each time it is continued. Each field is also a flag."""

    images: Annotated[
        int,
        Option(min=1, envvar="UNIKAT_TRAIN_IMAGES", help="Stop after so many training images, in all sessions."),
    ] = 1_000_000
    minutes: Annotated[
        float, Option(min=0, help="Stop after so many minutes of this session (0: only by --images).")
    ] = 0.0
    device: Annotated[str, Option(envvar="UNIKAT_DEVICE", help="auto, cpu or cuda.")] = "auto"
    threads: Annotated[int, Option(min=0, help="Of torch (0: one a core; the bits depend on it).")] = 0
    bf16: Annotated[
        bool,
        Option(
            "--bf16/--no-bf16",
            help="Train the networks' convolutions in bfloat16 (faster on GPUs and on CPUs with AVX512-BF16); "
            "of `projected` the generator's.",
        ),
    ] = False
    fp16: Annotated[
        bool,
        Option("--fp16/--no-fp16", help="The same in float16 with loss scaling, for GPUs that have no bfloat16."),
    ] = False
    channels_last: Annotated[
        bool,
        Option("--channels-last/--no-channels-last", help="Store images channel by channel innermost (GPUs: faster)."),
    ] = False
    compile: Annotated[
        bool,
        Option(
            "--compile/--no-compile", help="Compile the generator, and a discriminator without R1 and R2, by torch."
        ),
    ] = False
    change: Annotated[
        bool,
        Option("--change", help="Settings given may differ from the run's: they hold from its latest checkpoint on."),
    ] = False
    checkpoint_seconds: Annotated[float, Option(min=1, help="Time between checkpoints (seconds).")] = 180.0
    keep: Annotated[int, Option(min=1, help="Checkpoints kept, beside the best.")] = 3
    sheet_images: Annotated[
        int, Option(min=1, help="A sample sheet, curves and the figure of the best every so many images.")
    ] = 20_000
    log_images: Annotated[int, Option(min=1, help="A line of metrics every so many images.")] = 1_000
    progress: Annotated[bool, Option(help="Show a progress bar.")] = True

    def __post_init__(self) -> None:
        if self.bf16 and self.fp16:
            raise TrainingError("fp16: must be off with bf16; choose one of them")

    @property
    def precision(self) -> str:
        """The name of the networks' number format, as a card writes it."""
        return "bfloat16" if self.bf16 else "float16" if self.fp16 else "float32"
