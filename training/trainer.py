"""One training run: networks, optimisers, their state, and a step."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training import ema
from training.augment import augment
from training.config import Config
from training.data.dataset import Dataset
from training.discriminator import Heads, Projection
from training.errors import TrainingError
from training.generator import Generator, GeneratorShape
from training.sampler import BalancedSampler


@dataclass(frozen=True)
class Losses:
    """A step's figures. The logits are means: far apart, the discriminator wins; equal, it guesses."""

    discriminator: float
    generator: float
    real: float
    fake: float


class Trainer:
    """Holds everything that changes while training. `state` and `restore` are its whole memory.

    Real and drawn images of a step have the same conditions. Nothing here reads a global random number generator:
    data come from (seed, step), everything else from `self.rng`.
    """

    def __init__(self, config: Config, dataset: Dataset, device: torch.device, bf16: bool = False) -> None:
        self.config, self.dataset, self.device, self.bf16 = config, dataset, device, bf16
        self.conditions = torch.from_numpy(dataset.one_hots())  # (N, C)
        self.widths = torch.tensor([len(attribute.categories) for attribute in dataset.attributes], device=device)
        self.sampler = BalancedSampler(balanced_labels(dataset, config), config.balance, config.seed)
        count = self.conditions.shape[1]
        shape = generator_shape(config, dataset.resolution, count)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator = Generator(shape)
            self.heads = Heads(config.feature_size, count)
            self.projection = Projection(config.feature_size, config.seed)
        self.generator.to(device)
        for network in (self.heads, self.projection):
            network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
        self.projection.requires_grad_(False).eval()
        self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        self.optimisers = {
            "generator": adam(self.generator, config),
            "heads": adam(self.heads, config),
        }
        self.rng = torch.Generator(device).manual_seed(config.seed)

    def step(self, step: int) -> Losses:
        """Train on the batch of `step`. Raises TrainingError when the losses are no longer numbers."""
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.config.rate_at(step * self.config.batch)
        real, labels = self.real_batch(step)
        condition = self.shown(labels)
        latent = torch.randn(len(real), self.config.latent, generator=self.rng, device=self.device)
        drawn = self.draw(latent, condition)
        with torch.no_grad():
            real_maps = self.projection(self.augmented(real))
        drawn_maps = self.projection(self.augmented(drawn))  # for both networks' steps: features are the dear part
        losses = self.step_heads(real_maps, drawn_maps, condition, labels)
        generator_loss = self.step_generator(drawn_maps, condition)
        kept = ema.decay((step + 1) * self.config.batch, self.config.batch, self.config.ema_images)
        ema.update(self.average, self.generator, kept)
        figures = [float(value) for value in torch.stack([losses[0], generator_loss, *losses[1:]])]
        if not all(np.isfinite(figures)):
            raise TrainingError(f"step {step}: the losses are no longer numbers; continue with a lower learning_rate")
        return Losses(*figures)

    def draw(self, latent: Tensor, condition: Tensor | None) -> Tensor:
        """Images (B, 3, H, H) in float32: the last layer too, or they would come in steps of a grey level."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            painted = self.generator.paint(latent, self.generator.mapping(latent, condition))
        images: Tensor = self.generator.to_rgb(painted.float())
        return images

    def real_batch(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Images (B, 3, H, H) and their complete conditions (B, C)."""
        indices = self.sampler.batch(step, self.config.batch)
        pixels = torch.from_numpy(self.dataset.pixels(indices)).to(self.device)  # (B, H, H, 3)
        images = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1  # (B, 3, H, H), channels last in memory
        if self.config.mirror:
            flip = torch.rand(len(images), 1, 1, 1, generator=self.rng, device=self.device) < 0.5
            images = torch.where(flip, images.flip(3), images)
        condition = self.conditions[torch.from_numpy(indices)].to(self.device)
        return images, condition if condition.shape[1] else None

    def shown(self, labels: Tensor | None) -> Tensor | None:
        """The conditions of a step: some attributes are left out, as a caller may leave them out."""
        if labels is None or not self.config.condition_dropout:
            return labels
        size = (len(labels), len(self.widths))
        kept = torch.rand(size, generator=self.rng, device=self.device) >= self.config.condition_dropout
        return labels * kept.repeat_interleave(self.widths, dim=1)  # (B, C)

    def augmented(self, images: Tensor) -> Tensor:
        return augment(images, self.config.augment, self.rng)

    def step_heads(
        self, real_maps: list[Tensor], drawn_maps: list[Tensor], condition: Tensor | None, labels: Tensor | None
    ) -> list[Tensor]:
        """Hinge loss (Lim & Ye 2017). Returns the loss and the mean logits of real and of drawn images."""
        self.heads.requires_grad_(True)
        maps = [torch.cat([real, drawn.detach()]) for real, drawn in zip(real_maps, drawn_maps, strict=True)]
        both = None if condition is None else torch.cat([condition, condition])
        real, drawn = zip(*(logits.chunk(2) for logits in self.heads(maps, both)), strict=True)
        loss = balanced([F.relu(1 - logits) for logits in real]) + balanced([F.relu(1 + logits) for logits in drawn])
        if condition is not None and labels is not None and self.config.mismatch:
            loss = loss + self.config.mismatch * self.mismatch(real_maps, condition, labels)
        self.optimise("heads", loss)
        return [loss.detach(), balanced(real).detach(), balanced(drawn).detach()]

    def mismatch(self, real_maps: list[Tensor], condition: Tensor, labels: Tensor) -> Tensor:
        """Hinge loss of real images with the condition of another one (Reed et al. 2016).

        Without it the discriminator first learns what is real, and only much later what belongs to which condition.
        """
        wrong = condition.roll(1, 0)  # (B, C)
        differs = (wrong * (1 - labels)).any(dim=1, keepdim=True).float()  # (B, 1): a neighbour's may be true as well
        return balanced([F.relu(1 + logits) * differs for logits in self.heads(real_maps, wrong)])

    def step_generator(self, drawn_maps: list[Tensor], condition: Tensor | None) -> Tensor:
        self.heads.requires_grad_(False)
        loss = -balanced(self.heads(drawn_maps, condition))
        self.optimise("generator", loss)
        return loss.detach()

    def optimise(self, name: str, loss: Tensor) -> None:
        optimiser = self.optimisers[name]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        optimiser.step()

    def networks(self) -> dict[str, nn.Module]:
        """What is saved: not the frozen features and mixing, which follow from a package and the seed."""
        return {"generator": self.generator, "average": self.average, "heads": self.heads}

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a continued run needs, by name."""
        tensors = {
            f"{name}.{key}": value
            for name, network in self.networks().items()
            for key, value in network.state_dict().items()
        }
        for name, optimiser in self.optimisers.items():
            tensors.update({f"adam.{name}.{key}": value for key, value in moments(optimiser)})
        return tensors | {"rng": self.rng.get_state()}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Go on from `state`. Raises TrainingError when it is of other networks."""
        try:
            for name, network in self.networks().items():
                network.load_state_dict(under(f"{name}.", tensors))
        except RuntimeError as error:
            raise TrainingError(f"the checkpoint is of other networks: {error}") from error
        for name, optimiser in self.optimisers.items():
            set_moments(optimiser, under(f"adam.{name}.", tensors))
        self.rng.set_state(tensors["rng"].cpu())


def balanced_labels(dataset: Dataset, config: Config) -> npt.NDArray[np.int64]:
    """The columns of the labels whose combinations are balanced. Raises TrainingError for an unknown attribute."""
    names = [attribute.name for attribute in dataset.attributes]
    chosen = [name.strip() for name in config.balance_over.split(",") if name.strip()] or names
    unknown = sorted(set(chosen) - set(names))
    if unknown:
        raise TrainingError(f"balance_over: {unknown} not among the data set's attributes {names}")
    return dataset.labels[:, [names.index(name) for name in chosen]]


def balanced(scales: Sequence[Tensor]) -> Tensor:
    """The mean over scales of each scale's mean: the coarse ones have few places, but know what the image shows."""
    return torch.stack([values.mean() for values in scales]).mean()


def generator_shape(config: Config, resolution: int, conditions: int) -> GeneratorShape:
    return GeneratorShape(resolution, conditions, latent=config.latent, width=config.width, max_width=config.max_width)


def adam(network: nn.Module, config: Config) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(config.beta1, config.beta2))


def moments(optimiser: torch.optim.Adam) -> Iterator[tuple[str, Tensor]]:
    for index, slots in optimiser.state_dict()["state"].items():
        for slot, value in slots.items():
            yield f"{index}.{slot}", value


def set_moments(optimiser: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, slot = key.split(".", 1)
        state.setdefault(int(index), {})[slot] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
