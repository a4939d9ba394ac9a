"""lightweight-gan, trained by its own `Trainer` for a budget of CPU time, and exported as our models are.

It knows CUDA only. Nothing of it is changed or copied: Python runs with -O, because its import asserts a GPU, and what
it asks of "cuda" is done on the CPU (`OnTheCpu`). Its data loader reads picture files, so it gets some.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from benchmarks.training.budget import Stopwatch
from benchmarks.training.contenders import SHARES, Peer
from unikat.bundle import CARD, GRAPH, SAMPLES, write_bundle
from unikat.sampling import latents
from unikat.v1.model_pb2 import Model, TrainingRun
from unikat_training.data.dataset import Dataset
from unikat_training.graph import exported_generator, write_graph
from unikat_training.networks.base import Generator, GeneratorShape, Joined
from unikat_training.pictures import COLUMNS
from unikat_training.session import open_graph, run_graph
from unikat_training.sheet import Block, Strip, draw_sheet, png

PACKAGE = "lightweight-gan==1.2.1"
LATENT = 256  # its own
SEED = 42  # its own
KEPT: list[torch.library.Library] = []


class OnTheCpu(TorchFunctionMode):
    """Within, "cuda" is the CPU."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        if func is torch.Tensor.cuda:
            return args[0]
        options = dict(kwargs or {})
        if isinstance(options.get("device"), torch.device) and options["device"].type == "cuda":
            options["device"] = torch.device("cpu")
        return func(*args, **options)


class Foreign(Generator):
    """Its generator, latent -> images in [0, 1], as one of ours."""

    def __init__(self, network: nn.Module, resolution: int) -> None:
        super().__init__()
        self.shape = GeneratorShape(resolution, conditions=0, latent=LATENT)
        self.mapping, self.network, self.to_rgb = Joined(self.shape), network, nn.Identity()

    def synthesis(self, latent: Tensor, style: Tensor) -> Tensor:
        images: Tensor = self.network(style)
        return images * 2 - 1  # (B, 3, H, H)


def train_peer(contender: Peer, data: Path, seconds: float, run: Path, bundle: Path) -> tuple[int, float]:
    """Trains in `run` and writes `bundle`; images shown and CPU seconds that they took.

    Counted is what its trainer does, sample sheets and checkpoints included; not the imports and the writing of picture
    files before it. Its average of the weights begins at its step 20,000: what is measured is the generator itself.
    """
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    dataset = Dataset.load(data).split(SHARES).trained
    write_pictures(dataset, run / "pictures")
    package = imported()
    with OnTheCpu():
        watch = Stopwatch()
        trainer = package.Trainer(
            name="run",
            base_dir=run,
            image_size=dataset.resolution,
            num_workers=0,  # one process, as the others
            use_aim=False,
            **contender.arguments,
        )
        trainer.clear()
        trainer.set_data_src(str(run / "pictures"))
        while watch.seconds < seconds:
            trainer.train()
        spent = watch.seconds
    images = trainer.steps * trainer.batch_size * trainer.gradient_accumulate_every
    export_peer(trainer.GAN.G.cpu(), dataset, bundle)
    return images, spent


def imported() -> ModuleType:
    """The package's module. Raises SystemExit where it is not installed."""
    try:
        try:
            import_module("torchvision")
        except RuntimeError:
            provide_operators()
        return import_module("lightweight_gan.lightweight_gan")
    except ImportError as error:
        raise SystemExit(f"{error}: this contender needs `pip install {PACKAGE}`, beside unikat[training]") from error


def provide_operators() -> None:
    """PyPI's torchvision is compiled for CUDA; beside a torch for CPUs it misses two operators that nobody calls."""
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]  # torch does not annotate it
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]  # the same
    KEPT.append(library)  # what it defines goes when it goes


def write_pictures(dataset: Dataset, folder: Path) -> None:
    folder.mkdir(parents=True)
    for index in range(len(dataset)):
        Image.fromarray(dataset.pixels(np.array([index]))[0]).save(folder / f"{index:06d}.png")


def export_peer(network: nn.Module, dataset: Dataset, bundle: Path) -> None:
    """As a bundle without conditions. Its generator adds noise to its maps: so does the graph, anew at every call."""
    graph = bundle.parent / GRAPH
    bundle.parent.mkdir(parents=True, exist_ok=True)
    plain = np.zeros((COLUMNS, 0), dtype=np.float32)
    generator = Foreign(network, dataset.resolution).requires_grad_(False).eval()
    write_graph(exported_generator(generator, plain), graph)
    drawn = run_graph(open_graph(graph), latents(SEED, range(COLUMNS), LATENT), plain, 1.0)
    model = Model(
        name="lightweight-gan",
        version=1,
        description=f"{PACKAGE}, trained on {dataset.name} for a comparison.",
        width=dataset.resolution,
        height=dataset.resolution,
        latent_size=LATENT,
        default_truncation=1.0,
        training=TrainingRun(data_set=dataset.name, data_digest=dataset.digest, images=len(dataset)),
    )
    files: dict[str, Path | bytes] = {
        GRAPH: graph,
        SAMPLES: png(draw_sheet([Block("", [Strip("", drawn)])])),
        CARD: f"{model.description}\n".encode(),
    }
    write_bundle(bundle, model, files)
