"""One training run: networks, optimisers, their state, and a step."""

import copy
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unikat_training import ema, variety
from unikat_training.augment import Adaptive, augment
from unikat_training.batches import Batch, Batches
from unikat_training.config import Config
from unikat_training.data.dataset import Dataset
from unikat_training.errors import TrainingError
from unikat_training.layers import clamp, over
from unikat_training.losses import LOSSES, balanced, balanced_of, gradient_penalty, overfitting
from unikat_training.networks.auxiliary import condition_loss
from unikat_training.networks.base import Logits, Maps, pair_logits
from unikat_training.networks.build import build_auxiliary, build_discriminator, build_generator
from unikat_training.parallel import distributed, mean, synchronised
from unikat_training.schedules import gamma_rule, rates_at
from unikat_training.state import moments, named, scaler_state, set_moments, set_scaler, under

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True)
class Losses:
    """A step's figures. The logits are means: far apart, the discriminator tells them apart; equal, it guesses."""

    discriminator: float
    generator: float
    real: float
    fake: float
    overfitting: float  # r_t: 0 none, 1 complete
    penalty: float  # R1 + R2, times gamma / 2; 0 in steps without
    labels_real: float  # cross-entropy of the auxiliary classifier, of real and of drawn images; 0 without it
    labels_drawn: float
    variety: float  # difference of two drawings of one condition, of that of its pictures; 0 where it is not asked for
    discriminator_norm: float  # of the gradient
    generator_norm: float
    augment: float  # probability of each augmentation
    learning_rate: float
    gamma: float


@dataclass(frozen=True)
class Computing:
    """With what a step is computed; may differ in each session."""

    precision: str = "float32"
    channels_last: bool = False
    compile: bool = False


PLAIN = Computing()


class Trainer:
    """Holds everything that changes while training. `state` and `restore` are its whole memory.

    Real and drawn images of a step have the same conditions. Nothing here reads a global random number generator:
    data come from (seed, step), everything else from `self.rng`.
    """

    def __init__(self, config: Config, dataset: Dataset, device: torch.device, computing: Computing = PLAIN) -> None:
        self.config, self.dataset, self.device, self.computing = config, dataset, device, computing
        self.rng = torch.Generator(device).manual_seed(config.seed)
        self.batches = Batches(config, dataset, self.rng)
        self.loss = LOSSES[config.loss]
        self.rule = gamma_rule(dataset.resolution, len(dataset))
        self.adaptive = Adaptive(config.ada_target, config.ada_images) if config.ada_target else None
        self.frozen: Sequence[nn.Module] = []  # layers that the step leaves as they are
        conditions = self.batches.conditions.shape[1]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator = build_generator(config, dataset.resolution, conditions, dataset.channels)
            self.discriminator = build_discriminator(config, dataset.resolution, conditions)
            self.auxiliary = build_auxiliary(config, self.discriminator, self.batches.widths.tolist())
            self.average = copy.deepcopy(self.generator).requires_grad_(False).eval()
        for network in (*self.networks().values(), self.discriminator.features):
            network.to(device)
            if computing.channels_last:
                network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack this form
        if computing.compile:
            self.generator.compile()
            if not config.gamma:  # what is compiled has no second derivative
                self.discriminator.trained.compile()
        trained = {name: each for name, each in self.networks().items() if name != "average"}
        self.optimisers = {name: adam(each, config) for name, each in trained.items()}
        self.shared = {name: distributed(synchronised(each, device)) for name, each in trained.items()}
        self.scaler = torch.amp.GradScaler(device.type, enabled=computing.precision == "float16")

    def step(self, step: int) -> Losses:
        """Train on the batch of `step`. Raises TrainingError when the losses are no longer numbers."""
        config, rates = self.config, rates_at(self.config, step * self.config.batch, self.rule)
        probability = rates.augment if self.adaptive is None else min(self.adaptive.probability, rates.augment)
        gamma = 0.0 if step % config.lazy else rates.gamma * config.lazy
        for group in (group for each in self.optimisers.values() for group in each.param_groups):
            group["lr"], group["betas"] = rates.learning_rate, (config.beta1, rates.beta2)
        self.frozen = self.generator.early_layers() if step * config.batch < config.freeze_images else []

        batch = self.batches.of_step(step, rates.condition)
        with self.autocast():
            images, others = self.draw(batch)
            drawn = over(images, batch.background)
            with torch.no_grad():
                real_maps = self.look(batch.real, batch.numbers[0], probability)
            drawn_maps = self.look(drawn, batch.numbers[1], probability)  # with a graph back to the generator

        figures = self.train_discriminator(batch, (real_maps, drawn_maps), drawn.detach(), gamma, probability)
        if self.auxiliary is not None and batch.labels is not None:
            with self.autocast():
                loss = condition_loss(self.shared["auxiliary"](real_maps), batch.labels)
            self.optimise("auxiliary", loss)
            figures["labels_real"] = loss
        more = torch.zeros((), device=self.device)
        if batch.wanted is not None:
            more, figures["variety"] = variety.loss(images[::2], others, batch.wanted)
        figures |= self.train_generator(batch, (real_maps, drawn_maps), rates.auxiliary, config.variety * more)
        self.scaler.update()
        ema.update(self.average, self.generator, ema.decay((step + 1) * config.batch, config.batch, rates.ema_images))

        values = mean(torch.stack([value.detach().float() for value in figures.values()])).tolist()  # waits once
        told = {"labels_real": 0.0, "labels_drawn": 0.0, "variety": 0.0, **dict(zip(figures, values, strict=True))}
        losses = Losses(**told, augment=probability, learning_rate=rates.learning_rate, gamma=rates.gamma)
        if not (math.isfinite(losses.discriminator) and math.isfinite(losses.generator)):
            raise TrainingError(f"step {step}: the losses are no longer numbers; continue with a lower learning_rate")
        if self.adaptive is not None:
            self.adaptive.observe(losses.overfitting, config.batch, rates.augment)
        return losses

    def draw(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """The drawings of the step (B, P, H, H), and those of its second latents (B / 2 or 0, P, H, H); float32."""
        latent, condition = batch.latent, batch.condition
        if batch.second is not None:
            latent = torch.cat([latent, batch.second])
            condition = None if condition is None else torch.cat([condition, condition[::2]])
        images = self.shared["generator"](latent, condition)
        images = clamp(images) if self.config.clamp else images
        return images[: len(batch.latent)], images[len(batch.latent) :]

    def train_discriminator(
        self, batch: Batch, maps: tuple[Maps, Maps], drawn: Tensor, gamma: float, probability: float
    ) -> dict[str, Tensor]:
        """On maps of real and of drawn images; with a `gamma` on these images themselves, whose gradients it punishes.

        Real images with the condition of another one are a third kind (Reed et al. 2016): without them it first learns
        what is real, and only much later what belongs to which condition.
        """
        self.discriminator.trained.requires_grad_(True)
        real_maps, drawn_maps = maps[0], [each.detach() for each in maps[1]]
        leaves = [images.detach().requires_grad_() for images in (batch.real, drawn)] if gamma else []
        if leaves:  # second derivatives want float32
            real_maps, drawn_maps = (
                self.look(leaf, n, probability) for leaf, n in zip(leaves, batch.numbers, strict=True)
            )
        weight = self.config.wrong_label_weight
        conditions = [batch.condition] if batch.wrong is None or not weight else [batch.condition, batch.wrong]
        with self.autocast(not gamma):
            network, together = self.shared["discriminator"], self.discriminator.together
            real, fake, wrong = pair_logits(network, together, real_maps, drawn_maps, conditions)
            loss = balanced_of(self.loss.discriminator, real, fake)
            if wrong is not None:
                loss = loss + weight * self.wrong_label_loss(batch, real, wrong)
        penalty = torch.zeros((), device=self.device)
        for leaf, logits in zip(leaves, (real, fake), strict=False):  # R1 on real, R2 on drawn (R3GAN, eq. 4)
            penalty = penalty + gamma / 2 * gradient_penalty(leaf, logits)
        norm = self.optimise("discriminator", loss + penalty)
        judged = {"real": balanced(real), "fake": balanced(fake), "overfitting": overfitting(self.loss, real, fake)}
        return {"discriminator": loss, **judged, "penalty": penalty, "discriminator_norm": norm}

    def wrong_label_loss(self, batch: Batch, right: Logits, wrong: Logits) -> Tensor:
        """Of real images with their own and with a wrong condition; one that is true of an image too does not count."""
        if batch.differs is None:
            raise TypeError("a batch with conditions has wrong ones too")
        losses = [self.loss.wrong_label(r.float(), w.float()) for r, w in zip(right, wrong, strict=True)]
        return balanced([values * batch.differs for values in losses])

    def train_generator(self, batch: Batch, maps: tuple[Maps, Maps], weight: float, more: Tensor) -> dict[str, Tensor]:
        """Through the discriminator on maps of real and of drawn images, and with this weight through the classifier.

        Neither of them changes. `more` is a loss that is added.
        """
        real_maps, drawn_maps = maps
        network = self.discriminator.trained.requires_grad_(False)
        figures = {}
        with self.autocast():
            (fake,) = network(drawn_maps, [batch.condition])
            real = fake
            if self.loss.relative:
                with torch.no_grad():
                    (real,) = network(real_maps, [batch.condition])
            loss = balanced_of(self.loss.generator, real, fake) + more
            if self.auxiliary is not None and batch.condition is not None:
                found = self.auxiliary.requires_grad_(False)(drawn_maps)
                figures["labels_drawn"] = condition_loss(found, batch.condition)
                loss = loss + weight * figures["labels_drawn"]
                self.auxiliary.requires_grad_(True)
        return {**figures, "generator": loss, "generator_norm": self.optimise("generator", loss)}

    def look(self, images: Tensor, numbers: Tensor, probability: float) -> Maps:
        """The discriminator's features of augmented images."""
        maps: Maps = self.discriminator.features(augment(images, numbers, probability))
        return maps

    def autocast(self, wanted: bool = True) -> AbstractContextManager[object]:
        precision = self.computing.precision
        enabled = wanted and precision != "float32"
        return torch.autocast(self.device.type, PRECISIONS[precision] if enabled else torch.bfloat16, enabled=enabled)

    def optimise(self, name: str, loss: Tensor) -> Tensor:
        """A step of a network's optimiser; returns the norm of its gradients."""
        optimiser = self.optimisers[name]
        self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]  # torch does not annotate it
        for parameter in (each for layer in self.frozen for each in layer.parameters()):
            parameter.grad = None  # Adam passes over it
        self.scaler.unscale_(optimiser)
        gradients = [p.grad for group in optimiser.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        self.scaler.step(optimiser)
        optimiser.zero_grad(set_to_none=True)
        return norm

    def networks(self) -> dict[str, nn.Module]:
        """What is saved: not the frozen features and mixing, which follow from a package and the seed."""
        found = {"generator": self.generator, "average": self.average, "discriminator": self.discriminator.trained}
        return found if self.auxiliary is None else {**found, "auxiliary": self.auxiliary}

    def state(self) -> dict[str, Tensor]:
        """Every tensor that a continued run needs, by name."""
        tensors = {"rng": self.rng.get_state()}
        for name, network in self.networks().items():
            tensors.update(named(name, network))
        for name, optimiser in self.optimisers.items():
            tensors.update({f"adam.{name}.{key}": value for key, value in moments(optimiser)})
        if self.scaler.is_enabled():
            tensors["scaler"] = scaler_state(self.scaler)
        if self.adaptive is not None:
            tensors["adaptive"] = self.adaptive.state()
        return tensors

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
        if "scaler" in tensors:
            set_scaler(self.scaler, tensors["scaler"])
        if self.adaptive is not None:
            self.adaptive.restore(tensors["adaptive"])


def adam(network: nn.Module, config: Config) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), lr=config.learning_rate, betas=(config.beta1, config.beta2))
